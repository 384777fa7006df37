"""Checks of what filters are given, with messages that name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ansible.errors import AnsibleFilterError

# Of a disk, what may be filled: the rest is for what is being written, and for the system.
_SHARE = 0.8


def as_mapping(value: object, what: str) -> dict[str, Any]:
    """Return a mapping's items by names; raise AnsibleFilterError if it is none."""
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"{what} must be a mapping, found {type(value).__name__}")
    return {str(key): item for key, item in value.items()}


def as_list(value: object, what: str) -> list[Any]:
    """Return a list's items; raise AnsibleFilterError if it is none, or a text."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise AnsibleFilterError(f"{what} must be a list, found {type(value).__name__}")
    return list(value)


def as_number(value: object, what: str) -> float:
    """Return a number; raise AnsibleFilterError if it is none, or a truth value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AnsibleFilterError(f"{what} must be a number, found {value!r}")
    return value


def larger_than_disk(wanted: float, mounts: Sequence[Any], directory: str, names: tuple[str, str]) -> Iterator[str]:
    """Yield what is wrong with a number of MB that are to be kept in a directory, by the mounts of the facts.

    `names` are that of the variable, and of what is kept. Nothing, where no mount is known that holds the directory.
    """
    known = [mount for mount in mounts if isinstance(mount, Mapping)]
    holding = [mount for mount in known if PurePosixPath(directory).is_relative_to(str(mount.get("mount") or "-"))]
    for disk in sorted(holding, key=lambda mount: len(str(mount["mount"])))[-1:]:
        size_mb = int(disk.get("size_total") or 0) // 1_000_000
        if 0 < size_mb * _SHARE < wanted:
            yield (
                f"{names[0]} is {wanted:.15g}, and the disk of {directory} ({disk['mount']}) has {size_mb} MB, of "
                f"which {_SHARE:.0%} can be {names[1]}. Set it to {int(size_mb * _SHARE)} or less, or give the host a "
                "larger disk."
            )
