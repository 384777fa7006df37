"""What of a host's system may stand in the way of a site. Python 3.9 and newer, standard library only."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.listening_ports import listeners

_PROC = Path("/proc")


def nearest(path: str) -> Path:
    """Return a path, or its nearest parent that exists."""
    present = Path(path)
    while not present.exists():
        present = present.parent
    return present


def _no_exec(paths: list[str]) -> list[str]:
    """Return those of some paths that are on a file system from which no program runs."""
    return [path for path in paths if os.statvfs(nearest(path)).f_flag & os.ST_NOEXEC]


def _processes(uid: int) -> Iterator[str]:
    """Yield the names (see proc(5)) of the processes of a user."""
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # one that has ended meanwhile
            if process.stat().st_uid == uid:
                yield (process / "comm").read_text().strip()


def _account(user: str, uid: int) -> dict[str, Any]:
    """Return what there is of a user: `uid` and `processes` of who has its name, and the `owner` of its uid."""
    found: dict[str, Any] = {"uid": None, "processes": [], "owner": ""}
    with suppress(KeyError):
        found["uid"] = pwd.getpwnam(user).pw_uid
        found["processes"] = sorted(set(_processes(found["uid"])))
    with suppress(KeyError):
        found["owner"] = pwd.getpwuid(uid).pw_name
    return found


def _group(group: str, gid: int) -> dict[str, Any]:
    """Return what there is of a group: the `gid` of who has its name, and the `owner` of its gid."""
    found: dict[str, Any] = {"gid": None, "owner": ""}
    with suppress(KeyError):
        found["gid"] = grp.getgrnam(group).gr_gid
    with suppress(KeyError):
        found["owner"] = grp.getgrgid(gid).gr_name
    return found


def system(asked: dict[str, Any]) -> dict[str, Any]:
    """Return how the system is; it changes nothing.

    ports     TCP ports: `listeners`, see there
    programs  paths: `no_exec`, those from where no program runs
    present   paths by the variable that says so: `missing`, those of them that are no directory
    user      `name` and `id`: `user`, see _account
    group     `name` and `id`: `group`, see _group
    """
    return {
        "listeners": listeners(asked["ports"]),
        "no_exec": _no_exec(asked["programs"]),
        "missing": {name: path for name, path in asked["present"].items() if not Path(path).is_dir()},
        "user": _account(asked["user"]["name"], asked["user"]["id"]) if asked["user"] else {},
        "group": _group(asked["group"]["name"], asked["group"]["id"]) if asked["group"] else {},
    }
