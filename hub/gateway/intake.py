"""One way in for every door (REST, SOAP, SP*): validate, number, lift headers, find conflicts, produce, and
only then a receipt.

G1: no receipt before acks=all. G7/G8: a receipt holds derived fields only, the same at every gateway and for
every re-send. No transport here.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from adapters.ports import Submission
from hub import ids
from hub.envelope import Message, to_headers
from hub.errors import BrokerAway, OutputRefused
from hub.gateway.callers import Caller
from hub.gateway.errors import Rejected, invalid, too_large
from hub.gateway.known import Known
from hub.gateway.metrics import Metrics
from hub.gateway.producer import Producer
from schemas import admission, codec, contracts, times, validate
from schemas.errors import ContractError
from schemas.model import Contract
from signing.pseudonym import pseudonym

TOPIC: Final = "case.inbound"
RETRY_AFTER_S: Final = 5
SUBMISSIONS_MAX: Final = 100
HEADER_BYTES_MAX: Final = 16_384
VERSION_MAX: Final = 999_999
REFERENCE_CHARS_MAX: Final = 200
# Longer than the others: SP* keys are made of several parts, one of them a digest (R1).
SOURCE_REF_CHARS_MAX: Final = 400
_NESTED: Final = frozenset({dict, list})


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What a member gets for a durable message. Nothing in it depends on when or where it was received."""

    message_id: str
    case_no: str
    digest: str
    status: str = "received"


