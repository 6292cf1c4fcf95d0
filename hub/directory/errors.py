"""The one error of the directory. It names the place (file:line or topic key), the field and the rule, in
Chinese and English."""


class DirectoryError(Exception):
    """A mistake in the directory's data. place: `file:line` or `directory.<table>[key]`; field: the path
    inside the entry."""

    def __init__(self, place: str, field: str, zh: str, en: str) -> None:
        super().__init__(f"{place}: {field}: {zh} / {en}")
        self.place, self.field, self.zh, self.en = place, field, zh, en
