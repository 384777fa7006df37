"""
airflow.cfg as data: merge, render, find what is unknown or a secret, reduce it to what a component reads.

Airflow reads airflow.cfg with Python's configparser, BasicInterpolation and case-preserving option names
(airflow/_shared/configuration/parser.py, class AirflowConfigParser), looks options up in lower case, and then
expands `~` and `$VARIABLE` in what it read. That last expansion has no escape, so none is attempted here.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

Options = dict[str, dict[str, Any]]

# A section may hold "=": Airflow names the section of a team "team=section".
_BAD_SECTION = re.compile(r"[\s\[\]]|^$|^DEFAULT$")
_BAD_OPTION = re.compile(r"[\s\[\]=:]|^$|^[#;]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_INDENT = "    "
_SENTINEL = ("celery_broker_transport_options.master_name", "celery_broker_transport_options.sentinel_kwargs")
_AUTH_MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
# Options that Airstrip gives to the components by their environment, which wins over airflow.cfg; and their variables.
_GIVEN_ELSEWHERE = {
    "api.secret_key": "airflow_api_secret_key",
    "api_auth.jwt_secret": "airflow_jwt_secret",
    "celery.broker_url": "site_broker_host and the other variables airflow_broker_*",
    "celery.result_backend": "site_database_host and the variables airflow_results_database_*",
    "core.fernet_key": "airflow_fernet_key",
    "database.sql_alchemy_conn": "site_database_host and the other variables airflow_database_*",
    "database.sql_alchemy_conn_async": "site_database_host and the other variables airflow_database_*",
    # No credential, but the file by which API servers read the one that signs logins.
    "fab.config_file": "airflow_webserver_config",
}


def _plain(value: object) -> Any:
    """Copy containers into builtins: the json module would read past the laziness of Ansible's own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item) for item in value]
    return value


def _sections(value: object, what: str) -> Options:
    sections = {
        name: as_mapping(_plain(options), f"{what}.{name}") for name, options in as_mapping(value, what).items()
    }
    for section, options in sections.items():
        if _BAD_SECTION.search(section):
            raise AnsibleFilterError(f"{what}: {section!r} cannot be a section name of airflow.cfg; rename it")
        for option in options:
            if _BAD_OPTION.search(option):
                raise AnsibleFilterError(f"{what}.{section}: {option!r} cannot be an option name; rename it")
    return sections


def _enabled_options(name: str, block: object) -> Options:
    what = f"airflow_config_merge: block '{name}'"
    given = as_mapping(block, what)
    if not isinstance(given.get("enabled"), bool):
        raise AnsibleFilterError(f"{what} needs 'enabled' with the value true or false (write `x | bool`)")
    return _sections(given.get("options"), f"{what} options") if given["enabled"] else {}


def _merge_blocks(blocks: Mapping[str, Any]) -> Options:
    merged: Options = {}
    owners: dict[tuple[str, str], str] = {}
    for name, block in blocks.items():
        for section, options in _enabled_options(name, block).items():
            for option, value in options.items():
                owner = owners.setdefault((section, option), name)
                if merged.setdefault(section, {}).setdefault(option, value) != value:
                    raise AnsibleFilterError(
                        f"airflow_config_merge: blocks '{owner}' and '{name}' disagree on {section}.{option}; "
                        "disable one of them"
                    )
    return merged


def airflow_config_merge(blocks: object, overrides: object) -> Options:
    """
    Merge the enabled blocks, then the user's overrides, into sections and options in sorted order.

    Example: `{'b': {'enabled': true, 'options': {'core': {'x': 1}}}} | airflow_config_merge({'core': {'x': 2}})`
    gives `{'core': {'x': 2}}`. An override of null removes the option, an empty section is left out. Raises
    AnsibleFilterError if two enabled blocks give one option different values, on names that airflow.cfg cannot
    hold, and on wrong types.
    """
    users = _sections({} if overrides is None else overrides, "airflow_config_overrides")
    merged = _merge_blocks(as_mapping(blocks, "airflow_config_merge: blocks"))
    for section, options in users.items():
        together = merged.get(section, {}) | options
        removed = {option for option, value in options.items() if value is None}
        merged[section] = {option: value for option, value in together.items() if option not in removed}
    return {section: dict(sorted(options.items())) for section, options in sorted(merged.items()) if options}


def _json(value: object) -> str:
    try:
        return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(
            f"airflow_config_value: the list or dictionary cannot be written as JSON: {error}; quote that value"
        ) from error


