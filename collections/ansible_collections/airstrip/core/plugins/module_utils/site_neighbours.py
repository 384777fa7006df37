"""Whom a host that joins or leaves a site concerns: who lets it in, and who comes to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ansible_collections.airstrip.core.plugins.module_utils.site_hosts import RETIRED, Groups, members
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component

_AIRFLOW = "airflow"


def can_leave_alone(entry: Component) -> bool:
    """Return whether a component's host may leave without a run for the whole site: it is no server of the others."""
    return entry.tier == _AIRFLOW and not entry.certificate


def is_server(entry: Component) -> bool:
    """Return whether a component with a group is one to which the others come."""
    return bool(entry.group and entry.services) and not can_leave_alone(entry)


def neighbours(registry: Mapping[str, Component], groups: Groups, hosts: Collection[str]) -> list[str]:
    """Return the other hosts that `hosts` connect to and that connect to them, in the inventory's order.

    By groups alone, without the conditions of the registry, so some may turn out to have nothing to do. What a retired
    host had is not in the groups any more: it counts as one that had all that may leave alone.
    """
    placed = {name: set(members(entry, registry, groups)) for name, entry in registry.items()}
    retired = set(groups.get(RETIRED, ())) & set(hosts)
    left = [name for name, entry in registry.items() if retired and can_leave_alone(entry)]
    own = [entry for name, entry in registry.items() if placed[name] & set(hosts) or name in left]
    if retired:
        own += [entry for entry in registry.values() if entry.beside and placed[entry.name] and entry not in own]
    found = {
        host
        for mine in own
        for other in registry.values()
        if _connects(mine, other) or _connects(other, mine)
        for host in placed[other.name]
    }
    return [str(host) for host in groups["all"] if host in found and host not in hosts]


def _connects(client: Component, server: Component) -> bool:
    offered = {name for service in server.services for name in (service.name, service.kind)} - {""}
    return any({need.service, need.kind} & offered for need in client.needs)
