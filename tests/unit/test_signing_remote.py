"""A signature server over HTTP: keys stay there, answers are checked here, and every failure is one error."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from signing.errors import SigningError
from signing.issuing import Identity, issue, make_authority
from signing.keys import encode_key, load_key
from signing.provider import KeyKind, PrivateKey, Provider, SoftwareProvider
from signing.remote import ANSWER_BYTES_MAX, RemoteProvider
from signing.seals.checking import Circumstances, check_signature
from signing.seals.making import SealPlan, make_seal, seal_document
from signing.seals.model import Picture
from signing.trust import Trust
from stubs.signature_server import SignatureServer

LOCAL = SoftwareProvider()
CLIENT, SHARED = "govhub", b"0123456789abcdef"
KEYS = {kind.lower(): LOCAL.generate(kind) for kind in ("SM2", "RSA", "EC")}


@pytest.fixture(scope="module")
def server() -> Iterator[SignatureServer]:
    with SignatureServer({CLIENT: SHARED}, KEYS) as running:
        yield running


@pytest.fixture
def remote(server: SignatureServer) -> Iterator[RemoteProvider]:
    provider = RemoteProvider(server.url, CLIENT, SHARED)
    yield provider
    provider.close()


@pytest.mark.parametrize("name", KEYS)
def test_signatures_of_the_server_verify_anywhere(remote: RemoteProvider, name: str) -> None:
    key = remote.key(name)
    assert key.public == KEYS[name].public
    assert key.secret == name.encode()
    for data in (b"", b"abc", bytes(100_000)):
        assert LOCAL.verify(key.public, data, remote.sign(key, data))


def test_it_is_a_provider_like_any_other(remote: RemoteProvider) -> None:
    """A seal and a signature made with keys that never leave the server."""
    provider: Provider = remote
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
    term = {"not_before": start, "not_after": end}
    key = remote.key("sm2")
    root = make_authority(provider, provider.generate(), {"C": "CN", "CN": "root"}, **term)
    signer = Identity(issue(provider, root, key.public, {"C": "CN", "CN": "signer"}, **term), key)
    given = Circumstances(Trust((root.certificate,)), provider, datetime(2026, 1, 1, tzinfo=UTC))
    plan = SealPlan("A", 1, "章", "v", (signer.certificate,), Picture("PNG", b"x", 42, 42), start, start, end)
    signature = seal_document(make_seal(plan, signer, given), signer, b"doc", "doc", given)
    assert check_signature(signature, given, original=b"doc").now.valid


def test_decryption_happens_at_the_server(remote: RemoteProvider) -> None:
    key = remote.key("sm2")
    assert remote.decrypt(key, remote.encrypt(key.public, b"a session key")) == b"a session key"
    with pytest.raises(SigningError):
        remote.decrypt(remote.key("rsa"), b"x")


def test_the_server_makes_keys(remote: RemoteProvider) -> None:
    made = remote.generate("EC")
    assert LOCAL.verify(made.public, b"x", remote.sign(made, b"x"))


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(SigningError) as told:
        work()
    assert told.value.zh
    return told.value.en


@pytest.fixture
def reference(server: SignatureServer, tmp_path: Path) -> Path:
    """What lies where a key file would lie."""
    (tmp_path / "shared").write_bytes(SHARED + b"\n")
    (tmp_path / "shared").chmod(0o600)
    file = tmp_path / "signer.key"
    said = {"url": server.url, "client": CLIENT, "client_key_file": "shared", "key": "sm2"}
    file.write_text(json.dumps(said))
    file.chmod(0o600)
    return file


def test_a_reference_in_place_of_a_key_file_signs_at_the_server(reference: Path) -> None:
    """Whoever reads key files can use a signature server, without knowing it."""
    key = load_key(reference, b"", LOCAL)
    assert key.public == KEYS["sm2"].public
    assert KEYS["sm2"].secret not in repr(key).encode()
    assert LOCAL.verify(key.public, b"x", LOCAL.sign(key, b"x"))
    assert LOCAL.decrypt(key, LOCAL.encrypt(key.public, b"session key")) == b"session key"
    assert "never leaves" in refused(lambda: encode_key(key, b"a long passphrase"))
    assert "held elsewhere" in refused(lambda: LOCAL.sign_digest(key, bytes(32), "SM2-SM3"))


def test_a_bad_reference_is_one_error(reference: Path) -> None:
    said = json.loads(reference.read_text())
    for wrong in (
        {"url": 7},
        {"client_key_file": "missing"},
        {"key": "nobody"},
        {"timeout_ms": "1"},
        {"ca_file": 7},
    ):
        reference.write_text(json.dumps(said | wrong))
        refused(lambda: load_key(reference, b"", LOCAL))
    for text in ("{", "{}", "{" * 20_000):
        reference.write_text(text)
        refused(lambda: load_key(reference, b"", LOCAL))
    reference.write_text(json.dumps(said))
    (reference.parent / "shared").chmod(0o644)
    assert "chmod 600" in refused(lambda: load_key(reference, b"", LOCAL))


def test_strangers_and_unknown_keys_are_refused(server: SignatureServer, remote: RemoteProvider) -> None:
    assert "401" in refused(lambda: RemoteProvider(server.url, CLIENT, b"another secret..").key("sm2"))
    assert "401" in refused(lambda: RemoteProvider(server.url, "stranger", SHARED).key("sm2"))
    assert "404" in refused(lambda: remote.key("nobody"))
    assert "key name" in refused(lambda: remote.key("../admin"))
    assert "400" in refused(lambda: remote.sign(PrivateKey(KEYS["ec"].public, b"sm2"), b"x"))
    assert "not a key of" in refused(lambda: remote.sign(PrivateKey(KEYS["sm2"].public, b"\xff" * 32), b"x"))


def test_a_signature_by_another_key_is_not_passed_on(remote: RemoteProvider) -> None:
    mixed = PrivateKey(LOCAL.generate("SM2").public, b"sm2")
    assert "does not verify" in refused(lambda: remote.sign(mixed, b"x"))


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[RemoteProvider]:
    """A server that speaks as badly as `answer` makes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        answer(connection)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield RemoteProvider(f"http://127.0.0.1:{listener.getsockname()[1]}", CLIENT, SHARED, timeout_ms=400)
        listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
    thread.join()


