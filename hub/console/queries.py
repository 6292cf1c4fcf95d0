"""What pages read from PostgreSQL: cases, timelines, what stands still, the audit trail. SQL and rows only;
masking is done before display."""

from datetime import datetime
from typing import Any, Final

from hub.console.database import Database

CASES_SHOWN_MAX: Final = 50
OPEN_SHOWN_MAX: Final = 200
BEHIND_SHOWN_MAX: Final = 50
MESSAGES_SHOWN_MAX: Final = 500
DISPATCHES_SHOWN_MAX: Final = 5_000
AUDIT_SHOWN_MAX: Final = 200
NOTICES_SHOWN_MAX: Final = 50
ACT_CASES_MAX: Final = 1_000

_RECENT: Final = "SELECT * FROM cases ORDER BY updated_at DESC NULLS LAST LIMIT $1"
_BY_NUMBER: Final = "SELECT * FROM cases WHERE case_no LIKE $2 || '%' ORDER BY case_no LIMIT $1"
_MESSAGES: Final = """
SELECT id, case_no, type, source, source_ref, occurred_at, received_at, routed_at, disposition, reason, zh,
en, originated, causation,
  grade, digest, body::text AS body
FROM messages WHERE case_no = $1 ORDER BY coalesce(received_at, routed_at), occurred_at, id LIMIT $2"""
_DISPATCHES: Final = "SELECT * FROM dispatches WHERE case_no = $1 ORDER BY listed_at, member LIMIT $2"
_OPEN_DISPATCHES: Final = """
SELECT d.*, m.type, m.source, (SELECT count(*) FROM dispatches b WHERE b.behind = d.id) AS behind_count
FROM dispatches d LEFT JOIN messages m ON m.id = d.message_id
WHERE d.outcome = $1 AND d.behind = ''
  AND ($1 <> 'refused' OR EXISTS (SELECT 1 FROM dispatches b WHERE b.behind = d.id)) ORDER BY d.at LIMIT $2"""
_ONE_DISPATCH: Final = """
SELECT d.*, m.type, m.source, (SELECT count(*) FROM dispatches b WHERE b.behind = d.id) AS behind_count
FROM dispatches d LEFT JOIN messages m ON m.id = d.message_id WHERE d.id = $1"""
_PARKED_BY_CAUSE: Final = """
SELECT member, code, count(*) AS cases FROM dispatches WHERE outcome = 'parked' AND behind = ''
GROUP BY member, code HAVING count(*) > 1 ORDER BY 3 DESC LIMIT $1"""
_PARKED_OF: Final = """
SELECT id, case_no, kind, attempts, detail, at FROM dispatches
WHERE outcome = 'parked' AND behind = '' AND member = $1 AND code = $2 ORDER BY at, id LIMIT $3"""
_PARKED_CASE: Final = """
SELECT case_no, reason, zh, en, routed_at FROM messages
WHERE case_no = $1 AND disposition = 'parked' AND reason <> 'behind' ORDER BY routed_at LIMIT 1"""
_OPEN_MESSAGES: Final = """
SELECT m.*, NULL AS body, (SELECT count(*) FROM messages b WHERE b.case_no = m.case_no AND b.disposition =
$1 AND b.id <> m.id) AS behind_count
FROM messages m WHERE m.disposition = $1 ORDER BY m.routed_at LIMIT $2"""
_BEHIND: Final = """
SELECT d.id, d.behind, d.case_no, d.kind, d.listed_at FROM dispatches d WHERE d.behind = ANY($1::text[])
ORDER BY d.listed_at LIMIT $2"""
_COUNTS: Final = """
SELECT (SELECT count(*) FROM messages WHERE disposition = 'held') AS held,
  (SELECT count(*) FROM messages WHERE disposition = 'parked') + (SELECT count(*) FROM dispatches WHERE
  outcome = 'parked') AS parked,
  (SELECT count(*) FROM dispatches WHERE outcome = 'in_doubt') AS in_doubt"""
_NOTICES: Final = (
    "SELECT id, kind, title, made_at FROM notices WHERE case_no = $1 ORDER BY made_at, id LIMIT $2"
)
_AS_OF: Final = "SELECT as_of, lag, now() AS now FROM projector_status"