def _lines(text: str) -> str:
    """Write a text so that configparser reads it back: continuation lines indented, nothing taken for a comment."""
    if _CONTROL.search(text):
        raise AnsibleFilterError("airflow_config_value: airflow.cfg cannot hold control characters or carriage returns")
    if "\n" not in text.rstrip("\n") and text.rstrip("\n") != text.strip():
        raise AnsibleFilterError("airflow_config_value: Airflow drops the spaces around a value; remove them")
    lines = "\n".join(line.strip() for line in text.split("\n")).rstrip("\n").split("\n")
    if any(line.startswith(("#", ";")) for line in lines[1:]):
        raise AnsibleFilterError("airflow_config_value: a further line that starts with # or ; would be a comment")
    return "\n".join([lines[0], *(_INDENT + line if line else "" for line in lines[1:])])


def airflow_config_value(value: object) -> str:
    r"""
    Render a value for airflow.cfg, so that Airflow reads back what was given.

    Examples: `true` gives `True`, null the empty string, `['a', 1]` gives `["a",1]`, `50%` gives `50%%`.
    A text of several lines becomes indented continuation lines; white space at their ends and newlines at the
    end of the text are dropped, as configparser would. Raises AnsibleFilterError on values which cannot be read
    back: control characters, spaces around a single line, a further line starting with # or ;, other types.
    """
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        text = str(value)
    elif isinstance(value, str):
        text = _lines(value)
    elif isinstance(value, (Mapping, list, tuple)):
        text = _json(value)
    else:
        raise AnsibleFilterError(f"airflow_config_value: cannot write a {type(value).__name__}; quote it as a string")
    return text.replace("%", "%%")


