"""Print what a host's PostgreSQL and Redis hold that Airstrip has not set up, as JSON.

The argument is a JSON object; a server without a key is not looked for:
  postgresql  version and configuration, the directory of a cluster
  redis       package, and configuration, the server's file
Runs as root, and on Python 3.7. A server that is not there, or that Airstrip has set up, is not in the answer.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

# Users' objects have higher OIDs than PostgreSQL's own. Whoever uses the database `postgres` has tables there.
FIRST_OID = 16384
DATABASES = """
SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database
WHERE datname NOT IN ('postgres', 'template0', 'template1') OR datname = current_database()
AND EXISTS (SELECT FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p'))
"""
# What Debian writes into pg_hba.conf.
USUAL = re.compile(
    r"local (all postgres|all all|replication all) peer"
    r"|host (all|replication) all (127\.0\.0\.1/32|::1/128) (scram-sha-256|md5)"
)


# How ours begins (roles/postgresql/templates/pg_hba.conf.j2), should the other file of ours have been lost.
OURS = """#
# Ansible managed
#
# TYPE  DATABASE  USER  ADDRESS  METHOD
local all postgres peer
"""


def settings(path: Path) -> list[str]:
    """Return the lines of a configuration file that say something, with single blanks."""
    found = (" ".join(line.split()) for line in path.read_text(errors="replace").splitlines())
    return [line for line in found if line and not line.startswith("#")]


def value(lines: list[str], name: str, default: str) -> str:
    """Return the last value of a setting, without quotes."""
    found = [match[1] for match in (re.match(rf"{name}[ =]+['\"]?([^'\"]*)", line) for line in lines) if match]
    return found[-1].strip() if found else default


def output(*command: str) -> str:
    """Return what a command prints, whatever its exit status."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=30)
    return result.stdout.decode(errors="replace").strip()


def postgresql(version: str, configuration: Path) -> dict[str, Any]:
    """Tell which databases a cluster has, and who may use them; nothing if there is none or it is Airstrip's."""
    list_of_access = configuration / "pg_hba.conf"
    if (
        not (configuration / "postgresql.conf").exists()
        or (configuration / "conf.d" / "airstrip.conf").exists()
        or (list_of_access.exists() and list_of_access.read_text(errors="replace").startswith(OURS))
    ):
        return {}
    lines = settings(configuration / "postgresql.conf")
    data = Path(value(lines, "data_directory", f"/var/lib/postgresql/{version}/main"))
    query = ("psql", "--cluster", f"{version}/main", "-XAtc", DATABASES, "postgres")
    answer = output("runuser", "--user", "postgres", "--", *query)
    files = [path.name for path in data.glob("base/*") if path.name.isdigit() and int(path.name) >= FIRST_OID]
    access = settings(list_of_access) if list_of_access.exists() else []
    return {
        "version": version,
        "answers": bool(answer),
        "databases": json.loads(answer) if answer else [],
        "files": len(files),
        "access_list": list_of_access.exists(),
        "access": [line for line in access if not USUAL.fullmatch(line)],
    }


def ask_redis(address: tuple[str, int]) -> str:
    """Return what a server says of its keys to somebody without a password; nothing if it does not."""
    try:
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(b"INFO keyspace\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return ""
    return answer.decode(errors="replace") if answer.startswith(b"$") else ""


def redis(package: str, configuration: Path) -> dict[str, Any]:
    """Tell how many keys a server has, and whether its configuration is its package's; nothing as above."""
    if not configuration.exists() or re.search(
        rf"^# Ansible managed$[\s\S]*^aclfile {configuration.parent}/users.acl$",
        configuration.read_text(errors="replace"),
        re.MULTILINE,
    ):
        return {}
    lines = settings(configuration)
    data = Path(value(lines, "dir", "/"))
    names = [value(lines, "dbfilename", "dump.rdb"), "appendonly.aof", "appendonlydir/*"]
    files = [str(path) for name in names for path in sorted(data.glob(name)) if path.stat().st_size]
    address = value(lines, "bind", "127.0.0.1").split()[0].lstrip("-").replace("*", "127.0.0.1")
    answer = ask_redis((address, int(value(lines, "port", "6379"))))
    return {
        "answers": bool(answer),
        "keys": sum(map(int, re.findall(r"keys=(\d+)", answer))),
        "files": files,
        "changed": str(configuration) in output("dpkg", "--verify", package),
    }


given = json.loads(sys.argv[1])
seen = {
    "postgresql": postgresql(given["postgresql"]["version"], Path(given["postgresql"]["configuration"]))
    if "postgresql" in given
    else {},
    "redis": redis(given["redis"]["package"], Path(given["redis"]["configuration"])) if "redis" in given else {},
}
print(json.dumps(seen))