async def freshness(database: Database) -> tuple[datetime, int] | None:
    """(as of, records still to read); None before the projector's first report. Raises DatabaseAway."""
    row = await database.row(_AS_OF)
    return (row["as_of"], row["lag"]) if row else None


async def find_cases(database: Database, number: str) -> list[Any]:
    """Cases whose number begins so; the latest ones for an empty number. Raises DatabaseAway."""
    if not number:
        return await database.fetch(_RECENT, CASES_SHOWN_MAX)
    literal = number.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return await database.fetch(_BY_NUMBER, CASES_SHOWN_MAX, literal)


async def case(database: Database, number: str) -> tuple[Any | None, list[Any], list[Any]]:
    """(case, messages, dispatches) of one number. The case is None while its opening message is held,
    parked or refused."""
    row = await database.row("SELECT * FROM cases WHERE case_no = $1", number)
    messages = await database.fetch(_MESSAGES, number, MESSAGES_SHOWN_MAX)
    dispatches = await database.fetch(_DISPATCHES, number, DISPATCHES_SHOWN_MAX)
    return row, messages, dispatches


async def notices(database: Database, number: str) -> list[Any]:
    """The notices of one case that lie ready, the oldest first. Raises DatabaseAway."""
    return await database.fetch(_NOTICES, number, NOTICES_SHOWN_MAX)


async def notice(database: Database, id_: str) -> Any | None:
    """One notice, or None. Raises DatabaseAway."""
    return await database.row("SELECT case_no, title, ofd_sm3, pdf_sm3 FROM notices WHERE id = $1", id_)


async def standing_messages(database: Database, disposition: str) -> list[Any]:
    """Messages that are held or parked, the oldest first. Raises DatabaseAway."""
    return await database.fetch(_OPEN_MESSAGES, disposition, OPEN_SHOWN_MAX)


async def standing_dispatches(database: Database, outcome: str) -> tuple[list[Any], dict[str, list[Any]]]:
    """(dispatches that stand still themselves, what queues behind each). Raises DatabaseAway."""
    heads = await database.fetch(_OPEN_DISPATCHES, outcome, OPEN_SHOWN_MAX)
    behind: dict[str, list[Any]] = {}
    for row in await database.fetch(
        _BEHIND, [head["id"] for head in heads], OPEN_SHOWN_MAX * BEHIND_SHOWN_MAX
    ):
        queue = behind.setdefault(row["behind"], [])
        if len(queue) < BEHIND_SHOWN_MAX:
            queue.append(row)
    return heads, behind


async def dispatch(database: Database, id_: str) -> Any | None:
    """One dispatch with what waits behind it. Raises DatabaseAway."""
    return await database.row(_ONE_DISPATCH, id_)


async def parked_case(database: Database, number: str) -> Any | None:
    """The message at which a case is parked in the router. Raises DatabaseAway."""
    return await database.row(_PARKED_CASE, number)


async def parked_causes(database: Database) -> list[Any]:
    """Member, reason code and number of cases, where there are several. Raises DatabaseAway."""
    return await database.fetch(_PARKED_BY_CAUSE, OPEN_SHOWN_MAX)


async def parked_of(database: Database, member: str, code: str) -> list[Any]:
    """The cases parked at a member for one reason, at most ACT_CASES_MAX. Raises DatabaseAway."""
    return await database.fetch(_PARKED_OF, member, code, ACT_CASES_MAX)


async def counts(database: Database) -> dict[str, int]:
    """How many stand still, by list. Raises DatabaseAway."""
    row = await database.row(_COUNTS)
    return {name: row[name] for name in ("held", "parked", "in_doubt")} if row else {}


async def audit_trail(database: Database) -> list[Any]:
    """The latest acts. Raises DatabaseAway."""
    return await database.fetch("SELECT * FROM console_audit ORDER BY id DESC LIMIT $1", AUDIT_SHOWN_MAX)


async def accounts(database: Database) -> list[Any]:
    """All accounts, without their hashes. Raises DatabaseAway."""
    return await database.fetch(
        "SELECT name, roles, manages_accounts, disabled, created_at FROM console_accounts ORDER BY name"
    )
