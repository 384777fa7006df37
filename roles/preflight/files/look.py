"""Print what a host says of itself and no Ansible fact does, as JSON.

Python, clock, release of Airflow, an upgrade that was interrupted, whether an operator has drained the host, free
space, the SSH connection that this runs through, who has an address, which clusters of PostgreSQL there are, ways on
which somebody could lead root elsewhere, and what an installation has left: units of ours, a schema, and the names of
secrets, and what components have left behind that are not placed here any more.

The argument is a JSON object:
  now                   the controller's time, in seconds since the epoch
  release, unfinished   links to the release, and to the backup of an unfinished upgrade
  drained               file of a drained host
  neighbour             an IPv4 address in the host's network, or nothing
  configuration, programs  directories of PostgreSQL's clusters and servers
  api_server            unit of the API server
  paths                 where to look for free space
  ways                  by variable, directories that root is to make or to write in
  own                   directories that will be root's before it goes through them
  secrets               by name, the `path` of a file with it, and the `user` in it if it is a password in a URL
  fernet_key            path of the Fernet key
  units                 directory of systemd's units
  webserver_config      where Flask-AppBuilder once had its configuration
  placed, known         by component, `units` and `owns` (patterns of paths): of those placed here, and of all that
                        there are, in the order in which they stop
  record                file with those that were placed here, as the last run wrote it
  database              `name` and `port` of the metadata database, or nothing if it is not on this host
Runs on Python 3.7.
"""

from __future__ import annotations

import fnmatch
import glob
import grp
import hmac
import json
import os
import pwd
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote


def free_mb(path: str) -> int:
    """Return the MB free on the file system of `path`, or of its nearest parent that exists."""
    present = Path(path)
    while not present.exists():
        present = present.parent
    status = os.statvfs(present)
    return status.f_bavail * status.f_frsize // 2**20


def open_way(path: str, own: list[str]) -> dict[str, str]:
    """Return a directory above `path` that others than root may write, and who; nothing if there is none.

    As library/file_set.py, which then refuses to go there, judges it: who may write a directory may put a link into it.
    """
    # By their real names, because whoever owns a link's target owns the way.
    for directory in reversed(Path(os.path.realpath(path)).parents):
        if not directory.exists():
            break
        status = directory.stat()
        if str(directory) in own or (not status.st_uid and status.st_mode & stat.S_ISVTX):
            continue
        if status.st_uid:
            return {"directory": str(directory), "who": name_of(pwd.getpwuid, status.st_uid)}
        if status.st_mode & stat.S_IWOTH:
            return {"directory": str(directory), "who": "everybody"}
        if status.st_gid and status.st_mode & stat.S_IWGRP:
            return {"directory": str(directory), "who": f"the group {name_of(grp.getgrgid, status.st_gid)}"}
    return {}


def name_of(database: Callable[[int], Any], number: int) -> str:
    """Return the name of a user or a group, or its number if it has none."""
    try:
        return str(database(number)[0])
    except KeyError:
        return str(number)


def target(link: str) -> str:
    """Return where a link leads, whether or not there is something; nothing if there is no link."""
    return os.readlink(link) if Path(link).is_symlink() else ""  # noqa: PTH115 Path.readlink is new in Python 3.9