def reply(body: bytes, status: bytes = b"200 OK") -> Callable[[socket.socket], None]:
    return lambda c: c.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


SPKI = base64.b64encode(KEYS["sm2"].public.spki).decode()


@pytest.mark.parametrize(
    "answer",
    [
        lambda c: None,
        lambda c: c.sendall(b"nonsense\r\n\r\n"),
        lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        reply(b"{}"),
        reply(b"[]"),
        reply(b"[" * 60_000),
        reply(b"not json"),
        reply(b'{"kind":"SM2","spki":"%%%"}'),
        reply(b'{"kind":"SM2","spki":7}'),
        reply(json.dumps({"kind": "RSA", "spki": SPKI}).encode()),
        reply(json.dumps({"kind": "SM2", "spki": SPKI[:40]}).encode()),
        reply(b" " * (ANSWER_BYTES_MAX + 1)),
        reply(b'{"code":"busy"}', b"503 Busy"),
        reply(b"<html>", b"502 Bad Gateway"),
    ],
)
def test_bad_answers_are_one_error(answer: Callable[[socket.socket], None]) -> None:
    with answering(answer) as remote:
        refused(lambda: remote.key("sm2"))


def test_a_server_that_drips_does_not_hold_the_caller() -> None:
    """The whole call has one limit; a byte now and then does not renew it."""
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not stop.wait(0.05):
            connection.sendall(b" ")

    with answering(drip) as remote:
        told = refused(lambda: remote.key("sm2"))
        stop.set()
    assert "too long" in told or "timed out" in told


def test_nobody_there_is_one_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "cannot be reached" in refused(
        lambda: RemoteProvider(f"http://127.0.0.1:{port}", CLIENT, SHARED).key("a")
    )
    for url in ("ftp://x", "http://", "http://host/path", "host:1"):
        refused(lambda url=url: RemoteProvider(url, CLIENT, SHARED))  # type: ignore[misc]


def test_a_connection_the_server_closed_while_idle_is_opened_again(remote: RemoteProvider) -> None:
    key = remote.key("sm2")
    connection = remote._held.connection
    connection.sock.shutdown(socket.SHUT_RDWR)
    assert LOCAL.verify(key.public, b"x", remote.sign(key, b"x"))


@pytest.mark.parametrize("kind", ["SM2", "EC"])
def test_threads_do_not_share_a_connection(remote: RemoteProvider, kind: KeyKind) -> None:
    key, made = remote.key(kind.lower()), []

    def work() -> None:
        made.extend(remote.sign(key, b"%d" % number) for number in range(5))
        remote.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(made) == 20
