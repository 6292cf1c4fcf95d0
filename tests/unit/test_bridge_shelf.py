"""What a bridge lane sums up does not have to fit into memory; on disk it has a bound, and nothing stays."""

import random
from pathlib import Path

import pytest

from hub.bridge.shelf import Shelf
from hub.errors import StoreFailed


def test_it_holds_more_than_its_memory_and_leaves_no_file(tmp_path: Path) -> None:
    shelf, plain, chance = Shelf(tmp_path, 64 << 10, 1 << 30), dict[bytes, bytes](), random.Random(7)
    assert list(tmp_path.iterdir()) == [], "the file has no name: a killed process leaves nothing"
    for _ in range(40):
        changes = {
            b"%d" % chance.randrange(4_000): chance.choice([None, chance.randbytes(300)]) for _ in range(300)
        }
        shelf.put(changes)
        plain = {key: value for key, value in (plain | changes).items() if value is not None}
    assert shelf.disk_bytes() > len(plain) * 300 - (64 << 10) > 7 * (64 << 10), "not in memory"
    assert {b"%d" % number: shelf.get(b"%d" % number) for number in range(4_000)} == {
        b"%d" % number: plain.get(b"%d" % number) for number in range(4_000)
    }
    shelf.close()


def test_beyond_its_bound_it_fails_and_names_the_setting(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 64 << 10, 1 << 20)
    with pytest.raises(StoreFailed, match="HUB_STORE_BYTES_MAX=1048576"):
        shelf.put({b"%d" % number: bytes(1_000) for number in range(2_000)})
    shelf.close()


def test_a_directory_that_cannot_be_written_fails_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="HUB_DATA_DIR"):
        Shelf(tmp_path / "file", 1 << 20, 1 << 20)
