import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.FileReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.HexFormat;

import org.bouncycastle.asn1.ASN1BitString;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.crypto.engines.SM2Engine;
import org.bouncycastle.crypto.params.ParametersWithRandom;
import org.bouncycastle.jcajce.provider.asymmetric.util.ECUtil;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JceOpenSSLPKCS8DecryptorProviderBuilder;
import org.bouncycastle.pkcs.PKCS8EncryptedPrivateKeyInfo;
import org.bouncycastle.tsp.TimeStampToken;

/** Bouncy Castle as a second opinion: one line in (words divided by tabs), one line out (witness, verdict, text). */
public class BcWitness {
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] ignored) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String answer;
            try {
                answer = "ok\t" + work(line.split("\t"));
            } catch (Exception refused) {
                String text = String.valueOf(refused.getMessage()).replace('\n', ' ').replace('\t', ' ');
                answer = "error\t" + refused.getClass().getSimpleName() + ": " + text;
            }
            System.out.println("witness\t" + answer);
        }
    }

    private static String work(String[] words) throws Exception {
        switch (words[0]) {
            case "signature":
                need(verify(certificate(read(words[1])).getPublicKey(), read(words[2]), read(words[3])), "value");
                return "";
            case "certificate":
                certificate(read(words[1])).verify(certificate(read(words[2])).getPublicKey(), "BC");
                return "";
            case "crl":
                X509CRL crl = (X509CRL) factory().generateCRL(new ByteArrayInputStream(read(words[1])));
                crl.verify(certificate(read(words[2])).getPublicKey(), "BC");
                need(crl.isRevoked(certificate(read(words[3]))), "not listed");
                return "";
            case "seal":
                return seal(ASN1Sequence.getInstance(read(words[1])));
            case "sealed":
                return sealed(ASN1Sequence.getInstance(read(words[1])), read(words[2]));
            case "stamp":
                TimeStampToken token = new TimeStampToken(new CMSSignedData(read(words[1])));
                X509Certificate service = certificate(read(words[2]));
                token.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(service));
                byte[] imprint = token.getTimeStampInfo().getMessageImprintDigest();
                need(Arrays.equals(imprint, sm3(read(words[3]))), "imprint");
                return "";
            case "key":
                return key(words[1], words[2].toCharArray());
            case "make":
                return make(words[1].getBytes(StandardCharsets.UTF_8));
            case "encrypt":
                return encrypt(certificate(read(words[1])).getPublicKey(), words[2].getBytes(StandardCharsets.UTF_8));
            default:
                throw new IllegalArgumentException(words[0]);
        }
    }

    /** GB/T 38540 with four elements, GM/T 0031 with two. */
    private static String seal(ASN1Sequence seal) throws Exception {
        ASN1Encodable info = seal.getObjectAt(0);
        if (seal.size() == 4) {
            X509Certificate maker = certificate(octets(seal.getObjectAt(1)));
            need(verify(maker.getPublicKey(), der(info), bits(seal.getObjectAt(3))), "maker's value");
        } else {
            ASN1Sequence sign = ASN1Sequence.getInstance(seal.getObjectAt(1));
            byte[] signed = new DERSequence(
                    new ASN1Encodable[] {info, sign.getObjectAt(0), sign.getObjectAt(1)}).getEncoded("DER");
            X509Certificate maker = certificate(octets(sign.getObjectAt(0)));
            need(verify(maker.getPublicKey(), signed, bits(sign.getObjectAt(2))), "maker's value");
        }
        return ASN1Sequence.getInstance(info).getObjectAt(1).toString();
    }

    private static String sealed(ASN1Sequence signature, byte[] original) throws Exception {
        boolean newer = signature.size() > 2;
        ASN1Sequence toSign = ASN1Sequence.getInstance(signature.getObjectAt(0));
        byte[] certificate = octets(newer ? signature.getObjectAt(1) : toSign.getObjectAt(5));
        byte[] value = bits(signature.getObjectAt(newer ? 3 : 1));
        need(verify(certificate(certificate).getPublicKey(), der(toSign), value), "signer's value");
        need(Arrays.equals(bits(toSign.getObjectAt(3)), sm3(original)), "digest");
        ASN1Sequence seal = ASN1Sequence.getInstance(toSign.getObjectAt(1));
        ASN1Sequence info = ASN1Sequence.getInstance(seal.getObjectAt(0));
        ASN1Sequence property = ASN1Sequence.getInstance(info.getObjectAt(2));
        need(lists(property, newer, certificate), "signer not listed");
        return seal(seal);
    }

    private static boolean lists(ASN1Sequence property, boolean newer, byte[] certificate) throws Exception {
        boolean digests = newer && ASN1Integer.getInstance(property.getObjectAt(2)).intValueExact() == 2;
        for (ASN1Encodable entry : ASN1Sequence.getInstance(property.getObjectAt(newer ? 3 : 2))) {
            byte[] named = digests ? octets(ASN1Sequence.getInstance(entry).getObjectAt(1)) : octets(entry);
            if (Arrays.equals(named, digests ? sm3(certificate) : certificate)) {
                return true;
            }
        }
        return false;
    }

    private static String key(String file, char[] passphrase) throws Exception {
        try (PEMParser parser = new PEMParser(new FileReader(file))) {
            PKCS8EncryptedPrivateKeyInfo sealed = (PKCS8EncryptedPrivateKeyInfo) parser.readObject();
            PrivateKeyInfo info = sealed.decryptPrivateKeyInfo(
                    new JceOpenSSLPKCS8DecryptorProviderBuilder().setProvider("BC").build(passphrase));
            PrivateKey key = new JcaPEMKeyConverter().setProvider("BC").getPrivateKey(info);
            return HEX.formatHex(sign(key, "signed by a key file".getBytes(StandardCharsets.UTF_8)));
        }
    }

    /** A key of Bouncy Castle's own and a signature by it: SubjectPublicKeyInfo and value in hex. */
    private static String make(byte[] data) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "BC");
        generator.initialize(new ECGenParameterSpec("sm2p256v1"));
        KeyPair pair = generator.generateKeyPair();
        return HEX.formatHex(pair.getPublic().getEncoded()) + " " + HEX.formatHex(sign(pair.getPrivate(), data));
    }

    private static String encrypt(PublicKey key, byte[] data) throws Exception {
        SM2Engine engine = new SM2Engine(SM2Engine.Mode.C1C3C2);
        engine.init(true, new ParametersWithRandom(ECUtil.generatePublicKeyParameter(key)));
        return HEX.formatHex(engine.processBlock(data, 0, data.length));
    }

    private static byte[] sign(PrivateKey key, byte[] data) throws Exception {
        Signature signer = Signature.getInstance("SM3withSM2", "BC");
        signer.initSign(key);
        signer.update(data);
        return signer.sign();
    }

    private static boolean verify(PublicKey key, byte[] data, byte[] value) throws Exception {
        Signature verifier = Signature.getInstance("SM3withSM2", "BC");
        verifier.initVerify(key);
        verifier.update(data);
        return verifier.verify(value);
    }

    private static byte[] sm3(byte[] data) throws Exception {
        return MessageDigest.getInstance("SM3", "BC").digest(data);
    }

    private static CertificateFactory factory() throws Exception {
        return CertificateFactory.getInstance("X.509", "BC");
    }

    private static X509Certificate certificate(byte[] der) throws Exception {
        return (X509Certificate) factory().generateCertificate(new ByteArrayInputStream(der));
    }

    private static byte[] read(String file) throws Exception {
        return Files.readAllBytes(Path.of(file));
    }

    private static byte[] der(ASN1Encodable element) throws Exception {
        return element.toASN1Primitive().getEncoded("DER");
    }

    private static byte[] octets(ASN1Encodable element) {
        return ASN1OctetString.getInstance(element).getOctets();
    }

    private static byte[] bits(ASN1Encodable element) {
        return ASN1BitString.getInstance(element).getOctets();
    }

    private static void need(boolean good, String what) {
        if (!good) {
            throw new IllegalStateException(what);
        }
    }
}
