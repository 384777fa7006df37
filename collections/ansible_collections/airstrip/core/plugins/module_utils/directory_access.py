"""Who may write a directory: whoever may can put a link into it, and so lead root anywhere."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Collection
from pathlib import Path


def user_name(number: int) -> str:
    """Return the name of a user, or the number if it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """Return the name of a group, or the number if it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def who_may_write(owner: int, group: int, mode: int) -> str:
    """Return who may replace what is in a directory, besides root and this process; empty if nobody may."""
    if owner not in (0, os.geteuid()):
        return user_name(owner)
    if mode & stat.S_ISVTX:
        return ""
    if mode & stat.S_IWOTH:
        return "everybody"
    return f"the group {group_name(group)}" if mode & stat.S_IWGRP and group else ""


def open_directory(path: str, taken_over: Collection[str] = ()) -> tuple[str, str] | None:
    """
    Return the uppermost directory above `path` that others may write, and who; nothing if there is none.

    What is not there yet nobody can write. `taken_over` are directories that root takes over before it goes there.
    """
    # By their real names, because whoever owns a link's target owns the way.
    for directory in reversed(Path(os.path.realpath(path)).parents):
        if not directory.exists():
            return None
        info = directory.stat()
        who = "" if str(directory) in taken_over else who_may_write(info.st_uid, info.st_gid, info.st_mode)
        if who:
            return str(directory), who
    return None
