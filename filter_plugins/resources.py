"""Filters: what is declared of Airflow's pools, variables, connections, roles and users."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

_BUILT_IN_ROLES = ("Admin", "Op", "Public", "User", "Viewer")
_MASK = "***"
_GENERATED = "airflow_user_"


@dataclass(frozen=True)
class _Kind:
    """How a kind is declared: the key of its name, what else is needed and possible, and which names there can be."""

    word: str
    key: str
    needed: tuple[str, ...]
    possible: tuple[str, ...]
    name: re.Pattern[str]
    rule: str


# Names as Airflow's API takes them (core_api/datamodels); of what has a path of its own, without a slash.
_KINDS = {
    "pools": _Kind(
        "pool", "name", ("slots",), ("description", "include_deferred"),
        re.compile(r".{1,256}", re.DOTALL), "1 to 256 characters",
    ),
    "variables": _Kind(
        "variable", "key", ("value",), ("description", "keep"),
        re.compile(r".{1,250}", re.DOTALL), "1 to 250 characters",
    ),
    "connections": _Kind(
        "connection", "connection_id", ("conn_type",),
        ("description", "host", "login", "password", "schema", "port", "extra", "keep"),
        re.compile(r"[\w.-]{1,200}"), "letters, digits, '_', '.' and '-', 200 at most",
    ),
    "roles": _Kind("role", "name", ("permissions",), (), re.compile(r"[^/]{1,64}"), "1 to 64 characters without '/'"),
    "users": _Kind(
        "user", "username", ("email", "roles"), ("first_name", "last_name", "password"),
        re.compile(r"[^/]{1,512}"), "1 to 512 characters without '/'",
    ),
}  # fmt: skip


def _near(word: str, known: Any) -> str:
    """Return a suggestion, if there is a known word that looks alike."""
    near = difflib.get_close_matches(word, [str(item) for item in known], n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _permission(text: str) -> tuple[str, str]:
    action, _, resource = text.strip().partition(" on ")
    return action.strip().replace(" ", "_"), resource.strip()


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _form(kind: _Kind, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a declaration of any kind."""
    known = (kind.key, *kind.needed, *kind.possible, "state")
    for key in entry:
        if key not in known:
            yield f"has '{key}', which nothing reads.{_near(key, known)} Use {', '.join(known)}."
    if entry.get("state", "present") not in ("present", "absent"):
        yield f"has the state {entry['state']!r}. Use present or absent."
    elif entry.get("state") != "absent":
        kept = entry.get("keep") or []
        for key in kind.needed:
            if entry.get(key) is None and key not in kept:
                yield f"has no {key}. Give it one."


