"""What a batch of decisions writes: ledger lines, events, dispatches, table updates. Pure: decisions in,
records out."""

from collections.abc import Sequence
from typing import Final

from hub import envelope, ids
from hub.config import Settings
from hub.envelope import LIFTED_PREFIX, Message
from hub.kafka import Header, Output
from hub.router.lines import REASON_CHARACTERS_MAX, TEXT_CHARACTERS_MAX, line_body, plain_line
from hub.routing.crossing import ADDRESSEE
from hub.routing.model import Decision, Disposition, OutcomeChange, Outgoing, TableUpdate, Verdict
from hub.routing.refusals import CREDIT_QUERY
from schemas import codec, contracts
from signing.evidence import Chain

Place = tuple[str, int]

# On the last ledger line of a transaction: "<link> <lines> <head in hex>" of the lane's hash chain.
CHAIN_HEADER: Final = "hub_chain"


class RouterOutbox:
    """The outputs of one transaction, grouped by partition. partition: of the lane; keyed topics are
    co-partitioned with its input."""

    def __init__(self, settings: Settings, partition: int, tables_version: str, now_ms: int) -> None:
        self._now_ms = now_ms
        self._version = tables_version
        self._routed = (settings.topic("case.routed"), partition)
        self._events = (settings.topic("case.events"), partition)
        self._outcomes = (settings.topic("case.outcomes"), partition)
        self._settings = settings
        known = contracts.load()
        self._routed_contract = known.by_type("hub.routed")
        self._outcome_contract = known.by_type("hub.outcome")
        # By identity, not equality: a message that the decision changed (a grade attached) is another object.
        # The message beside its headers keeps its identity from being given to another.
        self._came: dict[int, tuple[Message, Sequence[Header]]] = {}
        self._routes: dict[Outgoing, tuple[list[Output], tuple[Header, ...]]] = {}
        self.outputs: dict[Place, list[Output]] = {}

    def came(self, message: Message, headers: Sequence[Header]) -> None:
        """An input message and its headers, so that they need not be made again."""
        self._came[id(message)] = (message, headers)

    def add(self, subject: str, decision: Decision) -> None:
        """Everything a decision about this aggregate sends."""
        for verdict in decision.verdicts:
            self._verdict(verdict)
        for change in decision.outcome_changes:
            self._outcome(subject, change)
        for update in decision.table_updates:
            self._table(update)

    def link(self, chain: Chain) -> Chain:
        """The lane's hash chain after this batch (G7): one link over its ledger lines, written beside the
        last of them. Call it once, when everything is added."""
        lines = self.outputs.get(self._routed)
        if not lines:
            return chain
        after = chain.extend(value for _, value, _, _ in lines if value is not None)
        key, value, headers, timestamp = lines[-1]
        header = b"%d %d %b" % (after.links, len(lines), after.head.hex().encode())
        lines[-1] = (key, value, [*headers, (CHAIN_HEADER, header)], timestamp)
        return after

    def _verdict(self, verdict: Verdict) -> None:
        message = verdict.message
        key, value = message.subject.encode(), message.value
        came = self._came.get(id(message))
        # Made anew only for a message that the hub made, changed or kept.
        headers = came[1] if came is not None else envelope.to_headers(message)
        dispatch_ids, now_ms = [], self._now_ms
        for outgoing in verdict.dispatches:
            dispatch = ids.dispatch_id(message.id, outgoing.member).encode()
            dispatch_ids.append(dispatch)
            queue, said = self._routes.get(outgoing) or self._route(outgoing)
            queue.append((key, value, [*headers, ("hub_dispatch", dispatch), *said], now_ms))
        line = plain_line(verdict, self._version, key, dispatch_ids)
        if line is None:
            line = self._line(verdict, dispatch_ids)
        # By this header the bridge knows whose ledger waits for what becomes of the message.
        self._put(self._routed, key, line, [("ce_via", message.via.encode())] if message.via else [])
        if verdict.disposition is Disposition.ROUTED:
            stage = ("hub_stage", verdict.stage.encode())
            self._put(self._events, key, value, [*headers, ("hub_disposition", b"routed"), stage])

    def _route(self, outgoing: Outgoing) -> tuple[list[Output], tuple[Header, ...]]:
        """Where a dispatch is written and what its headers say besides its id: the same for all of a
        batch."""
        said = [("hub_kind", outgoing.kind.encode())]
        if outgoing.kind == CREDIT_QUERY:
            said.append(("hub_until", b"%d" % (self._now_ms + self._settings.credit_timeout_ms)))
        if outgoing.to:
            said.append((LIFTED_PREFIX + ADDRESSEE, outgoing.to.encode()))
        if outgoing.flags:
            said.append(("hub_flags", ",".join(outgoing.flags).encode()))
        place = (self._settings.topic("deliver." + outgoing.member), 0)
        route = (self.outputs.setdefault(place, []), tuple(said))
        self._routes[outgoing] = route
        return route

    def _line(self, verdict: Verdict, dispatch_ids: list[bytes]) -> bytes:
        dispatches = [
            {"id": id_.decode(), "member": out.member, "kind": out.kind}
            for id_, out in zip(dispatch_ids, verdict.dispatches, strict=True)
        ]
        return codec.encode(self._routed_contract, line_body(verdict, self._version, dispatches))

    def _outcome(self, subject: str, change: OutcomeChange) -> None:
        body = {
            "dispatchId": change.dispatch_id,
            "messageId": change.message_id,
            "caseNo": subject,
            "member": change.member,
            "kind": "",
            "outcome": change.outcome,
            "code": change.code[:REASON_CHARACTERS_MAX] or None,
            "detail": change.detail[:TEXT_CHARACTERS_MAX] or None,
            "attempts": 0,
            "at": self._now_ms,
            "behind": None,
            "receipt": None,
        }
        value = codec.encode(self._outcome_contract, body)
        headers = [("hub_dispatch", change.dispatch_id.encode())]
        if change.via:
            headers.append(("ce_via", change.via.encode()))
        self._put(self._outcomes, subject.encode(), value, headers)

    def _table(self, update: TableUpdate) -> None:
        self._put((self._settings.topic(update.table), 0), update.key.encode(), update.value, [])

    def _put(self, place: Place, key: bytes, value: bytes | None, headers: list[Header]) -> None:
        self.outputs.setdefault(place, []).append((key, value, headers, self._now_ms))
