"""`govhub seal`: from application to destruction on the command line; exit 0 only for what is valid."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub.cli import govhub
from hub.seals import acts
from hub.seals.acts import plan_of
from hub.seals.book import SealBook
from hub.seals.trial import write_trial
from signing.certificates import parse_pem
from signing.errors import SigningError
from signing.issuing import Identity
from signing.keys import encode_key, load_key
from signing.provider import SoftwareProvider
from signing.seals.checking import Circumstances
from signing.seals.maker import accept_made
from signing.seals.making import make_seal
from signing.seals.model import Picture
from signing.trust import Trust
from stubs.seal_maker import SealMakingSystem

PROVIDER = SoftwareProvider()


class Desk:
    """A folder with a trial set and a book, and the commands over it."""

    def __init__(self, folder: Path, trial: Path) -> None:
        self.folder, self.trial, self.book = folder, folder / "trial", folder / "book"
        shutil.copytree(trial, self.trial)
        self.document = folder / "doc.txt"
        self.document.write_text("准予许可", "utf-8")

    def run(self, *words: object, book: bool = True) -> Result:
        ending = ["--book", str(self.book)] if book else []
        return CliRunner().invoke(govhub, ["seal", *map(str, words), *ending])

    def done(self, *words: object, book: bool = True) -> str:
        result = self.run(*words, book=book)
        assert result.exit_code == 0, result.output
        return result.output

    def keys(self, who: str) -> list[object]:
        folder = self.trial
        return [
            *("--cert", folder / f"{who}.pem", "--key", folder / f"{who}.key"),
            *("--passphrase-file", folder / "passphrase", "--anchor", folder / "root.pem"),
        ]

    def apply(self, es_id: str = "A1", *more: object) -> None:
        picture, signer = self.trial / "picture.png", self.trial / "signer.pem"
        words = [
            "--name",
            "专用章",
            "--holder",
            "审批局",
            "--picture",
            picture,
            "--signer",
            signer,
            "--by",
            "张三",
        ]
        self.done("apply", es_id, *words, *more)

    def to_use(self, es_id: str = "A1", *more: object) -> Path:
        self.apply(es_id, *more)
        self.done("approve", es_id, "--by", "李四")
        seal = self.folder / f"{es_id}.esl"
        self.done("new", seal, "--id", es_id, *self.keys("maker"), "--by", "王五")
        self.done("issue", es_id, "--to", "赵六", "--by", "王五")
        return seal

    def sign(self, seal: Path, out: str = "doc.sig") -> Result:
        words = [
            "--document",
            self.document,
            "--out",
            self.folder / out,
            *self.keys("signer"),
            "--by",
            "赵六",
        ]
        return self.run("sign", seal, *words)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trial")
    write_trial(folder, PROVIDER, datetime.now(UTC).replace(microsecond=0))
    return folder


@pytest.fixture
def desk(tmp_path: Path, trial: Path) -> Desk:
    return Desk(tmp_path, trial)


def test_from_application_to_a_signature_that_verifies(desk: Desk) -> None:
    seal = desk.to_use()
    assert desk.sign(seal).exit_code == 0
    anchor = ("--anchor", desk.trial / "root.pem")
    signature = desk.folder / "doc.sig"
    told = desk.done("verify", signature, "--document", desk.document, *anchor)
    assert "signature.digest" in told
    assert "seal.status" in told
    assert "有效 valid" in desk.done("verify", seal, *anchor)
    judged = json.loads(desk.done("verify", signature, "--document", desk.document, *anchor, "--json"))
    assert judged["valid"]
    assert {step["outcome"] for step in judged["now"]["steps"]} <= {"passed", "absent"}


def test_only_what_is_valid_exits_with_0(desk: Desk) -> None:
    seal = desk.to_use()
    assert desk.sign(seal).exit_code == 0
    signature, anchor = desk.folder / "doc.sig", ("--anchor", desk.trial / "root.pem")
    other = desk.folder / "other.txt"
    other.write_text("不予许可", "utf-8")
    data = signature.read_bytes()
    broken = desk.folder / "broken.sig"
    broken.write_bytes(data[:-1])
    for words in (
        (signature, *anchor),  # the document is missing
        (signature, "--document", other, *anchor),
        (signature, "--document", desk.document),  # nobody is trusted
        (broken, "--document", desk.document, *anchor),
        (other,),
        (seal,),
    ):
        assert desk.run("verify", *words).exit_code == 1


def test_show_parses_and_does_not_judge(desk: Desk) -> None:
    seal = desk.to_use()
    desk.sign(seal)
    assert "专用章" in desk.done("show", seal, book=False)
    shown = json.loads(desk.done("show", desk.folder / "doc.sig", "--json", book=False))
    assert shown["kind"] == "signature"
    assert shown["seal"]["es_id"] == "A1"
    assert "valid" not in shown
    assert desk.run("show", desk.document, book=False).exit_code == 1


@pytest.mark.parametrize("end", ["lose", "destroy"])
def test_f79_a_withdrawn_seal_refuses_and_what_it_signed_is_told_apart(desk: Desk, end: str) -> None:
    seal = desk.to_use()
    assert desk.sign(seal).exit_code == 0
    # One second later: the signature's time has whole seconds.
    at = datetime.now(UTC).replace(microsecond=0).timestamp() + 1
    SealBook(desk.book).add(end, "A1", "王五", datetime.fromtimestamp(at, UTC), {"reason": "遗失"})  # type: ignore[arg-type]
    refused = desk.sign(seal, "late.sig")
    assert refused.exit_code == 1
    assert not (desk.folder / "late.sig").exists()
    words = (
        "verify",
        desk.folder / "doc.sig",
        "--document",
        desk.document,
        "--anchor",
        desk.trial / "root.pem",
    )
    assert desk.run(*words, "--at-signing").exit_code == 0


def test_f79_a_seal_that_is_lost_while_somebody_signs_gives_no_signature(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = desk.to_use()

    def meanwhile(*given: object) -> bytes:
        desk.done("lose", "A1", "--reason", "遗失", "--by", "王五")
        return b"a signature that must not get out"

    monkeypatch.setattr(acts, "seal_document", meanwhile)
    refused = desk.sign(seal)
    assert refused.exit_code == 1
    assert not (desk.folder / "doc.sig").exists()
    assert [line.act for line in SealBook(desk.book).read()[0]][-1] == "lose"


def test_f79_a_second_person_approves(desk: Desk) -> None:
    desk.apply()
    refused = desk.run("approve", "A1", "--by", "张三")
    assert refused.exit_code == 1
    assert "second person" in refused.output
    assert (
        desk.run("new", desk.folder / "x.esl", "--id", "A1", *desk.keys("maker"), "--by", "王五").exit_code
        == 1
    )


def test_another_seal_under_the_same_number_is_refused(desk: Desk) -> None:
    """A seal that verifies but is not the one this book made."""
    seal = desk.to_use()
    (desk.folder / "elsewhere").mkdir()
    strange = Desk(desk.folder / "elsewhere", desk.trial).to_use()
    refused = desk.sign(strange)
    assert refused.exit_code == 1
    assert "is not the one made for A1" in refused.output
    assert desk.sign(seal).exit_code == 0


def test_a_renewal_stops_the_old_seal(desk: Desk) -> None:
    old = desk.to_use()
    new = desk.to_use("A2", "--renews", "A1")
    assert desk.sign(old).exit_code == 1
    assert desk.sign(new).exit_code == 0
    assert [one["stage"] for one in json.loads(desk.done("list", "--json"))["seals"]] == [
        "replaced",
        "issued",
    ]


def test_f79_a_seal_making_system_elsewhere_makes_and_is_told(desk: Desk) -> None:
    """Through the port: what comes back is compared with the application, and a repeat changes nothing."""
    passphrase = (desk.trial / "passphrase").read_bytes().strip()
    root, certificate = (parse_pem((desk.trial / f"{n}.pem").read_bytes())[0] for n in ("root", "maker"))
    maker = Identity(certificate, load_key(desk.trial / "maker.key", passphrase, PROVIDER))
    given = Circumstances(Trust((root,)), PROVIDER, datetime.now(UTC))
    shared = desk.folder / "shared"
    shared.write_bytes(b"0123456789abcdef\n")
    desk.apply()
    desk.done("approve", "A1", "--by", "李四")
    with SealMakingSystem({"govhub": b"0123456789abcdef"}, maker, given) as system:
        at = ("--maker", system.url, "--maker-key-file", shared)
        words = ("--id", "A1", "--anchor", desk.trial / "root.pem", "--by", "王五")
        stranger = desk.run("new", desk.folder / "a.esl", *words, *at, "--maker-client", "x")
        assert stranger.exit_code == 1
        assert "401" in stranger.output
        desk.done("new", desk.folder / "a.esl", *words, *at)
        desk.done("issue", "A1", "--to", "赵六", "--by", "王五")
        assert desk.sign(desk.folder / "a.esl").exit_code == 0
        assert desk.run("tell", "A1", *at).exit_code == 1  # it is in use
        desk.done("lose", "A1", "--reason", "遗失", "--by", "王五")
        for _ in range(2):
            desk.done("tell", "A1", *at)
        assert system.statuses["A1"][0] == "lost"
    assert "no answer" in desk.run("tell", "A1", *at).output


def test_f79_a_maker_that_returns_another_seal_is_refused(desk: Desk) -> None:
    passphrase = (desk.trial / "passphrase").read_bytes().strip()
    root, certificate = (parse_pem((desk.trial / f"{n}.pem").read_bytes())[0] for n in ("root", "maker"))
    maker = Identity(certificate, load_key(desk.trial / "maker.key", passphrase, PROVIDER))
    given = Circumstances(Trust((root,)), PROVIDER, datetime.now(UTC))
    desk.apply()
    book = SealBook(desk.book)
    plan = plan_of(book, book.life("A1"))
    assert accept_made(make_seal(plan, maker, given), plan, given).es_id == "A1"
    other = Picture("PNG", b"another picture", 42, 42)
    signers = (certificate,)
    for wrong in (
        {"es_id": "A2"},
        {"name": "别的章"},
        {"picture": other},
        {"signers": signers},
        {"valid_until": plan.valid_until - timedelta(days=1)},
        {"type": 2},
        {"version": 1},
    ):
        made = make_seal(replace(plan, **wrong), maker, given)  # type: ignore[arg-type]
        with pytest.raises(SigningError, match="is not what was applied for"):
            accept_made(made, plan, given)


def test_the_log_tells_a_changed_or_shortened_book(desk: Desk) -> None:
    desk.to_use()
    head = json.loads(desk.done("log", "--json"))["head"]
    log = desk.book / "book.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    assert desk.run("log").exit_code == 0  # a shorter chain still holds,
    assert desk.run("log", "--head", head).exit_code == 1  # unless somebody remembers its head
    log.write_bytes(b"".join(lines).replace("李四".encode(), "王四".encode()))
    assert desk.run("log").exit_code == 1


def test_a_line_cut_by_a_crash_does_not_count_and_does_not_block(desk: Desk) -> None:
    desk.apply()
    log = desk.book / "book.log"
    with log.open("ab") as file:
        file.write(b'{"act":"approve","at":"2026')
    desk.done("approve", "A1", "--by", "李四")
    assert len(json.loads(desk.done("log", "--json"))["entries"]) == 2


def test_two_writers_make_one_chain(tmp_path: Path) -> None:
    book = SealBook(tmp_path)
    detail = {"name": "n", "holder": "h", "picture": "p", "valid_from": "a", "valid_until": "b"}
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def work(letter: str) -> None:
        for number in range(20):
            book.add("apply", f"{letter}{number}", "张三", at, detail)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "ABC"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(book.read()[1].seals) == 60


def test_a_kept_attachment_that_was_changed_is_not_used(desk: Desk) -> None:
    desk.apply()
    book = SealBook(desk.book)
    digest = book.life("A1").application["picture"]
    (desk.book / "things" / str(digest)).write_bytes(b"another picture")
    with pytest.raises(SigningError):
        book.kept(str(digest))
    with pytest.raises(SigningError):
        book.kept("../book.log")


def test_wrong_passphrase_and_open_key_files_are_one_line(desk: Desk) -> None:
    key = desk.trial / "maker.key"
    desk.apply()
    desk.done("approve", "A1", "--by", "李四")
    (desk.trial / "passphrase").write_text("wrong passphrase\n")
    words = ("new", desk.folder / "x.esl", "--id", "A1", *desk.keys("maker"), "--by", "王五")
    result = desk.run(*words)
    assert result.exit_code == 1
    assert "wrong passphrase" in result.output
    key.chmod(0o644)
    assert "chmod 600" in desk.run(*words).output


def test_no_key_and_no_passphrase_is_ever_written_or_printed(desk: Desk) -> None:
    """Everything that the commands print and keep, searched for the secrets in the forms they could take."""
    passphrase = (desk.trial / "passphrase").read_bytes().strip()
    scalars = [
        load_key(desk.trial / f"{who}.key", passphrase, PROVIDER).secret for who in ("maker", "signer")
    ]
    seal = desk.to_use()
    printed = [desk.sign(seal).output, desk.sign(seal).output, desk.done("log", "--json"), desk.done("list")]
    (desk.trial / "signer.key").write_bytes((desk.trial / "maker.key").read_bytes())
    printed.append(desk.sign(seal, "other.sig").output)  # a key that is not the certificate's
    assert "is not the SM2 key" in printed[-1]
    kept = [
        path.read_bytes() for path in desk.folder.rglob("*") if path.is_file() and path.name != "passphrase"
    ]
    everything = b"\n".join([*kept, *(text.encode() for text in printed)])
    for secret in (*scalars, passphrase):
        whole = int.from_bytes(secret, "big")
        for form in (secret, secret.hex().encode(), base64.b64encode(secret), b"%d" % whole):
            assert form not in everything
            assert form.upper() not in everything


def test_the_trial_never_overwrites_keys(desk: Desk) -> None:
    before = (desk.trial / "maker.key").read_bytes()
    assert desk.run("trial", desk.trial, book=False).exit_code == 1
    assert (desk.trial / "maker.key").read_bytes() == before
    assert encode_key(PROVIDER.generate(), b"0123456789ab", rounds=1000).startswith(b"-----BEGIN ENC")
