"""What is wrong with site_app_workers, as far as the site's model can tell; each message names finding and remedy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.airstrip.core.plugins.module_utils.site_app_views import is_client, is_placed
from ansible_collections.airstrip.core.plugins.module_utils.site_apps import (
    APPS,
    COMPONENT,
    MOST,
    Entry,
    as_worker,
    port_of,
    ports_of,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_scale import is_whole, scale_of, worker_problems

_LAST_PORT = 65535
# Its user is called app-NAME, and a user's name has 32 characters at most (useradd(8)).
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,22}[a-z0-9])?")
RUNTIMES = ("python", "nodejs", "none")
_KEYS = (
    *("name", "command", "runtime", "source", "lock", "hosts", "instances", "scale", "port", "clients", "health"),
    *("metrics", "environment", "credentials", "resources", "read_write_paths", "unit_options", "stop_timeout", "keep"),
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_OPTION = re.compile(r"[A-Z][A-Za-z0-9]*")
# Those of the unit's own, and what would be read by others.
_OWN_OPTIONS = re.compile(
    r"Exec.*|User|Group|Type|Environment.*|PassEnvironment|.*Credential.*|Root.*|WorkingDirectory"
)
_RESOURCES = re.compile(r"(?:Memory|CPU|IO|Tasks|Limit|IP)[A-Z][A-Za-z0-9]*|Nice|OOMScoreAdjust|Slice")
# Secrets of the site itself, which no program of a user's has.
_SITE_SECRETS = re.compile(
    r"(?:airflow|certificate_key|redis|monitoring|exporters|grafana|site_viewer)_.*|worker_scale_.*"
)


def _texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, str) and item for item in value)


def _shape(row: Entry) -> Iterator[str]:
    for key in sorted(set(map(str, row)) - set(_KEYS)):
        near = get_close_matches(key, _KEYS, n=1, cutoff=0.7)
        yield f"has the unknown key {key}. " + (
            f"Did you mean {near[0]}?" if near else f"Known are {', '.join(_KEYS)}."
        )
    if not _texts(row.get("command")):
        yield "has no command that is a list of texts. Set it to the program and its arguments."
    if row.get("runtime") not in RUNTIMES:
        yield f"has the runtime {row.get('runtime')!r}. Set it to {', '.join(RUNTIMES[:-1])} or {RUNTIMES[-1]}."
    if row.get("hosts") is not None and not _texts(row["hosts"]):
        yield "has hosts that are no list of names. List hosts or groups of the inventory, or leave it out for all."
    for key, most in {"stop_timeout": 86400, "keep": 100}.items():
        if key in row and not is_whole(row[key], 0, most):
            yield f"has {key} {row[key]!r}. Set it to a whole number from 0 to {most}."


def _source(row: Entry) -> Iterator[str]:
    given = row.get("source")
    if isinstance(given, Mapping):
        if not given.get("git") or not given.get("ref") or set(given) - {"git", "ref", "path"}:
            yield "has a source that is no repository. Give it `git` (a URL), `ref`, and `path` if need be."
        elif urlsplit(str(given["git"])).password:
            yield "has a password in the URL of its source. Take it out: the controller's own Git has the credentials."
    elif not isinstance(given, str) or not given:
        yield "has no source. Set it to a directory or an archive on the controller, or to a mapping with git and ref."


def _number(row: Entry) -> Iterator[str]:
    if "instances" in row and not is_whole(row["instances"], 1, MOST):
        yield f"has instances {row['instances']!r}. Set it to a whole number from 1 to {MOST}."
    given = row.get("scale")
    if given is None:
        return
    if "instances" in row:
        yield "has both instances and scale. Keep one of them."
    if not isinstance(given, Mapping) or not isinstance(given.get("series"), str) or not given["series"].strip():
        yield "has a scale without a series. Set it to what of Prometheus counts its work, and min, max and target."
    for problem in worker_problems(as_worker(row)):
        yield problem if problem.endswith(".") else f"{problem}."


def _base_port(value: object, what: str) -> Iterator[str]:
    if value is not None and not is_whole(value, 1, _LAST_PORT):
        yield f"has the {what} {value!r}. Set it to a number from 1 to {_LAST_PORT}."


def _offers(row: Entry) -> Iterator[str]:
    yield from _base_port(row.get("port"), "port")
    health = row.get("health")
    ways = {"http", "tcp", "command"} & set(health) if isinstance(health, Mapping) else set()
    if health is not None and (len(ways) != 1 or set(health) - {"http", "tcp", "command", "seconds"}):
        yield "has a health that is none. Give it one of http (a path), tcp (true) or command (a list), and seconds."
    elif row.get("port") is not None and not ways:
        yield "has a port and no health, so nobody would see that a new version does not answer. Set health."
    elif ways & {"http", "tcp"} and row.get("port") is None:
        yield f"has health.{next(iter(ways))} and no port. Set port, or give health a command."
    elif "http" in ways and not str(health["http"]).startswith("/"):  # type: ignore[index]
        yield f"has health.http {health['http']!r}. Set it to a path that begins with /."  # type: ignore[index]
    elif "command" in ways and not _texts(health["command"]):  # type: ignore[index]
        yield "has a health.command that is no list of texts. Set it to the program and its arguments."
    seconds = health.get("seconds", 1) if isinstance(health, Mapping) else 1
    if not is_whole(seconds, 1, 3600):
        yield f"has health.seconds {seconds!r}. Set it to a whole number from 1 to 3600."
    yield from _metrics(row)


def _metrics(row: Entry) -> Iterator[str]:
    given = row.get("metrics")
    if given is None:
        return
    if not isinstance(given, Mapping) or set(given) - {"port", "path"}:
        yield "has metrics that are no mapping. Give it path, and port if they are not at the app's own."
        return
    yield from _base_port(given.get("port"), "metrics.port")
    if given.get("port") is None and row.get("port") is None:
        yield "has metrics and no port. Set metrics.port."
    if not str(given.get("path", "/")).startswith("/"):
        yield f"has metrics.path {given['path']!r}. Set it to a path that begins with /."


def _mapping(row: Entry, key: str, name: re.Pattern[str], what: str) -> Iterator[str]:
    given = row.get(key)
    if given is None:
        return
    if not isinstance(given, Mapping):
        yield f"has {key} that are no mapping. Write each as NAME: VALUE."
        return
    for item in given:
        if not name.fullmatch(str(item)):
            yield f"has {item!r} in {key}, which is no {what}. Correct it."


def _given(row: Entry) -> Iterator[str]:
    yield from _mapping(row, "environment", _VARIABLE, "name of a variable")
    yield from _mapping(row, "credentials", _FILE, "name of a file")
    yield from _mapping(row, "resources", _RESOURCES, "limit of systemd (MemoryMax, CPUQuota, TasksMax, ...)")
    yield from _mapping(row, "unit_options", _OPTION, "option of systemd")
    options = row.get("unit_options")
    for name in sorted(map(str, options)) if isinstance(options, Mapping) else ():
        if _OWN_OPTIONS.fullmatch(name):
            yield f"has {name} in unit_options, which the role sets itself. Take it out."
    credentials = row.get("credentials")
    for name in credentials.values() if isinstance(credentials, Mapping) else ():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            yield "has credentials with something else than the name of a secret. Write each as FILE: NAME_OF_SECRET."
        elif _SITE_SECRETS.fullmatch(name):
            yield f"has the secret {name} in credentials, which is the site's own. Give the app one of another name."
    paths = row.get("read_write_paths")
    if paths is not None and not (_texts(paths) and all(path.startswith("/") for path in paths)):
        yield "has read_write_paths that are no list of absolute paths. Correct it."


_CHECKS: tuple[Callable[[Entry], Iterator[str]], ...] = (_shape, _source, _number, _offers, _given)


def _names(given: list[Any]) -> Iterator[str]:
    names = [row.get("name") for row in given if isinstance(row, Mapping)]
    if len(names) < len(given):
        yield f"{APPS} has an entry that is no mapping. Give each app name, command, runtime and source."
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield (
                f"{APPS} has the name {name!r}. Its user and its units are called after it: give it at most 24 "
                "lower-case letters, digits and hyphens, the first a letter."
            )
    for name, number in Counter(map(str, names)).items():
        if number > 1:
            yield f"{APPS} has {number} apps of the name {name}. Give each a name of its own."


def _of_site(site: Site, name: str, row: Entry) -> Iterator[str]:
    """Yield what is wrong with an app on this site."""
    group, placed = site.registry[COMPONENT].group, site.placed.get(COMPONENT, [])
    for named in row["hosts"] if _texts(row.get("hosts")) else ():
        outside = [host for host in site.groups.get(named, [named]) if host not in placed]
        if outside:
            yield f"is to run on {' and '.join(outside)}, which the group {group} lacks. Put it there, or name another."
    if not site.apps[name]:
        yield f"has no host. Put one into the group {group}, or correct its hosts."
    clients = row.get("clients") or []
    if not isinstance(clients, (list, tuple)) or not all(is_client(site, client) for client in clients):
        yield "has clients that are no hosts or groups of the inventory, addresses or networks. Correct them."
    elif clients and row.get("port") is None:
        yield "has clients and no port at which they come. Set port, or take clients out."
    if scale := scale_of(as_worker(row)):
        yield from _of_scale(site, scale, name)
    for each in site.apps[name].values():
        if any(port > _LAST_PORT for port in ports_of(row, each.most)):
            last = port_of(row, each.most)
            yield f"has {each.most} instances on {each.name}, the last at port {last}, which there is not. Lower port."


def _of_scale(site: Site, scale: Mapping[str, Any], name: str) -> Iterator[str]:
    hosts = site.apps[name]
    if not site.placed.get("prometheus"):
        yield "has a scale, which Prometheus works out, and no host is in the group monitoring. Put one there."
    if scale["max"] < len(hosts):
        yield f"has scale.max {scale['max']} and {len(hosts)} hosts, of which each runs one at least. Raise scale.max."
    if hosts and (able := sum(each.most for each in hosts.values())) < scale["max"]:
        yield (
            f"has scale.max {scale['max']}, and its {len(hosts)} hosts may run {able} together (scale.per_host). Lower "
            "scale.max, or raise scale.per_host."
        )


def app_problems(site: Site) -> Iterator[str]:
    """Yield what is wrong with the apps of a site."""
    given = site.variables.get(APPS) or []
    yield from _names(given)
    for name, row in site.app_entries.items():
        found = [*(problem for check in _CHECKS for problem in check(row)), *_of_site(site, name, row)]
        yield from (f"{APPS}: the app {name} {problem}" for problem in found)
    if is_placed(site) and not given:
        group = site.registry[COMPONENT].group
        yield f"The group {group} has a host, and {APPS} is empty. Name an app, or take the host out of the group."
