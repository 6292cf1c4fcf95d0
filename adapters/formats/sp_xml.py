"""SP*/GDBS* XML, the dialect of unified-intake systems: `read` gives submissions, `write` a member's xmlStr.
Only the public names are here; fields are in sp_fields.py, the two directions in sp_read.py and sp_write.py.
"""

from adapters.formats.sp_read import looks_like_case_number, read
from adapters.formats.sp_result import Result, parse_result, result
from adapters.formats.sp_write import document, encode, write

__all__ = [
    "Result",
    "document",
    "encode",
    "looks_like_case_number",
    "parse_result",
    "read",
    "result",
    "write",
]
