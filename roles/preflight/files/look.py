"""Print what a host says of itself and no Ansible fact does, as JSON.

Python, clock, release of Airflow, an upgrade that was interrupted, whether an operator has drained the host, free
space, the SSH connection that this runs through, who has an address, which clusters of PostgreSQL there are, and the
port of the API server.

The argument is a JSON object:
  now                   the controller's time, in seconds since the epoch
  release, unfinished   links to the release, and to the backup of an unfinished upgrade
  drained               file of a drained host
  neighbour             an IPv4 address in the host's network, or nothing
  configuration, programs  directories of PostgreSQL's clusters and servers
  api_server            unit of the API server
  paths                 where to look for free space
Runs on Python 3.7.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from pathlib import Path


def free_mb(path: str) -> int:
    """Return the MB free on the file system of `path`, or of its nearest parent that exists."""
    present = Path(path)
    while not present.exists():
        present = present.parent
    status = os.statvfs(present)
    return status.f_bavail * status.f_frsize // 2**20


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


def port(unit: str) -> int:
    """Return the port in the command line of a unit; 0 if there is no such unit, or no port."""
    found = re.search(r"^ExecStart=.* --port (\d+)", read(unit), re.MULTILINE)
    return int(found[1]) if found else 0


given = json.loads(sys.argv[1])
seen = {
    "python": ".".join(map(str, sys.version_info[:2])),
    "clock_offset": round(time.time() - given["now"], 3),
    "release": target(given["release"]),
    "unfinished_upgrade": target(given["unfinished"]),
    "drained": read(given["drained"]),
    "free_mb": {path: free_mb(path) for path in given["paths"]},
    "ssh_connection": ssh_connection(),
    "neighbour": neighbour(given["neighbour"]),
    "api_server_port": port(given["api_server"]),
    "postgresql": postgresql_clusters(Path(given["configuration"]), Path(given["programs"])),
}
print(json.dumps(seen))