def read(path: str) -> str:
    """Return what is in a file; nothing if it is gone, or not for our eyes."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def ssh_connection() -> list[str]:
    """Return addresses and ports of the SSH connection, the client's first; nothing if there is none.

    sudo drops the variable, so it is looked for in the processes above this one, too.
    """
    process = str(os.getpid())
    while process:
        for variable in read(f"/proc/{process}/environ").split("\0"):
            if variable.startswith("SSH_CONNECTION="):
                return variable.partition("=")[2].split()
        # pid (comm) state ppid: see proc(5); a name may contain blanks and parentheses.
        process = "".join(read(f"/proc/{process}/stat").rpartition(")")[2].split()[1:2])
    return []


def neighbour(address: str) -> str:
    """Return the hardware address that answers for an address in this network; nothing if none does in a second."""
    if not address:
        return ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Whatever is sent, the kernel has to ask who has the address. 9 is the port that discards.
        probe.sendto(b"", (address, 9))
    for _ in range(10):
        for fields in map(str.split, read("/proc/net/arp").splitlines()):
            # Address, type, flags (2: complete), hardware address.
            if fields[0] == address and fields[2] == "0x2":
                return fields[3]
        time.sleep(0.1)
    return ""


def postgresql_clusters(configuration: Path, programs: Path) -> dict[str, str]:
    """Return, by version, whether a cluster `main` starts with the host (`auto`); none whose server is gone."""
    found = {}
    for path in configuration.glob("*/main/postgresql.conf"):
        version = path.parent.parent.name
        if (programs / version / "bin" / "postgres").exists():
            lines = read(str(path.with_name("start.conf"))).splitlines()
            # Without a word, Debian starts it.
            found[version] = "".join(line.partition("#")[0].strip() for line in lines) or "auto"
    return found


def holds(place: dict[str, str]) -> bool:
    """Tell whether there is the file of a secret, and in a URL the user whose password it is."""
    text = read(place["path"])
    user = unquote(text.partition("://")[2].partition("@")[0].partition(":")[0])
    return text != "" and place.get("user", user) == user


def fernet_digests(keys: str) -> dict[str, Any]:
    """Return a digest of each key, for who has the keys to compare: nobody guesses 32 random bytes."""
    salt = os.urandom(16).hex()
    return {
        "salt": salt,
        "digests": [hmac.new(salt.encode(), key.encode(), "sha256").hexdigest() for key in keys.split(",") if key],
    }


def has_schema(database: dict[str, Any]) -> bool:
    """Tell whether this host's PostgreSQL has Airflow's schema in a database. What does not run has none."""
    if not database:
        return False
    query = "SELECT to_regclass('public.alembic_version') IS NOT NULL"
    # By the environment: in an argument, a name may be a whole connection string.
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PGDATABASE": database["name"], "PGPORT": database["port"]}
    result = subprocess.run(
        ["runuser", "-u", "postgres", "--", "psql", "-XAtc", query],
        check=False, cwd="/", env=variables, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return result.stdout.strip() == "t"


def port(unit: str) -> int:
    """Return the port in the command line of a unit; 0 if there is no such unit, or no port."""
    found = re.search(r"^ExecStart=.* --port (\d+)", read(unit), re.MULTILINE)
    return int(found[1]) if found else 0


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping; nothing for what is none."""
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    """Return the texts of a list; nothing for what is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def recorded(path: str) -> dict[str, Any]:
    """Return what the last run wrote of this host; nothing if it is not there, or somebody has damaged it."""
    try:
        found = mapping(json.loads(read(path) or "{}"))
    except ValueError:
        found = {}
    components = mapping(found.get("components"))
    return {
        "components": {
            name: {key: texts(mapping(entry).get(key)) for key in ("units", "owns")}
            for name, entry in components.items()
        },
        "fixed": mapping(found.get("fixed")),
    }


def ours(units: str) -> list[str]:
    """Return the units of Airflow's components: they have a mark that nobody else's have."""
    return sorted(unit.name for unit in Path(units).glob("airflow-*.service") if "X-ConfigChecksum=" in read(str(unit)))


def matching(names: list[str], patterns: list[str]) -> list[str]:
    """Return those of some names that match a pattern."""
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def present_units(patterns: list[str], units: str) -> list[str]:
    """Return the units that there are, by name: those that systemd has loaded, and those with a file here."""
    if not patterns:  # which would be all
        return []
    listing = subprocess.run(
        ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", *patterns],
        check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    loaded = [line.split()[0] for line in listing.stdout.splitlines() if " not-found " not in line]
    return sorted({*loaded, *matching([path.name for path in Path(units).glob("*.service")], patterns)})


def expanded(pattern: str) -> list[str]:
    """Return the paths that there are of an absolute pattern."""
    return glob.glob(pattern)  # noqa: PTH207 - Path.glob takes none that begins with a slash


def leaving(placed: dict[str, Any], known: dict[str, Any], record: dict[str, Any], units: str) -> list[dict[str, Any]]:
    """Return what was placed here and is not any more: components with the units and the paths that there are.

    Also without a record, where units are there: whoever lost it has them all the same.
    """
    gone = {name: entry for name, entry in record.items() if name not in placed}
    stay = [pattern for entry in placed.values() for pattern in entry["units"]]
    for unit in set(ours(units)) - set(matching(ours(units), stay)):
        name = next((name for name, entry in known.items() if matching([unit], entry["units"])), unit)
        gone.setdefault(name, known.get(name, {"units": [unit], "owns": [f"{units}/{unit}"]}))
    order = [*known, *sorted(gone)]
    kept = {pattern for entry in placed.values() for pattern in entry["owns"]}
    return [
        {
            "component": name,
            "units": present_units(gone[name]["units"], units),
            "paths": sorted(path for own in set(gone[name]["owns"]) - kept for path in expanded(own)),
        }
        for name in sorted(gone, key=order.index)
    ]


given = json.loads(sys.argv[1])
record = recorded(given["record"])
seen = {
    "python": ".".join(map(str, sys.version_info[:2])),
    "clock_offset": round(time.time() - given["now"], 3),
    "release": target(given["release"]),
    "unfinished_upgrade": target(given["unfinished"]),
    "drained": read(given["drained"]),
    "free_mb": {path: free_mb(path) for path in given["paths"]},
    "open_ways": [
        {"variable": variable, "path": path, **way}
        for variable, path in given["ways"].items()
        for way in [open_way(path, given["own"])]
        if way
    ],
    "ssh_connection": ssh_connection(),
    "neighbour": neighbour(given["neighbour"]),
    "api_server_port": port(given["api_server"]),
    "postgresql": postgresql_clusters(Path(given["configuration"]), Path(given["programs"])),
    "secrets": [name for name, place in given["secrets"].items() if holds(place)],
    "fernet_key": fernet_digests(read(given["fernet_key"])),
    "schema": has_schema(given["database"]),
    "webserver_config": Path(given["webserver_config"]).exists(),
    # Written only after a migration, and with a mark that nobody else's units have.
    "units": bool(ours(given["units"])),
    "record": record,
    "leaving": leaving(given["placed"], given["known"], record["components"], given["units"]),
}
print(json.dumps(seen))
