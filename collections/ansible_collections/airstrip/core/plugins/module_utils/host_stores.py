"""What a host's PostgreSQL and Redis hold that Airstrip has not set up. Nothing here changes a server."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

# Users' objects have higher OIDs than PostgreSQL's own. Whoever uses the database `postgres` has tables there.
_FIRST_OID = 16384
_DATABASES = """
SELECT coalesce(json_object_agg(datname, pg_encoding_to_char(encoding) ORDER BY datname), '{}') FROM pg_database
WHERE datname NOT IN ('postgres', 'template0', 'template1') OR datname = current_database()
AND EXISTS (SELECT FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p'))
"""
# What Debian writes into pg_hba.conf.
_USUAL = re.compile(
    r"local (all postgres|all all|replication all) peer"
    r"|host (all|replication) all (127\.0\.0\.1/32|::1/128) (scram-sha-256|md5)"
)


# How ours begins (roles/postgresql/templates/pg_hba.conf.j2), should the other file of ours have been lost.
_OURS = """#
# Ansible managed
#
# TYPE  DATABASE  USER  ADDRESS  METHOD
local all postgres peer
"""


def _settings(path: Path) -> list[str]:
    """Return the lines of a configuration file that say something, with single blanks."""
    found = (" ".join(line.split()) for line in path.read_text(errors="replace").splitlines())
    return [line for line in found if line and not line.startswith("#")]


def _value(lines: list[str], name: str, default: str) -> str:
    """Return the last value of a setting, without quotes."""
    found = [match[1] for match in (re.match(rf"{name}[ =]+['\"]?([^'\"]*)", line) for line in lines) if match]
    return found[-1].strip() if found else default


def _output(*command: str) -> str:
    """Return what a command prints, whatever its exit status."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=30)
    return result.stdout.decode(errors="replace").strip()


def postgresql(version: str, configuration: Path) -> dict[str, Any]:
    """
    Tell which databases a cluster has, and who may use them; nothing if there is none or it is Airstrip's.

    `configuration` is the directory of the cluster `main`. The result has `version`, `answers` (whether the server
    does), `databases` (their encodings by name), `files` (the number of databases by the files of the cluster),
    `access_list` (whether there is a pg_hba.conf) and `access`, the lines in it that Debian has not written.
    """
    list_of_access = configuration / "pg_hba.conf"
    if (
        not (configuration / "postgresql.conf").exists()
        or (configuration / "conf.d" / "airstrip.conf").exists()
        or (list_of_access.exists() and list_of_access.read_text(errors="replace").startswith(_OURS))
    ):
        return {}
    lines = _settings(configuration / "postgresql.conf")
    data = Path(_value(lines, "data_directory", f"/var/lib/postgresql/{version}/main"))
    query = ("psql", "--cluster", f"{version}/main", "-XAtc", _DATABASES, "postgres")
    answer = _output("runuser", "--user", "postgres", "--", *query)
    files = [path.name for path in data.glob("base/*") if path.name.isdigit() and int(path.name) >= _FIRST_OID]
    access = _settings(list_of_access) if list_of_access.exists() else []
    return {
        "version": version,
        "answers": bool(answer),
        "databases": json.loads(answer) if answer else {},
        "files": len(files),
        "access_list": list_of_access.exists(),
        "access": [line for line in access if not _USUAL.fullmatch(line)],
    }


def _ask_redis(address: tuple[str, int]) -> str:
    """Return what a server says of its keys to somebody without a password; nothing if it does not."""
    try:
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(b"INFO keyspace\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return ""
    return answer.decode(errors="replace") if answer.startswith(b"$") else ""


def redis(package: str, configuration: Path) -> dict[str, Any]:
    """
    Tell what a Redis or a Valkey holds; nothing if there is none or it is Airstrip's.

    `configuration` is its file. The result has `answers` (whether it does, without a password), `keys`, their number,
    `files`, those with data, and `changed`, whether the configuration differs from its package's.
    """
    if not configuration.exists() or re.search(
        rf"^# Ansible managed$[\s\S]*^aclfile {configuration.parent}/users.acl$",
        configuration.read_text(errors="replace"),
        re.MULTILINE,
    ):
        return {}
    lines = _settings(configuration)
    data = Path(_value(lines, "dir", "/"))
    names = [_value(lines, "dbfilename", "dump.rdb"), "appendonly.aof", "appendonlydir/*"]
    files = [str(path) for name in names for path in sorted(data.glob(name)) if path.stat().st_size]
    address = _value(lines, "bind", "127.0.0.1").split()[0].lstrip("-").replace("*", "127.0.0.1")
    answer = _ask_redis((address, int(_value(lines, "port", "6379"))))
    return {
        "answers": bool(answer),
        "keys": sum(map(int, re.findall(r"keys=(\d+)", answer))),
        "files": files,
        "changed": str(configuration) in _output("dpkg", "--verify", package),
    }
