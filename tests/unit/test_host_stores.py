"""What is told of the files that a PostgreSQL and a Redis have; servers are for e2e."""

import socket
from pathlib import Path
from typing import Any

from airstrip_tree import PROJECT
from ansible_collections.airstrip.core.plugins.module_utils import host_stores


def stores(root: Path) -> dict[str, Any]:
    return {
        "postgresql": host_stores.postgresql("15", root / "postgresql"),
        "redis": host_stores.redis("redis-server", root / "redis" / "redis.conf"),
    }


def a_postgresql(root: Path) -> Path:
    configuration, data = root / "postgresql", root / "data"
    (configuration / "conf.d").mkdir(parents=True)
    (configuration / "postgresql.conf").write_text(f"data_directory = '{data}'  # use data in another directory\n")
    (configuration / "pg_hba.conf").write_text(
        "# TYPE  DATABASE        USER            ADDRESS                 METHOD\n"
        "local   all             postgres                                peer\n"
        "local   all             all                                     peer\n"
        "host    all             all             127.0.0.1/32            scram-sha-256\n"
        "host    replication     all             ::1/128                 md5\n"
        "host    shop            shop            10.0.0.0/8              scram-sha-256\n"
    )
    for oid in ("1", "4", "5", "16385"):
        (data / "base" / oid).mkdir(parents=True)
    return configuration


def a_redis(root: Path) -> Path:
    (root / "redis").mkdir()
    (root / "redis" / "dump.rdb").write_bytes(b"REDIS0010")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    configuration = root / "redis" / "redis.conf"
    configuration.write_text(f"bind 127.0.0.1 -::1\nport {port}\ndir {root}/redis\nrequirepass secret\n")
    return configuration


def test_nothing_is_there(tmp_path: Path) -> None:
    assert stores(tmp_path) == {"postgresql": {}, "redis": {}}


def test_a_server_that_cannot_be_asked_is_judged_by_its_files(tmp_path: Path) -> None:
    a_postgresql(tmp_path)
    a_redis(tmp_path)
    seen = stores(tmp_path)
    assert seen["postgresql"] == {
        "version": "15", "answers": False, "databases": {}, "files": 1,
        "access": ["host shop shop 10.0.0.0/8 scram-sha-256"],
        "access_list": True,
    }  # fmt: skip
    assert seen["redis"] | {"changed": None} == {
        "answers": False, "keys": 0, "files": [f"{tmp_path}/redis/dump.rdb"], "changed": None,
    }  # fmt: skip


def test_a_file_of_ours_that_is_lost_makes_nobody_a_stranger(tmp_path: Path) -> None:
    golden = PROJECT / "tests" / "unit" / "golden" / "postgresql" / "pg_hba.conf"
    access = a_postgresql(tmp_path) / "pg_hba.conf"
    access.write_text(golden.read_text() + "# by hand")
    assert stores(tmp_path)["postgresql"] == {}
    access.unlink()
    assert stores(tmp_path)["postgresql"]["access_list"] is False


def test_what_airstrip_has_set_up_is_its_own(tmp_path: Path) -> None:
    (a_postgresql(tmp_path) / "conf.d" / "airstrip.conf").write_text("")
    configuration = a_redis(tmp_path)
    configuration.write_text(f"#\n# Ansible managed\n#\naclfile {configuration.parent}/users.acl\nport 1\n")
    assert stores(tmp_path) == {"postgresql": {}, "redis": {}}
    # Somebody else's Ansible is somebody else.
    configuration.write_text("#\n# Ansible managed\n#\nport 1\n")
    assert stores(tmp_path)["redis"]
