"""Whether the other region knows our contracts: each schema id is asked for once at its registry. A record
whose id it does not know, or knows otherwise, is not copied."""

import json
from collections.abc import Iterable
from typing import Final

import aiohttp
import structlog

from schemas import contracts
from schemas.errors import ContractError

log = structlog.get_logger()

_ANSWER_S_MAX: Final = 10.0
_BYTES_MAX: Final = 1 << 20


class TargetContracts:
    """What the target's registry (the read side its gateway serves) answered. An id is bound for ever, so
    what agreed once is not asked again. Use as a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._agreed: set[int] = set()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "TargetContracts":
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S_MAX)
        self._http = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def differ(self, ids: Iterable[int]) -> str:
        """Why these schema ids cannot be sent there now, bilingual; "" when all of them agree."""
        for id_ in sorted(set(ids) - self._agreed):
            why = await self._asked(id_)
            if why:
                log.warning("bridge.paused", schema_id=id_, reason=why)
                return why
            self._agreed.add(id_)
        return ""

    async def _asked(self, id_: int) -> str:
        try:
            ours = contracts.load().by_id(id_)
        except ContractError:
            return f"本枢纽不认识结构编号 {id_} / this hub does not know schema id {id_}"
        assert self._http is not None, "not open"
        try:
            async with self._http.get(f"{self._url}/schemas/ids/{id_}") as answer:
                raw = await answer.content.read(_BYTES_MAX)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"目标区域的登记处无应答 / the target's registry does not answer: {error!r}"
        if status == 404:
            return f"{ours.name}: 目标区域不认识结构编号 {id_} / the target does not know schema id {id_}"
        try:
            theirs = json.loads(json.loads(raw)["schema"])
        except (ValueError, LookupError, TypeError) as error:
            return f"目标区域登记处的答复无法读取 / the registry's answer is unreadable: {status} {error!r}"
        if contracts.canonical(theirs) != contracts.canonical(ours.avro):
            return (
                f"{ours.name}: 结构编号 {id_} 在目标区域是另一份合同 / "
                f"schema id {id_} is another contract in the target"
            )
        return ""
