"""A peer that keeps the hub's anchors and countersigns them: the simulated nation's part in evidence. It
takes only an anchor that follows the one it has, so the hub cannot show two histories.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from signing.anchors import Anchor, Countersignature
from signing.certificates import parse_certificate
from signing.errors import SigningError
from signing.issuing import Identity
from stubs.model import SHANGHAI
from stubs.rest_server import answer
from stubs.settings import PROVIDER
from stubs.storage import Storage

PATH: Final = "/hub/evidence/anchors"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS anchors (
  number INTEGER PRIMARY KEY, digest TEXT NOT NULL, text TEXT NOT NULL, certificate BLOB NOT NULL,
  at TEXT NOT NULL);
"""


class SentAnchor(msgspec.Struct, frozen=True):
    """What the hub sends. statement: the anchor's text. Bytes as base64."""

    statement: str
    signature: bytes
    certificate: bytes


class Witness:
    """Keeps anchors in the member's own database."""

    def __init__(self, member: str, signer: Identity, storage: Storage) -> None:
        self._member, self._signer, self._storage = member, signer, storage
        storage.define(_SCHEMA)

    async def take(self, request: web.Request) -> web.Response:
        """200 with the countersignature, the same for an anchor that comes again; 400 for what is no signed
        anchor; 409 for one that does not follow what is kept."""
        try:
            sent = msgspec.json.decode(await request.read(), type=SentAnchor)
            text = sent.statement.encode()
            anchor = Anchor.from_bytes(text)
            certificate = parse_certificate(sent.certificate)
            if not PROVIDER.verify(certificate.public_key, text, sent.signature):
                raise SigningError("anchor", "signature does not fit")
        except (msgspec.DecodeError, SigningError) as error:
            return answer(400, {"error": {"code": "anchor", "zh": "不是已签名的锚", "en": str(error)}})
        with self._storage.transaction():
            reason = self._keep(anchor, sent)
        if reason:
            return answer(409, {"error": {"code": "history", "zh": "与已留存的历史不符", "en": reason}})
        return answer(200, self._countersigned(anchor))

    def _keep(self, anchor: Anchor, sent: SentAnchor) -> str:
        """Why it cannot be kept, "" when it is. The first anchor that comes is where keeping begins."""
        kept = self._storage.query("SELECT text, certificate FROM anchors ORDER BY number DESC LIMIT 1")
        if kept:
            last = Anchor.from_bytes(kept[0][0].encode())
            if kept[0][1] != sent.certificate:
                return "signed by another certificate than before"
            if anchor.number <= last.number:
                known = self._storage.query("SELECT digest FROM anchors WHERE number = ?", (anchor.number,))
                return (
                    "" if known == [(anchor.digest(),)] else f"number {anchor.number} is another anchor here"
                )
            # An anchor between may have been missed while this side was away; lanes never go back.
            if anchor.number == last.number + 1 and not anchor.follows(last):
                return f"does not follow number {last.number}"
            if any(anchor.lanes.get(lane, (-1, ""))[0] < number for lane, (number, _) in last.lanes.items()):
                return "a lane went back"
        self._storage.execute(
            "INSERT INTO anchors VALUES (?, ?, ?, ?, ?)",
            (anchor.number, anchor.digest(), sent.statement, sent.certificate, _now()),
        )
        return ""

    def _countersigned(self, anchor: Anchor) -> dict[str, Any]:
        ((at,),) = self._storage.query("SELECT at FROM anchors WHERE number = ?", (anchor.number,))
        text = Countersignature(self._member, anchor.digest(), at).to_bytes()
        return {
            "peer": self._member,
            "text": text.decode(),
            "signature": PROVIDER.sign(self._signer.key, text),
            "certificate": self._signer.certificate.raw,
        }


def _now() -> str:
    return datetime.now(SHANGHAI).isoformat(timespec="seconds")
