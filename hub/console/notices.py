"""Notices on the console: a file handed out to somebody who may see whom it is for, and written down first.
No notice is made here.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import Any, Final
from urllib.parse import quote

from litestar import get
from litestar.exceptions import NotFoundException
from litestar.response import Response

from hub.console import queries
from hub.console.accounts import Role
from hub.console.database import DatabaseAway
from hub.console.web import HEADERS, AnyRequest, console_of, page, signed_in
from hub.notices.store import FILE_BYTES_MAX, file_of, notices_folder
from signing.digest import sm3_hex

_TYPES: Final = {"ofd": "application/ofd", "pdf": "application/pdf"}


@get("/notices/{name:str}")
async def notice(request: AnyRequest) -> Response[Any]:
    """The file `<id>.ofd` or `<id>.pdf`. It names the applicant in full, so it needs the roles of unmasking,
    and the audit trail says who took it."""
    session = await signed_in(request, Role.OPERATOR, Role.APPROVER)
    console = console_of(request)
    id_, _, form = str(request.path_params["name"]).partition(".")
    try:
        path = file_of(notices_folder(console.settings), id_, form)
    except ValueError:
        raise NotFoundException from None
    try:
        row = await queries.notice(console.database, id_)
        if row is None:
            raise NotFoundException
        address = request.client.host if request.client else ""
        await console.accounts.note(session.name, "take_notice", row["case_no"], f"{id_}.{form}", address)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    content = await asyncio.to_thread(_read, path)
    # What lies in the file must be what was made: the row holds its digest.
    if content is None or not hmac.compare_digest(sm3_hex(content), row[f"{form}_sm3"]):
        raise NotFoundException
    name = quote(f"{row['title']}-{row['case_no']}.{form}")
    headers = {**HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return Response(content, media_type=_TYPES[form], headers=headers)


def _read(path: Any) -> bytes | None:
    try:
        with path.open("rb") as file:
            content: bytes = file.read(FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    return content