def _suggestion(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _option_suggestion(name: str, section: str, table: Mapping[str, Sequence[str]]) -> str:
    if near := _suggestion(name, table[section]):
        return near
    elsewhere = [other for other in sorted(table) if name in table[other]]
    return f"; it belongs to section '{elsewhere[0]}'" if elsewhere else ""


def _known_names(section: Mapping[str, Any]) -> list[str]:
    """List the options; one that Airflow marks as sensitive may also be read by its _cmd and _secret forms."""
    commands = [f"{option}{suffix}" for option in section.get("sensitive") or [] for suffix in ("_cmd", "_secret")]
    return [*(str(option) for option in section["options"]), *commands]


def _unknown_in(section: str, names: Sequence[str], known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is unknown, and the suggestion, for the options given in one section."""
    base = section.rpartition("=")[2]
    table, renamed = known["table"], known["renamed"]
    rest = []
    for name in names:
        if new := renamed.get(f"{base}.{name}"):
            yield f"option '{section}.{name}'", f"; it is called '{new}' now"
        else:
            rest.append(name)
    if base not in table:
        if rest or not names:
            yield f"section '{section}'", _suggestion(base, list(table))
        return
    for name in [] if base in known["open"] else rest:
        if name not in table[base]:
            yield f"option '{section}.{name}'", _option_suggestion(name, base, table)


def airflow_config_unknown(overrides: object, options: object) -> list[str]:
    """
    List the sections and options of the overrides which this Airflow version does not know, with the right name.

    `options` is the parsed options.json of the version. Options of an open section and team sections
    ("team=section") of known ones pass. Raises AnsibleFilterError on wrong types only.
    """
    users = _sections({} if overrides is None else overrides, "airflow_config_overrides")
    given = as_mapping(options, "airflow_config_unknown: options")
    sections = as_mapping(given.get("sections"), "airflow_config_unknown: options.sections")
    known = {
        "table": {name: _known_names(section) for name, section in sections.items()},
        "open": {name for name, section in sections.items() if section.get("open")},
        "renamed": as_mapping(given.get("renamed", {}), "airflow_config_unknown: options.renamed"),
    }
    return [
        f"airflow_config_overrides: {what} is unknown to Airflow {given.get('version')}{suggestion}"
        for section, entries in users.items()
        for what, suggestion in _unknown_in(section, list(entries), known)
    ]


def _secret_in(name: str, value: object, where: str, sensitive: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong with a secret among the options, given as "section.option"; nothing if it is none."""
    section, _, option = name.lower().partition(".")
    bare = f"{section}.{re.sub('_(cmd|secret)$', '', option)}"
    known = _GIVEN_ELSEWHERE.get(f"{section}.{option}") or _GIVEN_ELSEWHERE.get(bare)
    if value is None:
        return ""
    if known:
        return f"{where}: {name} is a credential, or leads to one, which components get another way. Set {known}."
    if option in sensitive.get(section, ()):
        return (
            f"{where}: {name} is a secret to Airflow, and would be written where all components and their tasks read "
            f"it. Set {name}_cmd in airflow_config_overrides to a command that prints it, such as `cat FILE`, and put "
            "that file on the hosts for root and Airflow's group (0640)."
        )
    return ""


def airflow_config_secrets(overrides: object, environment: object, options: object) -> list[str]:
    """
    List the secrets in the overrides and in the environment, and what to do in their place; no value is quoted.

    Example: `{'core': {'fernet_key': 'x'}} | airflow_config_secrets({}, {})`. `options` is the parsed options.json of
    the version, which says what Airflow calls sensitive; without it, only the credentials of the site are found.
    Raises AnsibleFilterError on wrong types only.
    """
    users = _sections({} if overrides is None else overrides, "airflow_config_overrides")
    given = as_mapping(options, "airflow_config_secrets: options")
    sections = as_mapping(given.get("sections", {}), "airflow_config_secrets: options.sections")
    renamed = as_mapping(given.get("renamed", {}), "airflow_config_secrets: options.renamed")
    sensitive = {name: section.get("sensitive") or [] for name, section in sections.items()}
    problems = (_secret_in(name, value, where, sensitive) for where, name, value in _given(users, environment, renamed))
    return [problem for problem in problems if problem]


def _given(users: Options, environment: object, renamed: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the options that users give: by which variable, "section.option", and the value."""
    for section, entries in users.items():
        for option, value in entries.items():
            yield "airflow_config_overrides", f"{section}.{option}", value
    for variable, value in as_mapping(environment, "airflow_environment").items():
        if variable.startswith("AIRFLOW__"):
            name = ".".join(variable.lower().split("__", 2)[1:])
            yield "airflow_environment", renamed.get(name, name), value


def airflow_config_unsupported(overrides: object, environment: object, base_url: str) -> list[str]:
    """
    List the options with which a site would not work, and what to do: another auth manager, Sentinel, a path in a URL.

    Example: `airflow_config_overrides | airflow_config_unsupported(airflow_environment, airflow_base_url)`. Raises
    AnsibleFilterError on wrong types only.
    """
    users = _sections({} if overrides is None else overrides, "airflow_config_overrides")
    found = list(_given(users, environment, {}))
    problems = [
        f"{where}: {name} is {value}, and a site's users, roles and logins are those of FAB. Take it out; LDAP, OAuth "
        "and OpenID Connect are FAB's as well, by site_ldap and site_oauth_providers (docs/identity.md)."
        for where, name, value in found
        if name.lower() == "core.auth_manager" and value != _AUTH_MANAGER
    ]
    problems += [
        f"{where}: {name} is for Redis Sentinel, which is not supported. Take it out, and name in site_broker_host the "
        "server that is written to, or a proxy before it."
        for where, name, _ in found
        if name.lower() in _SENTINEL
    ]
    urls = [("airflow_base_url", str(base_url or ""))]
    urls += [(f"{where}: {name}", str(value)) for where, name, value in found if name.lower() == "api.base_url"]
    for where, url in urls:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            problems.append(f"{where} is {url!r}, which is no URL. Write it as https://airflow.example.com.")
        elif parts.path.strip("/") or parts.query or parts.fragment:
            problems.append(
                f"{where} is {url}, which has more than a host and a port: tasks, load balancers and health checks ask "
                "for the API at the root. Give Airflow a host name of its own, and take the path out."
            )
    return problems


def _readers(value: object) -> dict[str, dict[str, list[str]]]:
    """Check the table of readers: each section names options, each option a list of components."""
    what = "__airflow_config_readers"
    table = {name: as_mapping(_plain(options), f"{what}.{name}") for name, options in as_mapping(value, what).items()}
    for section, options in table.items():
        for option, components in options.items():
            listed = isinstance(components, list) and all(isinstance(component, str) for component in components)
            if not listed or not components:
                raise AnsibleFilterError(
                    f"{what}.{section}.{option} must be a list of components, found {components!r}; "
                    "write [scheduler] for the scheduler alone, and leave out an option that all read"
                )
    return table


def airflow_config_read_by(config: object, component: str, readers: object) -> Options:
    """
    Reduce a configuration to the options that a component reads.

    Example: `{'core': {'x': 1}, 'triggerer': {'capacity': 9}} | airflow_config_read_by('worker', {'triggerer':
    {'capacity': ['triggerer']}})` gives `{'core': {'x': 1}}`. The key "*" of a section stands for the options that it
    does not name; an option without an entry is read by all. A section of which nothing is left is left out. Raises
    AnsibleFilterError on a table that is not sections, options and lists of components, and on wrong types.
    """
    table = _readers(readers)
    read: Options = {}
    for section, options in _sections(config, "airflow_config_read_by: the configuration").items():
        named = table.get(section, {})
        others = named.get("*", [component])
        kept = {option: value for option, value in options.items() if component in named.get(option, others)}
        read |= {section: kept} if kept else {}
    return read


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_config_merge": airflow_config_merge,
            "airflow_config_value": airflow_config_value,
            "airflow_config_unknown": airflow_config_unknown,
            "airflow_config_unsupported": airflow_config_unsupported,
            "airflow_config_read_by": airflow_config_read_by,
            "airflow_config_secrets": airflow_config_secrets,
        }
