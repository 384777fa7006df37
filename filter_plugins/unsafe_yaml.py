"""YAML of which Ansible runs nothing, whoever the values come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError


class _Template(str):
    """A text that Ansible would take for a template."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes such texts with Ansible's tag for those that are none."""


_Dumper.add_representer(_Template, lambda dumper, text: dumper.represent_scalar("!unsafe", str.__str__(text)))


def _text(value: str) -> str:
    # Jinja's delimiters begin with a brace; only the header "#jinja2:" could choose others. All else is left as it is,
    # because behind the tag Ansible takes '64' for a number.
    return _Template(value) if "{" in value or value.startswith("#") else str.__str__(value)


def _plain(value: object) -> Any:
    """Copy a value into builtins: the dumper knows none of Ansible's own types."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (int, float)):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item) for item in value]
    raise AnsibleFilterError(f"to_unsafe_yaml: cannot write a {type(value).__name__}; make it a string")


def to_unsafe_yaml(value: object) -> str:
    r"""
    Write a value as YAML for a file of variables, in which no text of it is a template.

    Example: `{'a': '64', 'b': '{{ c }}'}` gives `a: '64'\nb: !unsafe '{{ c }}'\n`. Raises AnsibleFilterError on what
    YAML has no type for.
    """
    # Beyond ASCII as escapes: a person reads the file, and sees all that is in it.
    return yaml.dump(_plain(value), Dumper=_Dumper, allow_unicode=False, sort_keys=False, width=float("inf"))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"to_unsafe_yaml": to_unsafe_yaml}
