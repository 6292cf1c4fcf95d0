import java.awt.image.BufferedImage;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.imageio.ImageIO;
import org.bouncycastle.jce.ECNamedCurveTable;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.jce.spec.ECPrivateKeySpec;
import org.ofdrw.converter.ConvertHelper;
import org.ofdrw.converter.ImageMaker;
import org.ofdrw.layout.OFDDoc;
import org.ofdrw.layout.element.Paragraph;
import org.ofdrw.reader.OFDReader;
import org.ofdrw.sign.ExtendSignatureContainer;
import org.ofdrw.sign.NumberFormatAtomicSignID;
import org.ofdrw.sign.OFDSigner;
import org.ofdrw.sign.SignMode;
import org.ofdrw.sign.signContainer.SESV1Container;
import org.ofdrw.sign.signContainer.SESV4Container;
import org.ofdrw.sign.stamppos.NormalStampPos;
import org.ofdrw.sign.verify.OFDValidator;
import org.ofdrw.sign.verify.container.SESV1ValidateContainer;
import org.ofdrw.sign.verify.container.SESV4ValidateContainer;

/**
 * A second opinion on OFD documents: ofdrw verifies, seals and renders what it is told on standard input, one
 * tab-separated line a task, and answers each with one line, "ok" or "error" and why.
 */
public final class OfdWitness {
    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer;
            try {
                answer = "ok\t" + perform(line.split("\t"));
            } catch (Throwable refused) {
                answer = "error\t" + String.valueOf(refused).replaceAll("\\s+", " ");
            }
            System.out.println("witness\t" + answer);
            System.out.flush();
        }
    }

    private static String perform(String[] task) throws Exception {
        switch (task[0]) {
            case "write":
                return write(Path.of(task[1]), task[2]);
            case "verify":
                return verify(Path.of(task[1]), task[2]);
            case "seal":
                return seal(task);
            case "render":
                return render(Path.of(task[1]), Path.of(task[2]));
            case "pdf":
                ConvertHelper.toPdf(Path.of(task[1]), Path.of(task[2]));
                return "";
            default:
                throw new IllegalArgumentException(task[0]);
        }
    }

    private static String write(Path file, String text) throws Exception {
        try (OFDDoc document = new OFDDoc(file)) {
            document.add(new Paragraph(text));
        }
        return "";
    }

    private static String verify(Path file, String version) throws Exception {
        try (OFDReader reader = new OFDReader(file); OFDValidator validator = new OFDValidator(reader)) {
            validator.setValidator(
                    version.equals("4") ? new SESV4ValidateContainer() : new SESV1ValidateContainer());
            validator.exeValidate();
        }
        return "";
    }

    /** seal IN OUT VERSION SEAL KEY(hex) CERTIFICATE(der) MODE(continue or whole) */
    private static String seal(String[] task) throws Exception {
        Certificate certificate = CertificateFactory.getInstance("X.509", "BC")
                .generateCertificate(new ByteArrayInputStream(Files.readAllBytes(Path.of(task[6]))));
        PrivateKey key = KeyFactory.getInstance("EC", "BC").generatePrivate(
                new ECPrivateKeySpec(new BigInteger(task[5], 16), ECNamedCurveTable.getParameterSpec("sm2p256v1")));
        byte[] seal = Files.readAllBytes(Path.of(task[4]));
        ExtendSignatureContainer container = task[3].equals("4")
                ? new SESV4Container(key, org.ofdrw.gm.ses.v4.SESeal.getInstance(seal), certificate)
                : new SESV1Container(key, org.ofdrw.gm.ses.v1.SESeal.getInstance(seal), certificate);
        try (OFDReader reader = new OFDReader(Path.of(task[1]));
                OFDSigner signer = new OFDSigner(reader, Path.of(task[2]), new NumberFormatAtomicSignID())) {
            signer.setSignMode(task[7].equals("whole") ? SignMode.WholeProtected : SignMode.ContinueSign);
            signer.setSignContainer(container);
            signer.addApPos(new NormalStampPos(1, 50, 50, 40, 40));
            signer.exeSign();
        }
        return "";
    }

    private static String render(Path file, Path picture) throws Exception {
        try (OFDReader reader = new OFDReader(file)) {
            ImageMaker maker = new ImageMaker(reader, 8);
            BufferedImage page = maker.makePage(0);
            ImageIO.write(page, "PNG", picture.toFile());
            return page.getWidth() + "x" + page.getHeight();
        }
    }
}
