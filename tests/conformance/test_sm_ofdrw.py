"""A second opinion: ofdrw, an implementation that is not ours, verifies, renders and seals OFD documents.

Its helper lies in tests/conformance/java/ofdrw and is built by Maven; without Java, Maven or the packages
these tests are skipped and say so."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from hub.notices.facts import Notice
from hub.notices.fonts import typefaces
from hub.notices.layout import lay_out
from signing.ofd.checking import check_ofd, steps_of
from signing.ofd.drawing import Text
from signing.ofd.sealing import Place, seal_ofd, sign_with
from signing.ofd.writing import write_ofd
from tests.ofd_samples import GIVEN, OLD_SEAL, SEAL, SIGNER, changed, plain, sealed, sealed_twice

JAVA_FOLDER = Path(__file__).parent / "java" / "ofdrw"
BUILD_TIMEOUT_S = 150


class Witness:
    """One process of the helper, asked line by line."""

    def __init__(self, classpath: str) -> None:
        self._process = subprocess.Popen(
            ["java", "-Djava.awt.headless=true", "-Xmx512m", "-cp", classpath, "OfdWitness"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    def ask(self, *words: object) -> tuple[str, str]:
        """("ok" or "error", what it said)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("witness\t"):
                _, verdict, said = line.rstrip("\n").split("\t", 2)
                return verdict, said
        raise AssertionError("the helper ended")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    maven, javac = shutil.which("mvn"), shutil.which("javac")
    if maven is None or javac is None:
        pytest.skip("no Maven and JDK here")
    folder = tmp_path_factory.mktemp("ofdrw")
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
        pytest.skip(f"ofdrw cannot be had here: {built.stdout.strip()[:200]}")
    jars, source = str(folder / "jars" / "*"), JAVA_FOLDER / "OfdWitness.java"
    subprocess.run([javac, "-encoding", "UTF-8", "-d", folder, "-cp", jars, source], check=True)
    process = Witness(f"{folder}:{jars}")
    yield process
    process.close()


def test_ofdrw_verifies_what_we_seal(witness: Witness, tmp_path: Path) -> None:
    file = tmp_path / "sealed.ofd"
    old = seal_ofd(plain(), OLD_SEAL, (Place(1, 60, 240),), sign_with(OLD_SEAL, SIGNER, GIVEN), GIVEN)
    for data, version in ((sealed(), 4), (old, 1)):
        file.write_bytes(data)
        assert witness.ask("verify", file, version) == ("ok", "")


def test_ofdrw_refuses_what_we_refuse(witness: Witness, tmp_path: Path) -> None:
    def change(files: dict[str, bytes]) -> None:
        files["Doc_0/Pages/Page_0/Content.xml"] += b" "

    file = tmp_path / "broken.ofd"
    file.write_bytes(changed(sealed(), change))
    assert witness.ask("verify", file, 4)[0] == "error"
    assert not check_ofd(file.read_bytes(), GIVEN).valid


@pytest.mark.parametrize(("version", "seal"), [(4, SEAL), (1, OLD_SEAL)])
@pytest.mark.parametrize("mode", ["continue", "whole"])
def test_we_verify_what_ofdrw_writes_and_seals(
    witness: Witness, tmp_path: Path, version: int, seal: bytes, mode: str
) -> None:
    written, out = tmp_path / "plain.ofd", tmp_path / "out.ofd"
    (tmp_path / "seal.esl").write_bytes(seal)
    (tmp_path / "signer.der").write_bytes(SIGNER.certificate.raw)
    assert witness.ask("write", written, "准予许可")[0] == "ok"
    words = ("seal", written, out, version, tmp_path / "seal.esl", SIGNER.key.secret.hex())
    assert witness.ask(*words, tmp_path / "signer.der", mode) == ("ok", "")
    verdict = check_ofd(out.read_bytes(), replace(GIVEN, now=datetime.now(UTC)))
    undecided = {
        step.name: step.outcome for step in steps_of(verdict) if step.outcome in ("failed", "unknown")
    }
    # In GM/T 0031 ofdrw writes a time without zone in a form of its own: told, and not called valid.
    told = {"signature.time": "unknown", "signature.timestamp": "unknown"} if version == 1 else {}
    assert undecided == told
    assert verdict.valid == (version == 4)


def test_ofdrw_shows_text_and_seal(witness: Witness, tmp_path: Path) -> None:
    file, picture = tmp_path / "sealed.ofd", tmp_path / "page.png"
    file.write_bytes(sealed_twice())
    assert witness.ask("render", file, picture)[0] == "ok"
    with Image.open(picture) as page:
        pixels = page.convert("RGB")
        scale = pixels.width / 210
        seal = pixels.crop(tuple(round(mm * scale) for mm in (129, 219, 171, 261)))  # type: ignore[arg-type]
        red = sum(1 for r, g, b in seal.get_flattened_data() if r > 180 and g < 90 and b < 90)
    assert red > 100


def test_a_second_seal_of_ours_stands_on_ofdrws_document(witness: Witness, tmp_path: Path) -> None:
    written = tmp_path / "plain.ofd"
    assert witness.ask("write", written, "准予许可")[0] == "ok"
    once = seal_ofd(written.read_bytes(), SEAL, (Place(1, 60, 60),), sign_with(SEAL, SIGNER, GIVEN), GIVEN)
    twice = seal_ofd(once, SEAL, (Place(1, 120, 60),), sign_with(SEAL, SIGNER, GIVEN), GIVEN)
    (tmp_path / "twice.ofd").write_bytes(twice)
    assert witness.ask("verify", tmp_path / "twice.ofd", 4) == ("ok", "")


def test_ofdrw_shows_a_notice_as_a_citizen_would_see_it(witness: Witness, tmp_path: Path) -> None:
    """The seal is red where it belongs, and the characters are characters: boxes would all be alike."""
    faces = typefaces(None)
    if faces[0] is None:
        pytest.skip("no Chinese font on this machine")
    said = Notice(
        "0" * 32, "46CASE", "e1", "k", "受理通知书", "", "王小明", ("正文。",), (), "某局", "某日", True
    )
    laid = lay_out(said, faces, "", "平台")
    title = next(mark for mark in laid.drawing.pages[0] if isinstance(mark, Text))
    data = write_ofd(laid.drawing, GIVEN.now.date())
    place = (Place(1, laid.seal_x_mm, laid.seal_y_mm),)
    file, picture = tmp_path / "notice.ofd", tmp_path / "notice.png"
    file.write_bytes(seal_ofd(data, SEAL, place, sign_with(SEAL, SIGNER, GIVEN), GIVEN))
    assert witness.ask("verify", file, 4) == ("ok", "")
    assert witness.ask("render", file, picture)[0] == "ok"
    with Image.open(picture) as page:
        grey, scale = page.convert("L"), page.width / 210
        cells, x = [], title.x
        for advance in title.advances:
            box = (x, title.y - title.size, x + title.size, title.y + title.size * 0.2)
            cells.append(grey.crop(tuple(round(mm * scale) for mm in box)).resize((40, 40)).tobytes())  # type: ignore[arg-type]
            x += advance
    shown = [cell for cell, character in zip(cells, title.text, strict=True) if character != "　"]
    assert len(shown) == 5
    for one, other in itertools.combinations(shown, 2):
        assert sum(abs(a - b) > 100 for a, b in zip(one, other, strict=True)) > 0.08 * len(one)
