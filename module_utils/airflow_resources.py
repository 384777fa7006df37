"""
What is declared of Airflow's resources, compared with what its API shows of them.

Airflow shows `***` in the place of a secret, so what is hidden is compared by a digest of what was written last.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MASK = "***"
# Of FAB: they cannot be declared, and are never deleted (constants.py, EXISTING_ROLES).
BUILT_IN_ROLES = frozenset({"Admin", "Op", "User", "Viewer", "Public"})
DEFAULT_POOL = "default_pool"
# FAB gives it to each role of its own accord whenever it starts: a role without it would differ for ever.
WEBSITE = "can_read on Website"
# Resources of a single DAG.
DAG_PREFIXES = ("DAG:", "DAG Run:")

Entry = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of resources: where the API has it, the field with its name, and what is compared of it."""

    name: str
    path: str
    key: str
    fields: tuple[str, ...]
    # What Airflow may hide of it.
    hidden: tuple[str, ...] = ()


# In the order in which they are made: users have roles.
KINDS = {
    kind.name: kind
    for kind in (
        Kind("pools", "/api/v2/pools", "name", ("slots", "description", "include_deferred")),
        Kind("variables", "/api/v2/variables", "key", ("value", "description"), ("value",)),
        Kind(
            "connections",
            "/api/v2/connections",
            "connection_id",
            ("conn_type", "description", "host", "login", "password", "schema", "port", "extra"),
            ("password", "extra"),
        ),
        Kind("roles", "/auth/fab/v1/roles", "name", ("permissions",)),
        Kind("users", "/auth/fab/v1/users", "username", ("email", "first_name", "last_name", "roles"), ("password",)),
    )
}


def permission(text: str) -> str:
    """Return a permission as this module writes it: `can read on DAGs` gives `can_read on DAGs`."""
    action, separator, resource = text.strip().partition(" on ")
    return f"{action.strip().replace(' ', '_')}{separator}{resource.strip()}"


def fields_of(kind: Kind, name: str) -> tuple[str, ...]:
    """Return what is compared of an entry. Of the default pool, Airflow lets nothing else be changed."""
    return ("slots", "include_deferred") if kind.name == "pools" and name == DEFAULT_POOL else kind.fields


def as_json(text: Any) -> Any:
    """Return what a text means as JSON; the text itself if it is none."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def wanted(kind: Kind, entry: Mapping[str, Any]) -> Entry:
    """Return a declaration with all fields that are compared, and its name."""
    name = str(entry[kind.key])
    found: Entry = {kind.key: name} | {field: entry.get(field) for field in fields_of(kind, name)}
    if kind.name == "pools":
        found["include_deferred"] = bool(found["include_deferred"])
    elif kind.name == "variables" and not isinstance(found["value"], str):
        # As Airflow itself keeps what is no text (Variable.set with serialize_json).
        found["value"] = json.dumps(found["value"], indent=2)
    elif kind.name == "connections":
        found["extra"] = as_json(found["extra"]) or {}
    elif kind.name == "roles":
        found["permissions"] = sorted({WEBSITE, *map(permission, found["permissions"] or [])})
    elif kind.name == "users":
        found |= {field: found[field] or name for field in ("first_name", "last_name")}
        found |= {"roles": sorted(set(found["roles"] or [])), "password": entry.get("password")}
    return found


def shown(kind: Kind, answer: Mapping[str, Any]) -> Entry:
    """Return an entry of the API's list, in the form of a declaration."""
    found: Entry = {kind.key: answer[kind.key]} | {
        field: answer.get(field) for field in fields_of(kind, answer[kind.key])
    }
    if kind.name == "connections":
        found["extra"] = as_json(found["extra"] or "{}")
    elif kind.name == "roles":
        pairs = answer.get("actions") or []
        found["permissions"] = sorted(f"{pair['action']['name']} on {pair['resource']['name']}" for pair in pairs)
    elif kind.name == "users":
        found |= {"roles": sorted(role["name"] for role in answer.get("roles") or []), "password": MASK}
    return found


def blank(value: Any) -> bool:
    """Tell whether a value is nothing, in whatever way Airflow keeps that."""
    return value is None or value in ("", {}, [])


def alike(declared: Any, answered: Any) -> bool:
    """Tell whether a value may be what the API shows: of what it hides, it may be anything but nothing."""
    if isinstance(declared, Mapping) and isinstance(answered, Mapping):
        return declared.keys() == answered.keys() and all(alike(declared[key], answered[key]) for key in declared)
    if isinstance(declared, list) and isinstance(answered, list):
        return len(declared) == len(answered) and all(map(alike, declared, answered))
    if blank(declared) or blank(answered):
        return blank(declared) and blank(answered)
    if answered == MASK:
        return True
    if isinstance(declared, str) and isinstance(answered, str) and MASK in answered:
        # What a process of Airflow has once read as a secret, it hides in other texts, too.
        pattern = ".*".join(map(re.escape, re.split(r"\*{3,}", answered)))
        return re.fullmatch(pattern, declared, re.DOTALL) is not None
    return bool(declared == answered and isinstance(declared, bool) == isinstance(answered, bool))


def hides(answered: Any) -> bool:
    """Tell whether the API hides a part of a value."""
    return MASK in json.dumps(answered)


def hidden_paths(answered: Any, path: str) -> list[str]:
    """Return the paths of what the API hides of a value: `extra.token`, say."""
    if isinstance(answered, Mapping):
        return [found for key, item in answered.items() for found in hidden_paths(item, f"{path}.{key}")]
    return [path] if hides(answered) else []


def without(entry: Mapping[str, Any], paths: Iterable[str]) -> Entry:
    """Return an entry without what stands at some paths."""
    found = dict(entry)
    for path in paths:
        first, _, rest = path.partition(".")
        if rest and isinstance(found.get(first), Mapping):
            found[first] = without(found[first], [rest])
        else:
            found.pop(first, None)
    return found


def differing(kind: Kind, declared: Mapping[str, Any], answered: Mapping[str, Any]) -> list[str]:
    """Return the fields in which a declaration cannot be what the API shows."""

    def read(entry: Mapping[str, Any], field: str) -> Any:
        return as_json(entry.get(field)) if field == "value" else entry.get(field)

    fields = sorted({*declared, *answered} - {kind.key})
    return [field for field in fields if not alike(read(declared, field), read(answered, field))]


def digests(key: str, kind: Kind, values: Mapping[str, Any]) -> dict[str, str]:
    """Return digests of what may be hidden of an entry. Without the key nobody can try values out."""
    given = {part: values[part] for part in kind.hidden if not blank(values.get(part))}
    texts = {
        part: json.dumps([kind.name, values[kind.key], part, value], sort_keys=True) for part, value in given.items()
    }
    return {part: hmac.new(key.encode(), text.encode(), "sha256").hexdigest() for part, text in texts.items()}