class Intake:
    """Accepts submissions of authenticated callers."""

    def __init__(
        self,
        producer: Producer,
        known: Known,
        metrics: Metrics,
        *,
        province: str,
        pseudonym_key: bytes,
        record_bytes_max: int,
    ) -> None:
        self._producer = producer
        self._known = known
        self._metrics = metrics
        self._province = province
        self._pseudonym_key = pseudonym_key
        self._record_bytes_max = record_bytes_max

    async def accept(self, caller: Caller, submissions: Sequence[Submission]) -> list[Receipt]:
        """Receipts in the order of the submissions, after every one of them is durable.

        All are validated and looked for before the first is produced. A stop half-way leaves the first ones
        accepted: the ids are derived,
        so the caller's retry of the whole document adds only what is missing. Raises Rejected.
        """
        if not 1 <= len(submissions) <= SUBMISSIONS_MAX:
            raise invalid(
                "$",
                f"1..{SUBMISSIONS_MAX} records",
                "R1",
                f"一份文件应有 1 至 {SUBMISSIONS_MAX} 条记录",
                f"a document carries 1 to {SUBMISSIONS_MAX} records",
            )
        try:
            messages = [self.prepare(caller, submission) for submission in submissions]
        except Rejected:
            self._metrics.message("refused")
            raise
        async with self._known.claim([message.id for message in messages]) as known:
            missing = self._missing(messages, known)
            for message in missing:
                await self._produce(message)
        return [_receipt(message) for message in messages]

    def prepare(self, caller: Caller, submission: Submission) -> Message:
        """The message of a submission, ready to be produced. Raises Rejected (400, 403, 413)."""
        contract = _contract_of(submission.type)
        _check_envelope(submission)
        _check_source_system(caller, submission.source_system)
        value, body = _admitted(contract, submission.body)
        attributes = validate.routing(contract, body, self._pseudonym)
        time_ms = occurred_ms(submission.occurred_at)
        region, item = attributes.pop("region", ""), attributes.pop("item", "")
        if submission.version > 1:  # a correction (更正) stays legal after the end of its case (R9)
            attributes["version"] = str(submission.version)
        subject = self._subject(caller, contract, submission, attributes)
        content = {"body": body, "caseNo": subject, "occurredAt": time_ms}
        message = Message(
            id=ids.message_id(
                caller.id,
                submission.source_system,
                submission.source_ref,
                submission.type,
                submission.version,
            ),
            source=caller.id,
            type=submission.type,
            subject=subject,
            time_ms=time_ms,
            value=value,
            region=region,
            item=item,
            source_key=submission.source_ref,
            digest=ids.content_digest(submission.type, content),
            correlation=submission.correlation,
            attributes=attributes,
        )
        self._check_size(message)
        return message

    def _missing(self, messages: list[Message], known: dict[str, str]) -> list[Message]:
        """Those not yet accepted. Raises Rejected 409 with both digests before anything is produced (R2)."""
        missing: dict[str, Message] = {}
        for message in messages:
            first = known.get(message.id) or (missing[message.id].digest if message.id in missing else None)
            if first is None:
                missing[message.id] = message
            elif first != message.digest:
                self._metrics.message("conflict")
                raise Rejected(
                    409,
                    "conflict",
                    f"来源主键 {message.source_key} 已用于其他内容（R2）：先 {first}，后 "
                    f"{message.digest}；更正请提高 version",
                    f"source key {message.source_key} was used with other content (R2): first {first}, "
                    f"now {message.digest}; "
                    "a correction needs a higher version",
                    digests=(first, message.digest),
                )
            else:
                self._metrics.message("repeated")
        return list(missing.values())

    async def _produce(self, message: Message) -> None:
        try:
            await self._producer.send(TOPIC, message.subject.encode(), message.value, to_headers(message))
        except BrokerAway as error:
            raise Rejected(
                503,
                "broker_away",
                "消息尚未落盘，未出具回执，请稍后原样重发",
                "the message is not durable yet and has no receipt; send the same again later",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        except OutputRefused as error:
            raise too_large("消息", "the message", self._record_bytes_max) from error
        self._known.remember(message.id, message.digest)
        self._metrics.message("produced")

    def _subject(
        self, caller: Caller, contract: Contract, submission: Submission, attributes: dict[str, str]
    ) -> str:
        """The aggregate's own number (R6): 办件编号 for case types, "S" + pseudonym for a credit subject."""
        if contract.key_rule == "subject":
            return "S" + attributes["party"]
        if contract.opening:
            if submission.case_no:
                raise _bad_case(
                    "caseNo",
                    "申报消息由枢纽编号，不得带 caseNo",
                    "an opening message is numbered by the hub, give no caseNo",
                )
            if not submission.case_ref:
                raise _bad_case(
                    "caseRef",
                    "申报消息必须带本单位的办件标识 caseRef",
                    "an opening message needs the sender's own caseRef",
                )
        if submission.case_no:
            if not ids.is_case_number(submission.case_no, province=self._province):
                raise _bad_case(
                    "caseNo",
                    f"{submission.case_no} 不是枢纽的办件编号",
                    f"{submission.case_no} is not a case number of the hub",
                )
            return submission.case_no
        if not submission.case_ref:
            raise _bad_case(
                "caseNo",
                "缺少 caseNo（或本单位开办案件的 caseRef）",
                "caseNo, or the caseRef of a case you opened, is missing",
            )
        return ids.case_number(
            caller.id, submission.source_system, submission.case_ref, province=self._province
        )

    def _pseudonym(self, id_type: str, id_no: str) -> str:
        return pseudonym(f"{id_type}:{id_no}", self._pseudonym_key)

    def _check_size(self, message: Message) -> None:
        # Only a large value makes it worth adding the headers up: they are bounded by HEADER_BYTES_MAX.
        if len(message.value) + HEADER_BYTES_MAX <= self._record_bytes_max:
            return
        headers = sum(len(name) + len(value) for name, value in to_headers(message))
        if len(message.value) + len(message.subject) + headers > self._record_bytes_max:
            raise too_large("消息", "the message", self._record_bytes_max)


def _admitted(contract: Contract, body: Any) -> admission.Admitted:
    """A body checked, encoded and without its absent fields. Raises Rejected with all its violations."""
    admitted = admission.admit(contract, body)
    if admitted is not None:
        return admitted
    try:
        checked = validate.check(contract, body)
    except ContractError as error:
        raise Rejected(
            400,
            "invalid",
            f"{contract.name} 有 {len(error.violations)} 处不符合契约",
            f"{contract.name} breaks its contract in {len(error.violations)} places",
            violations=error.violations,
        ) from error
    return admission.Admitted(codec.encode(contract, checked), without_nulls(checked))


def _receipt(message: Message) -> Receipt:
    # A subject's number is a pseudonym: of no use to the member, and not its business.
    case = contracts.load().by_type(message.type).key_rule == "case"
    return Receipt(message.id, message.subject if case else "", message.digest)


def occurred_ms(text: str) -> int:
    """Business time in ms since the epoch; without zone = Asia/Shanghai (R7). Raises Rejected."""
    try:
        time_ms = times.parse_ms(text)
    except times.TimeError:
        time_ms = None
    if time_ms is None:
        raise invalid(
            "occurredAt",
            "ISO 8601",
            "GB/T 7408.1-2023",
            "occurredAt 不是 ISO 8601 时间",
            "occurredAt is not an ISO 8601 time",
        )
    return time_ms


def without_nulls(value: Any) -> Any:
    """The content without absent fields: an optional field added to the contract later must not change a
    digest."""
    if type(value) is dict:
        return {
            name: without_nulls(item) if type(item) in _NESTED else item
            for name, item in value.items()
            if item is not None
        }
    if type(value) is list:
        return [without_nulls(item) for item in value]
    return value


def _contract_of(type_: str) -> Contract:
    known = contracts.load()
    if type_ not in known:
        raise invalid(
            "type",
            "a type of the contract",
            "/docs",
            f"未知的消息类型 {type_[:60]}，见 /docs",
            f"unknown message type {type_[:60]}, see /docs",
            code="unknown_type",
        )
    contract = known.by_type(type_)
    if contract.origin != "member":
        # A member that could send these could forge a credit answer or a refusal.
        raise invalid(
            "type",
            "hub-made type",
            "R11",
            f"{type_} 只由枢纽产生",
            f"{type_} is made by the hub alone",
            status=403,
            code="hub_only_type",
        )
    return contract


def _check_envelope(submission: Submission) -> None:
    # Doors check their own dialect; what becomes a header of the hub is bounded for all of them here.
    if not 1 <= submission.version <= VERSION_MAX:
        raise invalid(
            "version",
            f"1..{VERSION_MAX}",
            "R1",
            f"version 应为 1 至 {VERSION_MAX}",
            f"version must lie in 1..{VERSION_MAX}",
        )
    for field, text, chars_max in (
        ("sourceRef", submission.source_ref, SOURCE_REF_CHARS_MAX),
        ("sourceSystem", submission.source_system, REFERENCE_CHARS_MAX),
        ("caseRef", submission.case_ref, REFERENCE_CHARS_MAX),
        ("correlation", submission.correlation, REFERENCE_CHARS_MAX),
    ):
        if len(text) > chars_max or (text and not text.isprintable()):
            raise invalid(
                field,
                f"at most {chars_max} printable characters",
                "R1",
                f"{field} 应为至多 {chars_max} 个可打印字符",
                f"{field}: at most {chars_max} printable characters",
            )
    if not submission.source_ref.strip():
        raise invalid(
            "sourceRef",
            "required",
            "R1",
            "缺少来源编号 sourceRef",
            "sourceRef, what identifies the message at its sender, is missing",
        )


def _check_source_system(caller: Caller, system: str) -> None:
    if system and caller.source_systems and system not in caller.source_systems:
        raise invalid(
            "sourceSystem",
            "a system of the sender",
            "R11",
            f"{system} 不是成员 {caller.id} 登记的系统，不得代他人发送",
            f"{system} is not a system of member {caller.id}; nobody speaks for another",
            status=403,
            code="speaking_for_another",
        )


def _bad_case(field: str, zh: str, en: str) -> Rejected:
    return invalid(field, "R6", "GB/T 39046-2020 办件编号", f"{field}：{zh}", f"{field}: {en}")
