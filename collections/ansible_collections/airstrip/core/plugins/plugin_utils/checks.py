"""Checks of what filters are given, with messages that name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


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
