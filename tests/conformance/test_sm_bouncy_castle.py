"""A second opinion on SM2, certificates, seals, time stamps and key files: Bouncy Castle.

Its helper lies in tests/conformance/java/bc; without a JDK or the packages these tests are skipped and say
so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signing import der, sm2_math
from signing.issuing import Identity, issue, make_authority, make_crl
from signing.keys import encode_key
from signing.provider import SoftwareProvider, read_public_key
from signing.seals.checking import Circumstances
from signing.seals.making import SealPlan, make_seal, seal_document
from signing.seals.model import Picture
from signing.timestamps import USAGE_TIME_STAMPING, make_token
from signing.trust import Trust

JAVA_FOLDER = Path(__file__).parent / "java" / "bc"
JARS = {"bcpkix-jdk18on": "1.81", "bcprov-jdk18on": "1.81.1", "bcutil-jdk18on": "1.81.1"}
BUILD_TIMEOUT_S = 150

PROVIDER = SoftwareProvider()
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TERM = {"not_before": START, "not_after": END}
ROOT = make_authority(PROVIDER, PROVIDER.generate(), {"C": "CN", "CN": "根"}, **TERM)


def identity(name: str, extra: tuple[bytes, ...] = ()) -> Identity:
    key = PROVIDER.generate()
    return Identity(issue(PROVIDER, ROOT, key.public, {"C": "CN", "CN": name}, extra=extra, **TERM), key)


MAKER, SIGNER = identity("制章者"), identity("签章者")
GIVEN = Circumstances(Trust((ROOT.certificate,)), PROVIDER, NOW)
PLAN = SealPlan(
    es_id="46010000000001",
    type=1,
    name="专用章",
    vendor="govhub",
    signers=(SIGNER.certificate,),
    picture=Picture("PNG", bytes(100), 42, 42),
    created_at=START,
    valid_from=START,
    valid_until=END - timedelta(days=1),
)


class Witness:
    """One process of the helper, asked line by line; bytes go through files."""

    def __init__(self, classpath: str, folder: Path) -> None:
        self._folder, self._files = folder, 0
        self._process = subprocess.Popen(
            [
                "java",
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                classpath,
                "BcWitness",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    def ask(self, *words: str | bytes) -> tuple[str, str]:
        """("ok" or "error", what it said)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = "\t".join(self._file(w) if isinstance(w, bytes) else w for w in words)
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        mark, verdict, said = self._process.stdout.readline().rstrip("\n").split("\t", 2)
        assert mark == "witness"
        return verdict, said

    def _file(self, data: bytes) -> str:
        self._files += 1
        path = self._folder / str(self._files)
        path.write_bytes(data)
        return str(path)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


def jars_in(folder: Path) -> str:
    """The class path, from Maven's own store when everything is there already, else copied by Maven."""
    store = Path.home() / ".m2" / "repository" / "org" / "bouncycastle"
    stored = [store / name / version / f"{name}-{version}.jar" for name, version in JARS.items()]
    if all(jar.is_file() for jar in stored):
        return ":".join(map(str, stored))
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("no Maven here")
    built = subprocess.run(
        [
            *(maven, "-q", "-B", "-f", str(JAVA_FOLDER / "pom.xml"), f"-DoutputDirectory={folder / 'jars'}"),
            "dependency:copy-dependencies",
        ],
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"Bouncy Castle cannot be had here: {built.stdout.strip()[:200]}")
    return str(folder / "jars" / "*")


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    javac = shutil.which("javac")
    if javac is None:
        pytest.skip("no JDK here")
    folder = tmp_path_factory.mktemp("bc")
    jars = jars_in(folder)
    source = JAVA_FOLDER / "BcWitness.java"
    subprocess.run([javac, "-encoding", "UTF-8", "-d", folder, "-cp", jars, source], check=True)
    process = Witness(f"{folder}:{jars}", folder)
    yield process
    process.close()


def test_signatures_both_ways(witness: Witness) -> None:
    for length in (0, 1, 100, 5000):
        data = bytes(range(256)) * 20
        data = data[:length]
        value = PROVIDER.sign(SIGNER.key, data)
        assert witness.ask("signature", SIGNER.certificate.raw, data, value) == ("ok", "")
        assert witness.ask("signature", SIGNER.certificate.raw, data + b"x", value)[0] == "error"
    for _ in range(5):
        verdict, said = witness.ask("make", "办件 case")
        assert verdict == "ok"
        spki, theirs = (bytes.fromhex(part) for part in said.split())
        assert PROVIDER.verify(read_public_key(spki), "办件 case".encode(), theirs)
        assert not PROVIDER.verify(read_public_key(spki), b"another", theirs)


def test_encryption_by_bouncy_castle_is_decrypted_here(witness: Witness) -> None:
    verdict, said = witness.ask("encrypt", SIGNER.certificate.raw, "session key")
    assert verdict == "ok"
    assert PROVIDER.decrypt(SIGNER.key, sm2_math.ciphertext_der(bytes.fromhex(said))) == b"session key"


def test_certificates_and_revocation_lists(witness: Witness) -> None:
    for certificate in (ROOT.certificate, SIGNER.certificate, MAKER.certificate):
        assert witness.ask("certificate", certificate.raw, ROOT.certificate.raw) == ("ok", "")
    assert witness.ask("certificate", SIGNER.certificate.raw, MAKER.certificate.raw)[0] == "error"
    crl = make_crl(PROVIDER, ROOT, {SIGNER.certificate.serial: NOW}, this_update=NOW, next_update=END)
    assert witness.ask("crl", crl, ROOT.certificate.raw, SIGNER.certificate.raw) == ("ok", "")
    assert witness.ask("crl", crl, ROOT.certificate.raw, MAKER.certificate.raw)[1].endswith("not listed")


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, by_digest=True), replace(PLAN, version=1)])
def test_seals_and_seal_signatures(witness: Witness, plan: SealPlan) -> None:
    """Structures taken apart by Bouncy Castle's own ASN.1, values verified by its own SM2."""
    seal = make_seal(plan, MAKER, GIVEN)
    assert witness.ask("seal", seal) == ("ok", plan.es_id)
    signature = seal_document(seal, SIGNER, b"document", "document", GIVEN)
    assert witness.ask("sealed", signature, b"document") == ("ok", plan.es_id)
    assert witness.ask("sealed", signature, b"Document")[1].endswith("digest")
    info = der.children(der.parse(seal, "seal"))[0].raw
    for at in range(seal.index(info), seal.index(info) + len(info), 97):
        changed = seal[:at] + bytes([seal[at] ^ 1]) + seal[at + 1 :]
        assert witness.ask("seal", changed)[0] == "error"


@pytest.mark.parametrize("nonce", [None, 7])
def test_time_stamps(witness: Witness, nonce: int | None) -> None:
    service = identity("时间戳", (USAGE_TIME_STAMPING,))
    token = make_token(PROVIDER, service, b"value", at=NOW, serial=1, policy="1.2.3", nonce=nonce)
    assert witness.ask("stamp", token, service.certificate.raw, b"value") == ("ok", "")
    assert witness.ask("stamp", token, service.certificate.raw, b"other")[0] == "error"


def test_key_files(witness: Witness) -> None:
    passphrase = b"a long passphrase"
    pem = encode_key(SIGNER.key, passphrase, cipher="AES-256-CBC", rounds=2000)
    verdict, said = witness.ask("key", pem, passphrase.decode())
    assert verdict == "ok", said
    assert PROVIDER.verify(SIGNER.key.public, b"signed by a key file", bytes.fromhex(said))
    assert witness.ask("key", pem, "another passphrase")[0] == "error"
