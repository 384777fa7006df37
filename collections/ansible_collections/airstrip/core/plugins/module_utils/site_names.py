"""What is wrong with the names that hosts give themselves, before these reach other hosts and certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# RFC 1123, 2.1. What ends in a number alone is an address.
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_MAX_NAME = 253
NAMES = ("fqdn", "hostname", "nodename")
# Those of Debian's /etc/hosts for the host itself.
_OWN_NAMES = frozenset({"localhost", "ip6-localhost", "ip6-loopback", "ip6-allnodes", "ip6-allrouters"})

Facts = Mapping[str, Mapping[str, Any]]


def _is_host_name(name: str) -> bool:
    labels = name.split(".")
    return len(name) <= _MAX_NAME and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()


def _first(name: object) -> str:
    return str(name).lower().partition(".")[0]


def _said(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that a host gives itself, each with the first fact that has it."""
    names: dict[str, str] = {}
    for fact in NAMES:
        if fact in facts:
            names.setdefault(str(facts[fact]).lower(), fact)
    return names


def _spelling(host: str, names: Mapping[str, str]) -> Iterator[str]:
    for name, fact in names.items():
        if not _is_host_name(name):
            yield (
                f"{host}: the host calls itself {name!r} (its fact {fact}), which is no host name. Set it to letters, "
                "digits and hyphens, by hostnamectl set-hostname and in its /etc/hosts."
            )


def _foreign(host: str, names: Mapping[str, str], hosts: Facts, public: tuple[str, Sequence[str]]) -> Iterator[str]:
    others = {other.lower(): other for other in hosts if other != host}
    for name, fact in names.items():
        owner = f"the host {others[name]} of the inventory" if name in others else ""
        if _first(name) in _OWN_NAMES:
            owner = "what every host calls itself"
        elif name == public[0].lower() and host not in public[1]:
            owner = "site_public_name"
        if owner:
            yield (
                f"{host}: the host calls itself {name!r} (its fact {fact}), and that is {owner}. Give it a name of its "
                "own, by hostnamectl set-hostname and in its /etc/hosts."
            )


def _shared(said: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for host, names in said.items():
        for name in names:
            users.setdefault(name, []).append(host)
    inventory = {host.lower() for host in said}
    for name, hosts in users.items():
        # Those of the inventory and of every host are named above.
        if len(hosts) > 1 and name not in inventory and _first(name) not in _OWN_NAMES:
            yield (
                f"{' and '.join(hosts)} call themselves {name!r}: Airflow would take one's tasks and logs for the "
                "other's. Give each a name of its own, by hostnamectl set-hostname and in its /etc/hosts."
            )


def _renamed(host: str, names: Mapping[str, str], known: Mapping[str, Any], file: str) -> Iterator[str]:
    before = [str(known[fact]) for fact in NAMES if known.get(fact)]
    kept = {_first(name) for name in (*before, host)}
    for name, fact in names.items():
        if before and _first(name) not in kept:
            yield (
                f"{host}: the host calls itself {name!r} (its fact {fact}), and in the last run it was {before[0]}. "
                f"Find out who renamed it; if that was meant, take its entry out of {file}."
            )


def name_problems(hosts: Facts, known: Facts, public: tuple[str, Sequence[str]], file: str) -> list[str]:
    """List what is wrong, from the facts of hosts and those that are known of the last good run, which stand in `file`.

    `public` is the site's name, and those hosts that may bear it. A site of one host has nobody to mislead: there, only
    the spelling counts.
    """
    said = {host: _said(facts) for host, facts in hosts.items()}
    problems = [problem for host, names in said.items() for problem in _spelling(host, names)]
    if problems or len(hosts) == 1:
        return problems
    for host, names in said.items():
        problems += _foreign(host, names, hosts, public)
        problems += _renamed(host, names, known.get(host, {}), file)
    return problems + list(_shared(said))
