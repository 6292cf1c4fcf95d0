"""The embedded database server: recovered after a SIGKILL, in any path, with a password, as root and as
anybody."""

import asyncio
import os
import pwd
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from hub.embedded import process
from hub.embedded.jars import kafka_jars
from hub.embedded.postgres import EmbeddedPostgres
from hub.embedded.process import EmbeddedServerError


def query(url: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_a_data_directory_survives_sigkill_although_its_pid_file_names_a_stranger(tmp_path: Path) -> None:
    # Longer than a socket's path may be, and closed to other accounts when we are root (pytest's directories
    # are).
    data_dir = tmp_path / "一网 通办's" / ("d" * 100)
    server = EmbeddedPostgres(data_dir)
    server.start()
    url = server.create_database("hub")
    query(url, "CREATE TABLE cases (no text)")
    query(url, "INSERT INTO cases VALUES ('办件')")
    pid_file = data_dir / "cluster" / "postmaster.pid"
    left_behind = pid_file.read_text()
    server.kill()

    # By the next start the pid may belong to another process of the same account.
    owner = (data_dir / "cluster").stat()
    account = process.Account(owner.st_uid, owner.st_gid, False) if os.geteuid() == 0 else None
    stranger = process.spawn(
        ["/bin/sleep", "60"], env={}, cwd=Path("/"), log=tmp_path / "stranger.log", account=account
    )
    pid_file.write_text(left_behind.replace(left_behind.split("\n")[0], str(stranger.pid), 1))
    with server:
        assert query(server.database_url("hub"), "SELECT no FROM cases") == "办件"
        assert server.url.rpartition("/")[0] == url.rpartition("/")[0]
    stranger.kill()
    stranger.wait()


def test_an_initialisation_cut_short_is_done_again_and_a_complete_one_never(tmp_path: Path) -> None:
    half = tmp_path / "cluster"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path) as server:
        query(server.create_database("kept"), "SELECT 1")
    with EmbeddedPostgres(tmp_path) as server:
        assert query(server.database_url("kept"), "SELECT current_setting('server_encoding')") == "UTF8"


def test_a_wrong_password_and_a_wrong_name_are_refused(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        address = server.url.rpartition("@")[2]
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(f"postgresql://govhub:guess@{address}", "SELECT 1")
        with pytest.raises(EmbeddedServerError, match="x; drop"):
            server.create_database("x; drop table cases")


def test_a_server_that_cannot_start_says_why_in_its_own_words(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, settings={"shared_buffers": "plenty"})
    with pytest.raises(EmbeddedServerError, match="shared_buffers"):
        server.start()
    assert not server.running


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here already runs as a normal user")
def test_both_servers_run_as_a_normal_user() -> None:
    nobody = pwd.getpwnam("nobody")
    # The interpreter itself may lie below /root; then the normal user gets the one capability to reach it.
    account = process.Account(nobody.pw_uid, nobody.pw_gid, reach_everything=True)
    jars = kafka_jars()
    program = (
        "import os; from pathlib import Path\n"
        "from hub.embedded.kafka import EmbeddedKafka; from hub.embedded.postgres import EmbeddedPostgres\n"
        "with EmbeddedKafka(Path('k')) as k, EmbeddedPostgres(Path('p')) as p:\n"
        "    print(os.geteuid(), p.create_database('hub').rpartition('/')[2], k.running)"
    )
    with tempfile.TemporaryDirectory(prefix="govhub 普通用户 ") as name:
        base = Path(name)
        os.chown(base, nobody.pw_uid, nobody.pw_gid)
        (base / jars.name).symlink_to(jars)
        run = process.spawn(
            [sys.executable, "-c", program],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "HUB_CACHE_DIR": name},
            cwd=base,
            log=base / "log",
            account=account,
        )
        run.wait()
        assert (base / "log").read_text().split() == [str(nobody.pw_uid), "hub", "True"]
