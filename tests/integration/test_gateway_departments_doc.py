"""docs/departments.md, run as a department would run it: every sample, in the order of the page, against a
real gateway."""

import asyncio
import http.server
import json
import re
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import KEYS, SP_KEY, SP_SECRET, Gateway, running_gateway, settings_for
from test_gateway_sp import ACCEPT
from test_gateway_sp import document as sp_document

from schemas import samples
from signing.http_auth import sign_request
from tests.servers import Kafka

PAGE = (Path(__file__).parents[2] / "docs" / "departments.md").read_text("utf-8")
SAMPLES = dict(re.findall(r"<!-- sample: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
OUTBOUND = b"the outbound key you were given"


class Department:
    """A developer who pastes the page's samples, one after another, into one program."""

    def __init__(self, hub: str) -> None:
        self.names: dict[str, Any] = {
            "body": samples.body("case.submitted"),
            "SP_KEY": SP_KEY,
            "SP_SECRET": SP_SECRET,
        }
        self.run("client")
        self.names |= {"HUB": hub, "MEMBER": "platform", "KEY": KEYS["platform"]}

    def run(self, *names: str) -> dict[str, Any]:
        for name in names:
            exec(compile(SAMPLES[name], f"departments.md:{name}", "exec"), self.names)
        return self.names


async def run_page(gateway: Gateway, story: Callable[[Department], None]) -> None:
    await asyncio.to_thread(lambda: story(Department(gateway.url)))


async def test_the_samples_that_send_get_what_the_page_promises(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    def story(department: Department) -> None:
        names = department.run("first")
        assert names["status"] == 202
        assert set(names["receipt"]) == {"messageId", "caseNo", "digest", "status"}
        first = names["receipt"]
        department.run("resend")
        assert names["send_until_received"](names["message"]) == first
        with pytest.raises(ValueError, match="conflict"):
            names["send_until_received"](dict(names["message"], occurredAt="2025-03-03T10:00:00"))
        department.run("correct")
        assert names["status"] == 202
        assert names["receipt_of_version_2"]["caseNo"] == first["caseNo"]
        department.run("file")
        assert names["status"] == 200
        names["body"]["materials"] = [names["material"]]
        with_file = dict(names["message"], sourceRef="F-1", caseRef="F-1")
        assert names["send_until_received"](with_file)["status"] == "received"
        department.run("ask")
        assert (names["status"], names["seen"]["status"]) == (200, "received")

    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        await run_page(gateway, story)
        assert len(await gateway.inbound()) == 3


async def test_the_soap_and_sp_samples_get_the_same_receipts(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    def story(department: Department) -> None:
        over_rest = department.run("first")["receipt"]
        over_soap = department.run("soap")["receipt"]
        assert over_soap.messageId == over_rest["messageId"]
        assert over_soap.digest == over_rest["digest"]
        department.names["xml"] = sp_document(ACCEPT, serial=over_rest["caseNo"])
        result = department.run("sp")["result"]
        assert result["STATUS"] == "200", result
        assert over_rest["caseNo"] in result["DATA"]

    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        await run_page(gateway, story)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The page's receiver on a free port, and the dispatches its business handled."""
    handled: list[str] = []
    department = Department("http://127.0.0.1:1")
    department.names |= {
        "DATABASE": str(tmp_path / "book.sqlite"),
        "handle": lambda _, dispatch: handled.append(dispatch["dispatchId"]),
    }
    with sqlite3.connect(tmp_path / "book.sqlite") as database:
        database.execute("CREATE TABLE book (dispatch TEXT PRIMARY KEY)")
    handler = department.run("receive")["Receiver"]
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handled
        server.shutdown()
        thread.join()


def post(url: str, body: bytes, key: bytes = OUTBOUND) -> tuple[int, Any]:
    path = "/hub/dispatches"
    headers = sign_request(
        key,
        "hub",
        "POST",
        path,
        body,
        timestamp_ms=int(time.time() * 1000),
        nonce=f"nonce-{time.monotonic_ns()}",
    )
    request = urllib.request.Request(url + path, body, headers | {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def test_the_receiving_sample_does_a_repeated_dispatch_once_and_refuses_strangers(
    receiver: tuple[str, list[str]],
) -> None:
    url, handled = receiver
    body = json.dumps({"dispatchId": "d-1", "kind": "case.submitted", "body": {}}).encode()
    assert post(url, body) == (200, {"status": "done"})
    assert post(url, body) == (200, {"status": "already_done"})
    assert post(url, body, key=b"another key altogether")[0] == 401
    assert handled == ["d-1"]


def test_no_sample_of_the_page_goes_unrun() -> None:
    assert set(SAMPLES) == {"client", "first", "resend", "correct", "file", "ask", "receive", "soap", "sp"}
