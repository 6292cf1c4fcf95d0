"""YAML with line marks: plain values plus the line of every path. Only mappings with text keys, lists and
scalars are taken;
anchors, aliases, tags and duplicate keys are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from hub.directory.errors import DirectoryError

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
DEPTH_MAX: Final = 12
# libyaml's parser where PyYAML was built with it: ten times as fast for a province's items.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TAG: Final = "tag:yaml.org,2002:"

Where = tuple[str | int, ...]


class Marked:
    """One file: `value` (plain data, keys are text) and `line(path)`."""

    def __init__(self, name: str, value: Any, lines: Mapping[Where, int]) -> None:
        self.name, self.value, self._lines = name, value, lines

    def place(self, path: Where) -> str:
        """`file:line` of the path, or of the nearest enclosing entry that was written."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.name}:{self._lines.get(path, 1)}"


def read(path: Path) -> Marked:
    """Parse one file. Raises DirectoryError with file:line for anything that is not plain data."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DirectoryError(
            str(path), "-", f"无法读取文件（{error.strerror}）", f"cannot be read ({error.strerror})"
        ) from error
    return parse(raw, path.name)


def parse(raw: bytes, name: str) -> Marked:
    """As `read`, from bytes."""
    if len(raw) > FILE_BYTES_MAX:
        raise DirectoryError(
            name, "-", f"文件超过 {FILE_BYTES_MAX} 字节", f"file over {FILE_BYTES_MAX} bytes"
        )
    try:
        text = raw.decode("utf-8")
        for token in yaml.scan(text, Loader=_LOADER):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken):
                place = f"{name}:{token.start_mark.line + 1}"
                raise DirectoryError(
                    place, "-", "不允许锚点、别名或标签", "anchors, aliases and tags are not allowed"
                )
        node = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise DirectoryError(f"{name}:{line}", "-", "不是有效的 YAML", f"not valid YAML: {error}") from error
    lines: dict[Where, int] = {}
    value = _value(node, (), lines, name) if node is not None else {}
    return Marked(name, value, lines)


def _value(node: yaml.Node, path: Where, lines: dict[Where, int], name: str) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    place = f"{name}:{node.start_mark.line + 1}"
    if len(path) > DEPTH_MAX:
        raise DirectoryError(place, "-", f"嵌套超过 {DEPTH_MAX} 层", f"nested deeper than {DEPTH_MAX}")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, name)
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, index), lines, name) for index, child in enumerate(node.value)]
    if node.tag == TAG + "bool":
        return node.value.lower() in ("true", "yes", "on")
    if node.tag == TAG + "int":
        try:
            return int(node.value.replace("_", ""))
        except ValueError:
            raise DirectoryError(
                place, str(path[-1]) if path else "-", "只接受十进制整数", "decimal integers only"
            ) from None
    if node.tag == TAG + "null":
        return ""
    return node.value


def _mapping(node: yaml.MappingNode, path: Where, lines: dict[Where, int], name: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = f"{name}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise DirectoryError(place, "-", "键必须是文本", "keys must be text")
        key = key_node.value
        if key in result:
            raise DirectoryError(place, key, "重复的键", "duplicate key")
        lines[(*path, key)] = key_node.start_mark.line + 1
        result[key] = _value(value_node, (*path, key), lines, name)
    return result
