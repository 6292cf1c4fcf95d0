"""`govhub ofd`: a seal of the book set on a document and judged; exit 0 only for what is valid."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub.cli import govhub
from hub.cli_seal_options import certificates, now_utc
from hub.seals.acts import Wish, apply, make
from hub.seals.book import SealBook
from hub.seals.trial import trial_picture, write_trial
from signing.issuing import Identity
from signing.keys import load_key
from signing.ofd.writing import write_ofd
from signing.provider import SoftwareProvider
from signing.seals.checking import Circumstances
from signing.seals.maker import LocalMaker
from signing.seals.model import Picture
from signing.trust import Trust
from tests.ofd_samples import DRAWING, NOW, contents, packed


class Desk:
    """A trial set, a book with one seal in use, and a document."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.trial, self.book = folder, folder / "trial", folder / "book"
        provider, now = SoftwareProvider(), now_utc()
        write_trial(self.trial, provider, now)
        (signer,) = certificates([self.trial / "signer.pem"])
        (maker,) = certificates([self.trial / "maker.pem"])
        (root,) = certificates([self.trial / "root.pem"])
        picture = Picture("PNG", trial_picture(), 42, 42)
        term = (now, now + timedelta(days=30))
        book, given = SealBook(self.book), Circumstances(Trust((root,)), provider, now)
        apply(book, Wish("A1", "专用章", "审批局", 1, 4, "govhub", (signer,), picture, *term), "张三", now)
        book.add("approve", "A1", "李四", now, {})
        secret = (self.trial / "passphrase").read_bytes().strip()
        at_maker = LocalMaker(Identity(maker, load_key(self.trial / "maker.key", secret, provider)), given)
        self.seal = folder / "A1.esl"
        self.seal.write_bytes(asyncio.run(make(book, "A1", "王五", now, at_maker, given)))
        book.add("issue", "A1", "王五", now, {"to": "张三"})
        self.document = folder / "doc.ofd"
        self.document.write_bytes(write_ofd(DRAWING, NOW.date()))

    def run(self, *words: object) -> Result:
        return CliRunner().invoke(govhub, ["ofd", *map(str, words)])

    def sign(self, document: Path, out: str) -> Result:
        return self.run(
            *("sign", document, "--seal", self.seal, "--out", self.folder / out, "--by", "张三"),
            *("--cert", self.trial / "signer.pem", "--key", self.trial / "signer.key"),
            *("--passphrase-file", self.trial / "passphrase", "--anchor", self.trial / "root.pem"),
            *("--book", self.book),
        )

    def verify(self, file: Path, *more: object) -> Result:
        return self.run("verify", file, "--anchor", self.trial / "root.pem", "--book", self.book, *more)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("ofd"))


def test_sign_show_verify(desk: Desk) -> None:
    assert desk.sign(desk.document, "one.ofd").exit_code == 0
    assert desk.sign(desk.folder / "one.ofd", "two.ofd").exit_code == 0
    verified = desk.verify(desk.folder / "two.ofd")
    assert verified.exit_code == 0
    assert "document.references" in verified.output
    assert "有效 valid" in verified.output
    told = json.loads(desk.verify(desk.folder / "two.ofd", "--json").output)
    assert (told["valid_now"], told["valid_at_signing"], len(told["seals"])) == (True, True, 2)
    assert SealBook(desk.book).life("A1").signatures == 2
    shown = desk.run("show", desk.folder / "two.ofd")
    assert shown.exit_code == 0
    assert "专用章" in shown.output
    assert "not judged" in shown.output


def test_only_what_is_valid_exits_with_0_and_show_does_not_judge(desk: Desk) -> None:
    desk.sign(desk.document, "good.ofd")
    good = desk.folder / "good.ofd"
    broken = desk.folder / "broken.ofd"
    files = contents(good.read_bytes())
    files["Doc_0/Pages/Page_0/Content.xml"] += b" "
    broken.write_bytes(packed(files))
    refused = desk.verify(broken)
    assert refused.exit_code == 1
    assert "/Doc_0/Pages/Page_0/Content.xml" in refused.output
    assert desk.run("verify", good).exit_code == 1  # nobody is trusted
    assert desk.verify(desk.document).exit_code == 1  # no seal
    assert desk.run("show", broken).exit_code == 0
    assert desk.run("show", desk.seal).exit_code == 1
    assert desk.verify(desk.seal).exit_code == 1
    assert "valid" not in json.loads(desk.run("show", good, "--json").output)


def test_a_lost_seal_is_set_on_nothing_more(desk: Desk) -> None:
    assert desk.sign(desk.document, "before.ofd").exit_code == 0
    SealBook(desk.book).add("lose", "A1", "张三", now_utc() + timedelta(seconds=1), {"reason": "遗失"})
    assert desk.sign(desk.document, "late.ofd").exit_code == 1
    assert not (desk.folder / "late.ofd").exists()
    assert desk.verify(desk.folder / "before.ofd", "--at-signing").exit_code == 0
