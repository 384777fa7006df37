"""Filters: what is wrong with what hosts say of themselves, or do not say. Their findings end a run in preflight."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

# RFC 1123, 2.1. What ends in a number alone is an address.
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_MAX_NAME = 253
_NAMES = ("fqdn", "hostname", "nodename")
# Those of Debian's /etc/hosts for the host itself.
_OWN_NAMES = frozenset({"localhost", "ip6-localhost", "ip6-loopback", "ip6-allnodes", "ip6-allrouters"})
_NEEDED = ("hostname", "fqdn", "nodename", "memtotal_mb", "processor_vcpus", "default_ipv4")

Hosts = Mapping[str, Mapping[str, Any]]


def _is_host_name(name: str) -> bool:
    labels = name.split(".")
    return len(name) <= _MAX_NAME and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()


def _first(name: object) -> str:
    return str(name).lower().partition(".")[0]


def _said(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that a host gives itself, each with the first fact that has it."""
    names: dict[str, str] = {}
    for fact in _NAMES:
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


def _foreign(host: str, names: Mapping[str, str], hosts: Hosts, public: Mapping[str, Any]) -> Iterator[str]:
    others = {other.lower(): other for other in hosts if other != host}
    for name, fact in names.items():
        owner = f"the host {others[name]} of the inventory" if name in others else ""
        if _first(name) in _OWN_NAMES:
            owner = "what every host calls itself"
        elif name == str(public.get("name") or "").lower() and host not in (public.get("hosts") or []):
            owner = "airflow_public_name"
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


def _renamed(host: str, names: Mapping[str, str], known: Mapping[str, Any], file: object) -> Iterator[str]:
    before = [str(known[fact]) for fact in _NAMES if known.get(fact)]
    kept = {_first(name) for name in (*before, host)}
    for name, fact in names.items():
        if before and _first(name) not in kept:
            yield (
                f"{host}: the host calls itself {name!r} (its fact {fact}), and in the last run it was {before[0]}. "
                f"Find out who renamed it; if that was meant, take its entry out of {file}."
            )


def airflow_host_name_problems(facts: object) -> list[str]:
    """
    List what is wrong with the names that hosts give themselves, before these reach other hosts and certificates.

    Example: `{'hosts': {'w1': {'facts': {'hostname': 'pypi.org'}, 'known': {'hostname': 'w1'}}}, 'public': {}, 'file':
    'facts.json'} | airflow_host_name_problems`. `public` has the site's `name` and those of its `hosts` that may bear
    it; `known` is what a host said in the last good run, which stands in `file`. A site of one host has nobody to
    mislead: there, only the spelling counts. Raises AnsibleFilterError on other shapes.
    """
    given = as_mapping(facts, "airflow_host_name_problems: the facts")
    if missing := {"hosts", "public", "file"} - set(given):
        raise AnsibleFilterError(f"airflow_host_name_problems: '{min(missing)}' is missing")
    hosts = {host: as_mapping(entry, f"hosts.{host}") for host, entry in as_mapping(given["hosts"], "hosts").items()}
    said = {host: _said(as_mapping(entry.get("facts") or {}, f"hosts.{host}.facts")) for host, entry in hosts.items()}
    problems = [problem for host, names in said.items() for problem in _spelling(host, names)]
    if problems or len(hosts) == 1:
        return problems
    for host, names in said.items():
        problems += _foreign(host, names, hosts, as_mapping(given["public"], "public"))
        problems += _renamed(host, names, as_mapping(hosts[host].get("known") or {}, "known"), given["file"])
    return problems + list(_shared(said))


def _sentence(said: object) -> str:
    return " ".join(str(said).removeprefix("Task failed: ").split()).rstrip(".")


def _lacking(entry: Mapping[str, Any]) -> list[str]:
    known = as_mapping(entry.get("known") or {}, "airflow_known_facts")
    addresses = [(known.get(fact) or {}).get("address") for fact in ("default_ipv4", "default_ipv6")]
    lacking = [key for key in _NEEDED if key not in known]
    return ([] if entry.get("address") or any(addresses) else ["airflow_host_address"]) + (
        [f"airflow_known_facts ({', '.join(lacking)})"] if lacking else []
    )


def airflow_silent_host_problems(facts: object) -> list[str]:
    """
    Say for which hosts that do not answer a run cannot go on, and how it could.

    Example: `{'inside': {'w1': 'timed out'}, 'outside': {'w2': {'said': 'timed out', 'address': '', 'known': {}}},
    'limit': '', 'file': 'facts.json'} | airflow_silent_host_problems`. Those `inside` of the run have to be left out,
    beside the present `limit`; of those `outside` the others need what is `known` of them. Raises AnsibleFilterError
    on other shapes.
    """
    given = as_mapping(facts, "airflow_silent_host_problems: the facts")
    if missing := {"inside", "outside", "limit", "file"} - set(given):
        raise AnsibleFilterError(f"airflow_silent_host_problems: '{min(missing)}' is missing")
    inside = as_mapping(given["inside"], "airflow_silent_host_problems: inside")
    limit = ",".join([*([str(given["limit"])] if given["limit"] else []), *(f"!{host}" for host in inside)])
    problems = [
        f"{host} does not answer: {_sentence(said)}. Bring it back, or leave it out by --limit '{limit}'."
        for host, said in inside.items()
    ]
    for host, entry in as_mapping(given["outside"], "airflow_silent_host_problems: outside").items():
        if lacking := _lacking(as_mapping(entry, f"airflow_silent_host_problems: outside.{host}")):
            problems.append(
                f"{host} is outside of this run and does not answer, and {given['file']} does not say what the other "
                f"hosts' configuration needs of it. Bring it back, take it out of the inventory, or set for it "
                f"{' and '.join(lacking)}."
            )
    return problems


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_host_name_problems": airflow_host_name_problems,
            "airflow_silent_host_problems": airflow_silent_host_problems,
        }
