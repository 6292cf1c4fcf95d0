"""How the 2009 department speaks to the gateway: SOAP with a token, one xmlStr in, one RESULT out.

A call is tried once here; trying again is the courier's affair.
"""

from typing import Any, Final, Self

import aiohttp

from stubs import asmx, sp_documents, sp_xml
from stubs.courier import Rejected, TryAgain
from stubs.model import Planned
from stubs.settings import StubSettings

SENDS_IN_FLIGHT_MAX: Final = 4
SEND_TIMEOUT_MS: Final = 30_000
_TRY_AGAIN: Final = ("繁忙", "稍后", "暂停", "busy", "later")


class SpSender:
    """Sends SP* documents; fetches a token when it has none or the gateway no longer takes it."""

    def __init__(self, settings: StubSettings) -> None:
        self._settings = settings
        self._token = ""
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SEND_TIMEOUT_MS / 1000))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._session.close()

    async def send(self, planned: Planned) -> dict[str, Any]:
        """See courier.Sender."""
        operation, document = sp_documents.document(planned)
        if not self._token:
            self._token = await self._fetch_token()
        text = document.decode(sp_xml.CHARSET)
        status, description, data = await self._call(operation, token=self._token, xmlStr=text)
        if status == asmx.OK:
            return {"status": status, "desc": description, "data": data}
        if "令牌" in description or "token" in description.lower():
            self._token = ""
            raise TryAgain(description)
        if any(word in description for word in _TRY_AGAIN):
            raise TryAgain(description)
        raise Rejected(f"STATUS {status} {description} {data}")

    async def _fetch_token(self) -> str:
        status, description, data = await self._call(
            "getXmlToken", key=self._settings.sp_key, secret=self._settings.sp_secret
        )
        if status != asmx.OK or not data:
            raise TryAgain(f"没有令牌 / no token: STATUS {status} {description}")
        return data

    async def _call(self, operation: str, **arguments: str) -> tuple[str, str, str]:
        """(STATUS, DESC, DATA). Raises TryAgain or Rejected."""
        headers = {"Content-Type": asmx.CONTENT_TYPE, "SOAPAction": f'"{asmx.NAMESPACE}{operation}"'}
        try:
            async with self._session.post(
                self._settings.gateway_url + "/soap/sp",
                data=asmx.call(operation, **arguments),
                headers=headers,
            ) as response:
                text = asmx.decode(await response.read(), response.charset)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TryAgain(f"{type(error).__name__}: {error}") from error
        except sp_xml.Unreadable as error:
            raise TryAgain(str(error)) from error
        return _understood(operation, response.status, text)


def _understood(operation: str, status: int, text: str) -> tuple[str, str, str]:
    """(STATUS, DESC, DATA) of an answer. Raises TryAgain or Rejected."""
    try:
        returned = asmx.read_answer(text)
        if operation == "getXmlToken" and returned and not returned.lstrip().startswith("<"):
            return asmx.OK, "", returned.strip()  # some return the bare token
        return asmx.read_result(returned)
    except asmx.Fault as fault:
        if fault.code.startswith("Client"):
            raise Rejected(str(fault)) from fault
        raise TryAgain(str(fault)) from fault
    except sp_xml.Unreadable as error:
        raise TryAgain(f"HTTP {status}: {error}") from error
