"""The variables of the site: what the registry declares, and what an inventory gives for them.

Those of the whole site stand in `registry/site.yml`, those of one component may stand in its file, under `variables`.

An entry is a mapping with these keys, and `read_variables` refuses any other:
  type         one of TYPES (required)
  default      a value of that type; none for what is worked out
  choices      the values that are allowed
  per_host     whether hosts may have different ones; false
  change       what a change after the installation is: carried, by the next run, or refused; carried
  inputs       inputs of roles that get its value: setting one of them is refused
  instead_of   names that it had: they are refused, too
  description  of it (required)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import (
    Component,
    RegistryError,
    keys_of,
    read_registry,
)

PREFIX = "site_"
_LAST_PORT = 65535
# What programs can still reckon with: so many days in microseconds are less than 2**64.
_GREATEST_COUNT = 10**7


class VariableError(ValueError):
    """A value that a variable cannot have; the message names both."""


@dataclass(frozen=True)
class Variable:
    """A declared variable."""

    name: str
    type: str
    description: str
    default: Any = None
    choices: tuple[Any, ...] = ()
    per_host: bool = False
    change: str = "carried"
    inputs: tuple[str, ...] = ()
    instead_of: tuple[str, ...] = ()

    def read(self, value: Any) -> Any:
        """Return a value as the type says; raise VariableError for one that is none.

        `--extra-vars name=value` gives texts for everything.
        """
        try:
            found = TYPES[self.type][1](value)
        except (TypeError, ValueError):
            raise VariableError(f"{self.name} is {shown(value)}. Set it to {TYPES[self.type][0]}.") from None
        if self.choices and found not in self.choices:
            allowed = ", ".join(map(str, self.choices))
            raise VariableError(f"{self.name} is {shown(found)}. Set it to one of {allowed}.")
        return found


def shown(value: Any) -> str:
    """Return a value as a message may have it: none that could hold a secret, such as a URL or an environment."""
    if isinstance(value, (Mapping, list, tuple)):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    return "a text with a password" if "@" in str(value) else repr(value)


def _text(value: Any) -> str:
    if value is None or isinstance(value, (Mapping, list, bool)):
        raise ValueError
    return str(value)


def _path(value: Any) -> str:
    path = _text(value)
    if not path.startswith("/"):
        raise ValueError
    return path


def _whole(value: Any) -> int:
    if isinstance(value, (bool, float)):
        raise ValueError
    return int(value)


def _count(value: Any) -> int:
    number = _whole(value)
    if not 0 <= number <= _GREATEST_COUNT:
        raise ValueError
    return number


def _port(value: Any) -> int:
    number = _whole(value)
    if not 1 <= number <= _LAST_PORT:
        raise ValueError
    return number


def _list(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError
    return list(value)


def _dict(value: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise ValueError
    return dict(value)


# What a value of each type is, in a message, and how it is read.
TYPES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bool": ("true or false", boolean),
    "count": (f"a whole number from 0 to {_GREATEST_COUNT}", _count),
    "dict": ("a mapping", _dict),
    "int": ("a whole number", _whole),
    "list": ("a list", _list),
    "path": ("an absolute path", _path),
    "port": (f"a port between 1 and {_LAST_PORT}", _port),
    "str": ("a text", _text),
}


def _variable(name: str, entry: Any, file: str) -> Variable:
    place = f"{file}: {name}"
    if not isinstance(entry, Mapping) or not name.startswith(PREFIX):
        raise RegistryError(f"{place} must be a mapping, and its name begin with {PREFIX}")
    given = keys_of(entry, place, Variable)
    if entry.get("type") not in TYPES or not entry.get("description"):
        raise RegistryError(f"{place} needs a description, and a type of {', '.join(TYPES)}")
    if entry.get("change", "carried") not in ("carried", "refused"):
        raise RegistryError(f"{place}.change is {entry['change']!r}; allowed are carried, refused")
    lists = {key: tuple(entry.get(key, ())) for key in ("choices", "inputs", "instead_of")}
    variable = Variable(name=name, **given | lists)
    if variable.default is not None and not _fits(variable):
        raise RegistryError(f"{place}: its default is no {variable.type}")
    return variable


def _fits(variable: Variable) -> bool:
    try:
        return bool(variable.read(variable.default) == variable.default)
    except VariableError:
        return False


def read_variables(entries: Mapping[str, Any], file: str = "registry/site.yml") -> dict[str, Variable]:
    """Return the variables of a file by name; raise RegistryError for a declaration that has no meaning."""
    return {name: _variable(name, entry, file) for name, entry in entries.items()}


def read_all_variables(files: Mapping[str, Any]) -> dict[str, Variable]:
    """Return the variables of a registry, by the contents of its files: those of the site, and of each component."""
    found = read_variables(files["site"])
    for name, entry in files.items():
        own = entry.get("variables", {}) if name != "site" and isinstance(entry, Mapping) else {}
        more = read_variables(own, f"registry/{name}.yml")
        if twice := sorted(set(found) & set(more)):
            raise RegistryError(f"registry/{name}.yml: {twice[0]} is declared twice")
        found |= more
    return found


@cache
def read_directory(directory: Path) -> tuple[Mapping[str, Component], Mapping[str, Variable]]:
    """Return components and variables of a registry by name; raise RegistryError for one that has no meaning.

    Read once in a process: plays ask for it, the variables of all hosts, and the model.
    """
    files = {path.stem: yaml_load(path.read_text(encoding="utf-8")) for path in directory.glob("*.yml")}
    declared = read_all_variables(files)
    return read_registry({name: entry for name, entry in files.items() if name != "site"}, declared), declared