def _pool(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    slots = entry.get("slots")
    if slots is None:
        return
    endless = tuple(map(int, str(settings["version"]).split(".")[:2])) >= (3, 2)
    if not _is_number(slots) or not (slots >= 1 or (slots == -1 and endless)):
        more = ", or to -1 for no limit" if endless else f"; Airflow {settings['version']} has no pools without limit"
        yield f"has {slots!r} slots, and no task would ever run in it. Set slots to a whole number of at least 1{more}."


def _kept(entry: Mapping[str, Any], allowed: str, example: str) -> Iterator[str]:
    for path in entry.get("keep") or []:
        if not re.fullmatch(allowed, str(path)):
            yield f"keeps {path!r}, which Airflow does not hide. Use {example}."


def _variable(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    del settings
    yield from _kept(entry, "value", "value")
    if entry.get("value") == _MASK:
        yield "has the value ***, which is what Airflow shows of a secret. Give the secret, or keep: [value]."


def _connection(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    del settings
    yield from _kept(entry, r"password|extra\..+", "password, or extra.KEY")
    extra = entry.get("extra")
    try:
        parsed = json.loads(extra) if isinstance(extra, str) and extra else extra or {}
    except ValueError:
        parsed = None
    if not isinstance(parsed, Mapping):
        yield "has an extra that is no mapping. Write it as one, or as the text of a JSON object."
    elif entry.get("password") == _MASK or _MASK in json.dumps(parsed, default=str):
        yield "has ***, which is what Airflow shows of a secret. Give the secret, or name it in keep."
    if entry.get("port") is not None and not (_is_number(entry["port"]) and 0 < entry["port"] < 65536):
        yield f"has the port {entry['port']!r}. Set it to a number of 1 to 65535."


def _role(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    known = as_mapping(settings["permissions"], "permissions")
    if entry["name"] in _BUILT_IN_ROLES:
        yield "is one of FAB's own, which it sets back whenever it starts. Declare a role of another name."
    for text in as_list(entry.get("permissions") or [], "permissions of airflow_roles"):
        action, resource = _permission(str(text))
        if not resource:
            yield f"has the permission {text!r}. Write it as 'can read on DAGs'."
        # Of a version that is not shipped, Airflow itself is asked before a role is written.
        elif known and action not in known["actions"]:
            shown = [name.replace("_", " ") for name in known["actions"]]
            yield f"has the permission {text!r}, and there is no action '{action.replace('_', ' ')}'." + (
                _near(action.replace("_", " "), shown) + f" Use {', '.join(shown)}."
            )
        elif known and resource not in _resources(settings) and not re.match(r"DAG( Run)?:.", resource):
            yield (
                f"has the permission {text!r}, and there is no '{resource}'.{_near(resource, _resources(settings))} "
                + ("Correct it; of a view of a plugin, add the name to airflow_resources_plugin_views.")
            )


def _resources(settings: Mapping[str, Any]) -> list[str]:
    return [*settings["permissions"]["resources"], *settings["plugin_views"]]


def _user(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    gone = entry.get("state") == "absent"
    roles = [str(role) for role in as_list(entry.get("roles") or [], "roles of airflow_users")]
    if entry["username"] == settings["admin"] and (gone or "Admin" not in roles):
        yield "is the first administrator (site_admin_username), by whom the runs log in. Leave him the role Admin."
    declared = [str(role.get("name")) for role in map(dict, settings["roles"] or []) if role.get("state") != "absent"]
    for role in roles:
        if role not in (*_BUILT_IN_ROLES, *declared):
            yield f"has the role '{role}', which is neither FAB's nor in airflow_roles." + (
                f"{_near(role, (*_BUILT_IN_ROLES, *declared))} Declare it there, with what it may do."
            )
    if not gone and "roles" in entry and not roles:
        yield "has no role, and FAB would give one of its own choice. Give one."


_CHECKS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[str]]] = {
    "pools": _pool, "variables": _variable, "connections": _connection, "roles": _role, "users": _user,
}  # fmt: skip


def _problems(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    kind, variable = _KINDS[name], f"airflow_{name}"
    entries = [as_mapping(entry, f"each of {variable}") for entry in as_list(settings[name], variable)]
    for count, entry in enumerate(entries, 1):
        given = entry.get(kind.key)
        if not isinstance(given, str) or not kind.name.fullmatch(given):
            yield f"{variable}: the {count}. {kind.word} has the {kind.key} {given!r}. Use {kind.rule}."
            continue
        for problem in (*_form(kind, entry), *_CHECKS[name](entry, settings)):
            yield f"{variable}: the {kind.word} '{given}' {problem}"
    for given, number in Counter(str(entry.get(kind.key)) for entry in entries).items():
        if number > 1:
            yield f"{variable}: '{given}' is declared {number} times. Leave one of them."
    # FAB knows accounts by them, too.
    for email, number in Counter(str(entry["email"]).lower() for entry in entries if entry.get("email")).items():
        if number > 1:
            yield f"{variable}: {number} users have the email '{email}', and Airflow takes one. Give each his own."


def _teams(settings: Mapping[str, Any]) -> Iterator[str]:
    version = str(settings["version"])
    if settings["teams"]:
        lack = "has no teams" if version.startswith("3.1.") else "has teams, and its auth manager FAB has none"
        yield f"airflow_teams: Airflow {version} {lack}. Leave it empty, and separate teams by roles for single DAGs."
    if str(settings["multi_team"]).lower() in ("true", "t", "1"):
        yield (
            "airflow_config_overrides: core.multi_team is on, and with FAB as auth manager no API server starts "
            "(NotImplementedError). Take it away."
        )


def resources_problems(settings: object) -> list[str]:
    """
    List what is wrong with what is declared of Airflow, one message each; no value of it is told.

    `settings` has pools, variables, connections, roles, users, teams and purge as they are declared, Airflow's version,
    its permissions (actions and resources; empty, if they are not known), plugin_views, admin and multi_team. Raises
    AnsibleFilterError on wrong types.
    """
    given = as_mapping(settings, "resources_problems: the settings")
    found = [problem for name in _KINDS for problem in _problems(name, given)]
    found += [
        f"airflow_resources_purge: there is no kind {kind!r}.{_near(str(kind), _KINDS)} Use {', '.join(_KINDS)}."
        for kind in given["purge"]
        if kind not in _KINDS
    ]
    return found + list(_teams(given))


def _needs_password(user: Mapping[str, Any]) -> bool:
    return user.get("state", "present") != "absent" and not user.get("password")


def resources_generated(users: list[Mapping[str, Any]]) -> list[str]:
    """Return the names of the secrets that are the first passwords of users without one: [airflow_user_ada]."""
    return [f"{_GENERATED}{user['username']}" for user in users if _needs_password(user)]


def resources_accounts(users: list[Mapping[str, Any]], passwords: list[str]) -> list[dict[str, Any]]:
    """Return users with their passwords: `passwords` are those of resources_generated, in its order."""
    generated = iter(passwords)
    return [
        {**user, "password": next(generated), "generated": True} if _needs_password(user) else dict(user)
        for user in users
    ]


def resources_head(exported: object) -> str:
    """Return comments for the head of an export: what it is, and each secret that it lacks since Airflow hides it."""
    lines = [
        "---",
        "# Made by playbooks/export_resources.yml. Airflow shows no secrets. These stay as they are (`keep`) until",
        "# they are given in its place; an account that is made anew from this gets a new password.",
    ]
    for name, entries in as_mapping(exported, "resources_head: what was exported").items():
        for entry in map(dict, entries):
            hidden = ["password"] if name == "users" else entry.get("keep") or []
            lines += [f"#   {_KINDS[name].word} {json.dumps(entry[_KINDS[name].key])}: {path}" for path in hidden]
    return "\n".join([*lines, ""])


def resources_declared(exported: object) -> dict[str, Any]:
    """Return what was exported by the names of variables: {pools: []} gives {airflow_pools: []}."""
    kinds = as_mapping(exported, "resources_declared: what was exported")
    return {f"airflow_{name}": entries for name, entries in kinds.items()}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "resources_accounts": resources_accounts,
            "resources_generated": resources_generated,
            "resources_declared": resources_declared,
            "resources_head": resources_head,
            "resources_problems": resources_problems,
        }
