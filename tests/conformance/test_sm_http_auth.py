"""Request signatures (R16): the published vectors, checked against OpenSSL's command line, and the sample
callers of docs/authentication.md run as a department would run them."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from signing import http_auth
from signing.errors import AuthError

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "signing/vectors/http_auth.json").read_text("utf-8"))["vectors"]
SHA256_VECTORS = [v for v in VECTORS if v["algorithm"] == http_auth.HMAC_SHA256]
KEY = b"sample-key-of-dept-a"
JAVAC = shutil.which("javac")
OPENSSL = shutil.which("openssl")


def sample(language: str) -> str:
    text = (ROOT / "docs/authentication.md").read_text("utf-8")
    found = re.search(rf"<!-- sample: {language} -->\n```{language}\n(.*?)```", text, re.DOTALL)
    assert found, f"docs/authentication.md has no {language} sample"
    return found[1]


def openssl(*args: str, data: bytes) -> str:
    assert OPENSSL
    done = subprocess.run([OPENSSL, "dgst", *args], input=data, capture_output=True, check=True, timeout=20)
    return done.stdout.decode().rsplit("= ", 1)[1].strip()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_r16_vector(vector: dict[str, Any]) -> None:
    body = base64.b64decode(vector["body_base64"])
    canonical = http_auth.canonical_string(
        vector["method"],
        vector["path_and_query"],
        vector["member"],
        str(vector["timestamp_ms"]),
        vector["nonce"],
        vector["body_digest"],
    )
    assert canonical == vector["canonical"].encode("ascii")
    headers = http_auth.sign_request(
        bytes.fromhex(vector["key_hex"]),
        vector["member"],
        vector["method"],
        vector["path_and_query"],
        body,
        algorithm=vector["algorithm"],
        timestamp_ms=vector["timestamp_ms"],
        nonce=vector["nonce"],
    )
    assert headers["X-Hub-Signature"] == vector["signature"]
    verified = http_auth.Verifier().verify(
        {name.lower(): value for name, value in headers.items()},
        vector["method"],
        vector["path_and_query"],
        body,
        keys=[b"the new key", bytes.fromhex(vector["key_hex"])],
        now_ms=vector["timestamp_ms"] + 1,
    )
    assert (verified.member, verified.resend) == (vector["member"], False)


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command: vectors not checked a second way")
@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_r16_vector_as_openssl_computes_it(vector: dict[str, Any]) -> None:
    hash_name = "-sm3" if vector["algorithm"] == http_auth.HMAC_SM3 else "-sha256"
    body = base64.b64decode(vector["body_base64"])
    assert openssl(hash_name, data=body) == vector["body_digest"]
    mac = openssl(
        hash_name,
        "-mac",
        "HMAC",
        "-macopt",
        f"hexkey:{vector['key_hex']}",
        data=vector["canonical"].encode("ascii"),
    )
    assert base64.b64encode(bytes.fromhex(mac)).decode() == vector["signature"]


def test_r16_both_algorithms_cover_the_same_kinds_of_request() -> None:
    assert len(SHA256_VECTORS) >= 12
    assert len(VECTORS) == 2 * len(SHA256_VECTORS)


@pytest.fixture
def server() -> Iterator[tuple[str, list[http_auth.Verified]]]:
    """A real HTTP server that accepts signed requests only."""
    seen: list[http_auth.Verified] = []
    verifier = http_auth.Verifier()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            now_ms = int(time.time() * 1000)
            try:
                seen.append(
                    verifier.verify(
                        dict(self.headers.items()), "POST", self.path, body, keys=[KEY], now_ms=now_ms
                    )
                )
            except AuthError as refused:
                self.send_response(401)
                reply = str(refused).encode()
            else:
                self.send_response(202)
                reply = body
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}", seen
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def python_sample() -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(sample("python"), "docs/authentication.md", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("vector", SHA256_VECTORS, ids=lambda v: v["name"])
def test_r16_python_sample_reproduces(vector: dict[str, Any]) -> None:
    assert (
        python_sample()["sign"](
            bytes.fromhex(vector["key_hex"]),
            vector["member"],
            vector["method"].upper(),
            vector["path_and_query"],
            base64.b64decode(vector["body_base64"]),
            str(vector["timestamp_ms"]),
            vector["nonce"],
        )
        == vector["signature"]
    )


def test_r16_python_sample_is_accepted_over_http(server: tuple[str, list[http_auth.Verified]]) -> None:
    url, seen = server
    body = '{"名称":"营业执照"}'.encode()
    status, reply = python_sample()["post"](f"{url}/v1/messages?dry=1&q=%E8%90%A5", KEY, "dept-a", body)
    assert (status, reply) == (202, body)
    assert [v.member for v in seen] == ["dept-a"]


JAVA_DRIVER = """
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
public final class Driver {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Base64.Decoder b64 = Base64.getDecoder();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] f = line.split("\\t", -1);
            System.out.println(HubCaller.sign(b64.decode(f[0]), f[1], f[2], f[3], b64.decode(f[4]), f[5],
            f[6]));
        }
        System.exit(HubCaller.post(args[0], args[1].getBytes(StandardCharsets.UTF_8), "dept-a",
            "{\\"\\u540d\\":1}".getBytes(StandardCharsets.UTF_8)) == 202 ? 0 : 3);
    }
}
"""


@pytest.mark.skipif(JAVAC is None, reason="no javac: the Java sample is not compiled here")
def test_r16_java_sample_reproduces_all_and_is_accepted_over_http(
    tmp_path: Path, server: tuple[str, list[http_auth.Verified]]
) -> None:
    assert JAVAC
    url, seen = server
    (tmp_path / "HubCaller.java").write_text(sample("java"), "utf-8")
    (tmp_path / "Driver.java").write_text(JAVA_DRIVER, "utf-8")
    compile_ = [JAVAC, "-encoding", "UTF-8", "-nowarn", "--release", "8", "HubCaller.java", "Driver.java"]
    subprocess.run(compile_, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    lines = [
        "\t".join(
            (
                base64.b64encode(bytes.fromhex(v["key_hex"])).decode(),
                v["member"],
                v["method"].upper(),
                v["path_and_query"],
                v["body_base64"],
                str(v["timestamp_ms"]),
                v["nonce"],
            )
        )
        for v in SHA256_VECTORS
    ]
    java = str(Path(JAVAC).with_name("java"))
    done = subprocess.run(
        [java, "-cp", str(tmp_path), "Driver", f"{url}/v1/messages?x=1", KEY.decode()],
        input="\n".join(lines).encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert done.stdout.decode().splitlines()[: len(lines)] == [v["signature"] for v in SHA256_VECTORS]
    assert [v.member for v in seen] == ["dept-a"]


def test_r16_csharp_sample_keeps_to_the_language_of_2005() -> None:
    """It cannot run here; at least nothing newer than C# 2.0 and .NET 2.0 slips in."""
    text = sample("csharp")
    for newer in (" var ", "=>", "async", "await", "HttpClient", "System.Linq", '$"', "??=", "Task"):
        assert newer not in text
    assert '"GOVHUB-HMAC-1", method, pathAndQuery, member, timestamp, nonce, digest' in text
