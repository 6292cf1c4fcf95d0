"""Local accounts and the audit trail (R26): argon2 passwords, four roles, a bounded number of tries. No
HTTP lives here."""

import asyncio
import enum
import time
from collections import OrderedDict, deque
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hub.console.database import Database

PASSWORD_LENGTH_MIN: Final = 8
PASSWORD_LENGTH_MAX: Final = 200
REASON_LENGTH_MIN: Final = 4
REASON_LENGTH_MAX: Final = 500
TRIES_MAX: Final = 5
TRIES_WINDOW_SECONDS: Final = 300.0
TRIERS_MAX: Final = 10_000
HASHES_AT_ONCE_MAX: Final = 2  # each takes 64 MiB


class Role(enum.StrEnum):
    """What a person may do. viewer: look. operator: repair, unmask. approver: the second person, unmask.
    auditor: read the audit trail."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"


class TooManyTries(Exception):
    """This account or address failed too often lately."""


class Tries:
    """Failures by account and by address, in a bounded memory; the oldest tracked ones are forgotten
    first."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, *who: str) -> None:
        """Raises TooManyTries."""
        now = time.monotonic()
        for key in who:
            times = self._failures.get(key)
            while times and now - times[0] > TRIES_WINDOW_SECONDS:
                times.popleft()
            if times and len(times) >= TRIES_MAX:
                raise TooManyTries

    def failed(self, *who: str) -> None:
        """Note one failure for each."""
        for key in who:
            self._failures.setdefault(key, deque(maxlen=TRIES_MAX)).append(time.monotonic())
            self._failures.move_to_end(key)
            if len(self._failures) > TRIERS_MAX:
                self._failures.popitem(last=False)

    def forget(self, *who: str) -> None:
        """After a success."""
        for key in who:
            self._failures.pop(key, None)


class Accounts:
    """The accounts in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hasher = PasswordHasher()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE_MAX)
        # Verified for a name that does not exist, so that the time taken tells nothing.
        self._decoy = self._hasher.hash("decoy")
        self.tries = Tries()

    async def ensure_first(self, password: str) -> None:
        """Create `admin` with every role when there is no account yet. Raises DatabaseAway, ValueError for
        a weak password."""
        if not password or await self._database.row("SELECT 1 FROM console_accounts LIMIT 1") is not None:
            return
        await self._insert("admin", password, list(Role), manages=True)

    async def create(self, name: str, password: str, roles: list[Role]) -> None:
        """A new account. Raises ValueError for a password outside its bounds, asyncpg.UniqueViolationError,
        CheckViolationError."""
        await self._insert(name, password, roles, manages=False)

    async def _insert(self, name: str, password: str, roles: list[Role], *, manages: bool) -> None:
        if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
            raise ValueError(
                f"口令长度须为 / password length must be {PASSWORD_LENGTH_MIN}..{PASSWORD_LENGTH_MAX}"
            )
        async with self._hashing:
            hashed = await asyncio.to_thread(self._hasher.hash, password)
        await self._database.execute(
            "INSERT INTO console_accounts (name, password_hash, roles, manages_accounts) VALUES ($1,$2,$3,$4)"
            + (" ON CONFLICT DO NOTHING" if manages else ""),
            name,
            hashed,
            [role.value for role in roles],
            manages,
        )

    async def log_in(self, name: str, password: str, address: str) -> tuple[list[Role], bool] | None:
        """(roles, manages accounts), or None when name or password is wrong. Raises TooManyTries,
        DatabaseAway."""
        keys = (f"name:{name}", f"address:{address}")
        self.tries.check(*keys)
        row = await self._database.row(
            "SELECT password_hash, roles, manages_accounts FROM console_accounts "
            "WHERE name = $1 AND NOT disabled",
            name,
        )
        right = await self._verify(row["password_hash"] if row else self._decoy, password)
        if row is None or not right:
            self.tries.failed(*keys)
            return None
        self.tries.forget(*keys)
        return [Role(role) for role in row["roles"]], row["manages_accounts"]

    async def _verify(self, hashed: str, password: str) -> bool:
        async with self._hashing:
            try:
                return await asyncio.to_thread(self._hasher.verify, hashed, password[:PASSWORD_LENGTH_MAX])
            except (VerificationError, InvalidHashError):
                return False

    async def active(self, name: str) -> bool:
        """False when the account was disabled or removed since its session began. Raises DatabaseAway."""
        statement = "SELECT 1 FROM console_accounts WHERE name = $1 AND NOT disabled"
        return await self._database.row(statement, name) is not None

    async def note(
        self, person: str, act: str, object_: str = "", reason: str = "", address: str = ""
    ) -> None:
        """Write the audit trail. Raises DatabaseAway: what cannot be recorded must not be done."""
        await self._database.execute(
            "INSERT INTO console_audit (person, act, object, reason, address) VALUES ($1,$2,$3,$4,$5)",
            person,
            act,
            object_,
            reason,
            address,
        )
