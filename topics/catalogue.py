"""Loads and checks topics/catalogue.yaml. No cluster is asked here; the comparison with one lives in
topics/plan.py."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from schemas.contracts import Contracts
from schemas.contracts import load as load_contracts

PATH: Final = Path(__file__).with_name("catalogue.yaml")
MEMBER: Final = "{member}"
KEYED: Final = "P"
TOPICS_MAX: Final = 1_000
_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,199}")
_FIELDS: Final = frozenset(
    {"name", "key", "partitions", "value", "schemas", "written_by", "read_by", "config", "doc"}
)
_REQUIRED: Final = _FIELDS - {"schemas"}
_KEYS: Final = frozenset(
    {"aggregate", "member", "item", "region", "route", "party", "period", "state", "lane"}
)
_VALUES: Final = frozenset({"avro", "json", "state", "none"})
_CONFIG: Final = {
    "cleanup.policy": re.compile("delete|compact"),
    "retention.ms": re.compile(r"-1|[1-9][0-9]{0,17}"),
    "retention.bytes": re.compile(r"-1|[1-9][0-9]{0,17}"),
    "max.message.bytes": re.compile(r"[1-9][0-9]{0,8}"),
    "delete.retention.ms": re.compile(r"[1-9][0-9]{0,17}"),
    "segment.ms": re.compile(r"[1-9][0-9]{0,17}"),
    "min.cleanable.dirty.ratio": re.compile(r"0(\.[0-9]+)?|1"),
}


class CatalogueError(Exception):
    """The catalogue is wrong. The text names file:line."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. partitions: "P" (the keyed count) or "1". schemas: message types its values may be, empty
    unless value is avro."""

    name: str
    key: str
    partitions: str
    value: str
    schemas: tuple[str, ...]
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    config: dict[str, str]
    doc_zh: str
    doc_en: str

    @property
    def keyed(self) -> bool:
        """Whether its partition count is P and therefore fixed when it is created."""
        return self.partitions == KEYED


class Wanted(msgspec.Struct, frozen=True):
    """One topic as a cluster should have it, under its full name."""

    name: str
    partitions: int
    config: dict[str, str]
    keyed: bool


class Catalogue(msgspec.Struct, frozen=True):
    """All entries, in the order of the file."""

    topics: tuple[Topic, ...]

    def wanted(self, *, members: tuple[str, ...], partitions: int, prefix: str = "") -> tuple[Wanted, ...]:
        """The topics a cluster should have: {member} filled in, P replaced, prefix put before. Raises
        ValueError for a bad member id."""
        wrong = [member for member in members if _NAME.fullmatch(member) is None]
        if wrong:
            raise ValueError(f"成员编号不能用于主题名 / member ids unfit for topic names: {wrong}")
        made = []
        for topic in self.topics:
            names = (
                [topic.name.replace(MEMBER, member) for member in members]
                if MEMBER in topic.name
                else [topic.name]
            )
            count = partitions if topic.keyed else 1
            made += [Wanted(prefix + name, count, topic.config, topic.keyed) for name in names]
        return tuple(made)


def load(path: Path = PATH) -> Catalogue:
    """The checked catalogue. Raises CatalogueError naming file:line."""
    try:
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except yaml.YAMLError as wrong:
        raise CatalogueError(f"{path}: {wrong}") from wrong
    entries = _mapping(root, path).get("topics")
    if not isinstance(entries, yaml.SequenceNode):
        raise CatalogueError(f"{path}:1: 缺少 topics 列表 / needs a list under topics")
    if len(entries.value) > TOPICS_MAX:
        raise CatalogueError(f"{path}:1: 超过 {TOPICS_MAX} 项 / over {TOPICS_MAX} entries")
    contracts = load_contracts()
    topics: list[Topic] = []
    for node in entries.value:
        topic = _topic(node, path, contracts)
        if any(other.name == topic.name for other in topics):
            raise _wrong(path, node, "name", "主题重复", "the topic is listed twice")
        topics.append(topic)
    return Catalogue(tuple(topics))


def _topic(node: yaml.Node, path: Path, contracts: Contracts) -> Topic:
    fields = _mapping(node, path)
    unknown, missing = fields.keys() - _FIELDS, _REQUIRED - fields.keys()
    if unknown or missing:
        names = ", ".join(sorted(unknown | missing))
        raise _wrong(path, node, names, "未知或缺失的字段", "unknown or missing fields")
    plain = {name: _plain(value, path) for name, value in fields.items()}

    def need(name: str, legal: bool, zh: str, en: str) -> None:
        if not legal:
            raise _wrong(path, fields[name], name, zh, en)

    name, value, config = plain["name"], plain["value"], plain["config"]
    legal_name = isinstance(name, str) and _NAME.fullmatch(name.replace(MEMBER, "member")) is not None
    need("name", legal_name, "须为小写主题名", "must be a lower-case topic name")
    need("key", plain["key"] in _KEYS, f"须为 {sorted(_KEYS)} 之一", f"must be one of {sorted(_KEYS)}")
    need("partitions", plain["partitions"] in (KEYED, "1"), "须为 P 或 1", "must be P or 1")
    one = MEMBER not in name or plain["partitions"] == "1"
    need("partitions", one, "按成员的主题只有一个分区", "a topic per member has one partition")
    need("value", value in _VALUES, f"须为 {sorted(_VALUES)} 之一", f"must be one of {sorted(_VALUES)}")
    _check_config(config, fields["config"], path)
    zh, separator, en = str(plain["doc"]).partition(" / ")
    need("doc", bool(separator and zh and en), "须为「中文 / English」", "must be bilingual")
    return Topic(
        name=name,
        key=plain["key"],
        partitions=plain["partitions"],
        value=value,
        schemas=_schemas(plain.get("schemas", []), value, fields.get("schemas", node), path, contracts),
        written_by=_names(plain["written_by"], fields["written_by"], path),
        read_by=_names(plain["read_by"], fields["read_by"], path),
        config=config,
        doc_zh=zh,
        doc_en=en,
    )


def _check_config(config: Any, node: yaml.Node, path: Path) -> None:
    if not isinstance(config, dict):
        raise _wrong(path, node, "config", "须为映射", "must be a mapping")
    for name, value in config.items():
        form = _CONFIG.get(name)
        if form is None or not isinstance(value, str) or form.fullmatch(value) is None:
            raise _wrong(
                path, node, f"config.{name}", "不支持的设置或取值", "setting or value is not supported"
            )
    policy = config.get("cleanup.policy")
    if policy is None or "max.message.bytes" not in config:
        raise _wrong(
            path,
            node,
            "config",
            "须写明清理策略与消息上限",
            "must state cleanup.policy and max.message.bytes",
        )
    if policy == "delete" and config.get("retention.ms") != "-1":
        # G1: nothing unfinished is ever deleted by time; the hub trims what every reader has committed.
        raise _wrong(
            path,
            node,
            "config.retention.ms",
            "未办结的不得因时间删除，须为 -1",
            "nothing is deleted by time: must be -1",
        )


def _schemas(given: Any, value: str, node: yaml.Node, path: Path, contracts: Contracts) -> tuple[str, ...]:
    patterns = _names(given, node, path) if given else ()
    if bool(patterns) != (value == "avro"):
        raise _wrong(
            path,
            node,
            "schemas",
            "value 为 avro 时且仅此时填写",
            "is given where value is avro, and only there",
        )
    found: list[str] = []
    for pattern in patterns:
        matching = [contract.name for contract in contracts if fnmatchcase(contract.name, pattern)]
        if not matching:
            raise _wrong(
                path, node, f"schemas: {pattern}", "没有这样的消息类型", "there is no such message type"
            )
        found += matching
    return tuple(dict.fromkeys(found))


def _names(given: Any, node: yaml.Node, path: Path) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(name, str) and name for name in given):
        raise _wrong(path, node, "list", "须为非空的名称列表", "must be a list of names, not empty")
    return tuple(given)


def _mapping(node: yaml.Node | None, path: Path) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise CatalogueError(
            f"{path}:{node.start_mark.line + 1 if node else 1}: 须为映射 / must be a mapping"
        )
    names = [key.value for key, _ in node.value]
    if len(set(names)) != len(names):
        raise _wrong(path, node, "keys", "字段重复", "a field is given twice")
    return {key.value: value for key, value in node.value}


def _plain(node: yaml.Node, path: Path) -> Any:
    # Scalars stay text: Kafka's settings are text, and YAML's guesses at numbers and booleans only hurt here.
    if isinstance(node, yaml.MappingNode):
        return {name: _plain(value, path) for name, value in _mapping(node, path).items()}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value, path) for value in node.value]
    return node.value


def _wrong(path: Path, node: yaml.Node, field: str, zh: str, en: str) -> CatalogueError:
    return CatalogueError(f"{path}:{node.start_mark.line + 1}: {field}: {zh} / {en}")
