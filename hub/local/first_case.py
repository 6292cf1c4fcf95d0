"""The curl command that sends a first case: a valid signed request, ready to paste. Nothing is sent from
here."""

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signing.http_auth import sign_request

if TYPE_CHECKING:
    from hub.local.cluster import Secrets

_MEMBER = "platform"
_EXAMPLES = Path(__file__).parents[2] / "examples" / "cases" / _MEMBER / "plain.json"


def _example() -> Any:
    """The first of the example cases that needs no file."""
    for document in json.loads(_EXAMPLES.read_bytes()):
        if not any(material.get("ref") for material in document["body"]["materials"]):
            return document
    raise LookupError(f"{_EXAMPLES}: every case has files")


def curl_lines(gateway: str, data: Path, secrets: "Secrets") -> str:
    """Writes the request's body into the data directory and returns the curl command; its signature holds for
    five minutes."""
    body = json.dumps(_example(), ensure_ascii=False).encode()
    file = data / "first-case.json"
    file.write_bytes(body)
    now_ms = int(time.time() * 1000)
    headers = sign_request(
        secrets.members[_MEMBER]["INBOUND_KEY"].encode(),
        _MEMBER,
        "POST",
        "/v1/messages",
        body,
        timestamp_ms=now_ms,
        nonce=f"first-{now_ms}",
    )
    lines = [f"curl -sS {gateway}/v1/messages", "-H 'Content-Type: application/json'"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    lines.append(f"--data-binary @{shlex.quote(str(file))}")
    return " \\\n  ".join(lines)
