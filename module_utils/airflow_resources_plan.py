"""What has to be done to make Airflow's resources what is declared: pure, and told in lines without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.airflow_resources import (
    BUILT_IN_ROLES,
    DEFAULT_POOL,
    WEBSITE,
    Entry,
    Kind,
    blank,
    differing,
    digests,
    hidden_paths,
    hides,
    wanted,
    without,
)

# Of a list, in a line.
_MANY = 6


@dataclass
class Plan:
    """What is to be done with the entries of a kind."""

    kind: Kind
    create: list[Entry] = field(default_factory=list)
    # With the fields that differ.
    update: list[tuple[Entry, list[str]]] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    # Digests of what is declared and may be hidden, and so of what Airflow has afterwards: by name and field.
    noted: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.create or self.update or self.delete)


@dataclass(frozen=True)
class Rules:
    """What a plan goes by: whether undeclared entries go, which never do, the key of digests, and those of before."""

    purge: bool
    protected: frozenset[str]
    key: str
    noted: Mapping[str, Mapping[str, str]]


def protected(kind: Kind, login: str) -> frozenset[str]:
    """Return the names of a kind that no purge deletes."""
    kept: dict[str, frozenset[str]] = {
        "pools": frozenset({DEFAULT_POOL}), "roles": BUILT_IN_ROLES, "users": frozenset({login}),
    }  # fmt: skip
    return kept.get(kind.name, frozenset())


def plan(kind: Kind, declared: Sequence[Mapping[str, Any]], present: Mapping[str, Entry], rules: Rules) -> Plan:
    """Return what is to be done with a kind: `present` are its entries in Airflow, by name."""
    made = Plan(kind)
    for entry in declared:
        name = str(entry[kind.key])
        if entry.get("state", "present") == "absent":
            if name in rules.protected:
                made.problems.append(f"{kind.name}: {name} is never deleted. Take state: absent away.")
            elif name in present:
                made.delete.append(name)
                made.lines.append(f"{kind.name}: {name} is deleted")
        elif name in present:
            _compare(made, entry, present[name], rules)
        else:
            _create(made, entry, rules)
    if rules.purge:
        names = {str(entry[kind.key]) for entry in declared}
        surplus = sorted(set(present) - names - rules.protected)
        made.delete += surplus
        made.lines += [f"{kind.name}: {name} is deleted, since it is not declared" for name in surplus]
    return made


def _create(made: Plan, entry: Mapping[str, Any], rules: Rules) -> None:
    kind, name = made.kind, str(entry[made.kind.key])
    whole = wanted(kind, entry)
    if kept := entry.get("keep"):
        made.problems.append(
            f"{kind.name}: {name} is not there, so {', '.join(kept)} of it cannot be kept. Give the values."
        )
    if kind.name == "users" and not whole["password"]:
        made.problems.append(f"users: {name} is not there, and a password makes the account. Give one.")
    made.create.append(whole)
    made.noted[name] = digests(rules.key, kind, without(whole, _kept(kind, entry)))
    made.lines.append(f"{kind.name}: {name} is made")


def _kept(kind: Kind, entry: Mapping[str, Any]) -> list[str]:
    """Return the paths of what stays as Airflow has it: of a user, a password that was only for the beginning."""
    if kind.name == "users" and (entry.get("generated") or not entry.get("password")):
        return ["password"]
    return list(entry.get("keep") or [])


def _entangled(kind: Kind, kept: Sequence[str]) -> set[str]:
    """Return the fields that cannot be written without what is kept."""
    if kind.name == "variables" and kept:
        return set(kind.fields)
    return {path.partition(".")[0] for path in kept if "." in path}


def _compare(made: Plan, entry: Mapping[str, Any], present: Entry, rules: Rules) -> None:
    kind, name, kept = made.kind, str(entry[made.kind.key]), _kept(made.kind, entry)
    whole, answered = without(wanted(kind, entry), kept), without(present, kept)
    made.noted[name] = digests(rules.key, kind, whole)
    fields = differing(kind, whole, answered)
    # A user's password stays until another one is declared: he may have changed it himself.
    before = rules.noted.get(name, made.noted[name] if kind.name == "users" else {})
    unseen = [part for part in made.noted[name] if hides(answered.get(part)) and part not in fields]
    fields += [part for part in unseen if before.get(part) != made.noted[name][part]]
    if lost := sorted(set(fields) & _entangled(kind, kept)):
        made.problems.append(
            f"{kind.name}: {name} is to have another {' and '.join(lost)}, which cannot be written without "
            f"{' and '.join(kept)}. Give the values instead of keeping them."
        )
    if fields:
        made.update.append((whole, fields))
        made.lines.append(f"{kind.name}: {name}: {'; '.join(_line(kind, answered, whole, part) for part in fields)}")


def _line(kind: Kind, answered: Entry, whole: Entry, name: str) -> str:
    """Return how a field differs. What Airflow may hide is told by its name alone."""
    if name in kind.hidden:
        return f"{name} (not shown)"
    before, after = answered.get(name), whole.get(name)
    if isinstance(after, list):
        gained, lost = sorted({*after} - {*(before or [])}), sorted({*(before or [])} - {*after})
        return f"{name} {' '.join(_listed(gained, '+') + _listed(lost, '-'))}"
    return f"{name} {json.dumps(before)} -> {json.dumps(after)}"


def _listed(names: Sequence[str], sign: str) -> list[str]:
    shown = [f"{sign}{name!r}" for name in names[:_MANY]]
    return shown + ([f"{sign}{len(names) - _MANY} more"] if len(names) > _MANY else [])


def bodies(made: Plan) -> tuple[list[Entry], list[Entry]]:
    """Return the entries of the API's bulk request that are new, and those that change."""
    kind = made.kind
    created = [
        _body(kind, entry, [name for name in entry if name == "value" or not blank(entry[name])])
        for entry in made.create
    ]
    updated = []
    for entry, fields in made.update:
        # Airflow wants all of the others.
        needed = ["conn_type"] if kind.name == "connections" else list(entry)
        updated.append(_body(kind, entry, list(dict.fromkeys([*needed, *fields]))))
    return created, updated


def _body(kind: Kind, entry: Entry, fields: Sequence[str]) -> Entry:
    found: Entry = {kind.key: entry[kind.key]} | {name: entry.get(name) for name in fields}
    if "extra" in found:
        found["extra"] = json.dumps(found["extra"]) if found["extra"] else None
    return found


def exported(kind: Kind, entry: Entry) -> Entry:
    """Return an entry of Airflow as it would be declared: what is hidden is kept, and what is empty left out."""
    hidden = [path for part in kind.hidden for path in hidden_paths(entry.get(part), part)]
    kept = [] if kind.name == "users" else hidden
    found = {
        name: value
        for name, value in without(entry, hidden).items()
        if name == "value" or not (blank(value) or value is False)
    }
    if kind.name == "roles":
        found["permissions"] = [text.replace("_", " ", 1) for text in found["permissions"] if text != WEBSITE]
    return found | ({"keep": kept} if kept else {})


def secrets_of(declared: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Yield every text that may be a secret in what is declared, for a last look at what is shown."""
    for entries in declared.values():
        for entry in entries:
            yield from _texts([entry.get(name) for name in ("password", "value", "extra")])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str) and len(value) >= 6:
        yield value
