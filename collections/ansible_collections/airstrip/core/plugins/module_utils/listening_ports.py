"""Who listens at the TCP ports of this host. Python 3.9 and newer, standard library only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

# The state TCP_LISTEN, see proc_net_tcp in the kernel's documentation.
_LISTEN = "0A"
_PROC = Path("/proc")
_UNIT = re.compile(r"[^/]+\.(?:service|scope)(?=/|$)")


def _sockets(ports: set[int]) -> dict[str, int]:
    """Return the ports of the sockets that listen, by inode."""
    found = {}
    for name in ("tcp", "tcp6"):
        with suppress(OSError):  # a kernel without IPv6
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                # The second has address and port (hexadecimal), the fourth the state, the tenth the inode.
                fields = line.split()
                port = int(fields[1].rpartition(":")[2], 16)
                if fields[3] == _LISTEN and port in ports:
                    found[fields[9]] = port
    return found


def _held(sockets: dict[str, int]) -> Iterator[tuple[int, Path]]:
    """Yield the ports of sockets with each process that has them."""
    for process in _PROC.glob("[0-9]*"):
        # One that has ended meanwhile.
        with suppress(OSError):
            for link in (process / "fd").iterdir():
                with suppress(OSError):
                    inode = os.readlink(link).partition("socket:[")[2].rstrip("]")  # noqa: PTH115 - no path
                    if inode in sockets:
                        yield sockets[inode], process


def _unit(process: Path) -> str:
    """Return the unit of systemd in which a process runs; nothing outside of all."""
    with suppress(OSError):
        return next(iter(_UNIT.findall((process / "cgroup").read_text())), "")
    return ""


def _name(process: Path) -> str:
    with suppress(OSError):
        return (process / "comm").read_text().strip()
    return ""


def listeners(ports: list[int]) -> list[dict[str, Any]]:
    """Return who listens at some ports, each once: `port`, `process` (its name, proc(5)) and `unit`, empty for none.

    Runs as root: of others' processes, the kernel tells nobody else the sockets. A socket without a process, as one of
    the kernel's own, has an empty name.
    """
    sockets = _sockets(set(ports))
    found = {(port, _name(process), _unit(process)) for port, process in _held(sockets)}
    found |= {(port, "", "") for port in set(sockets.values()) - {port for port, _, _ in found}}
    return [{"port": port, "process": name, "unit": unit} for port, name, unit in sorted(found)]
