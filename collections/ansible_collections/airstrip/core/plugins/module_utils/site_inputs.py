"""What the registry gives to roles: their inputs, and when they are applied if no playbook names them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_hosts import Groups, members
from ansible_collections.airstrip.core.plugins.module_utils.site_model import LOOPBACK, Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import STAGES, Component, Input
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import PREFIX, Variable

# The tiers that others stand on, in the order in which roles are applied; then all others, by name.
_FIRST = ("database", "broker", "load_balancer")
_VARIABLE = re.compile(rf"\{{{PREFIX}(\w+)\}}")


def added(registry: Mapping[str, Component], *stages: str) -> list[Component]:
    """Return the components of stages whose roles no playbook names, in the order in which they are applied."""
    found = [entry for entry in registry.values() if entry.stage in stages]
    return sorted(found, key=lambda entry: (STAGES.index(entry.stage), _rank(entry.tier), entry.tier, entry.name))


def _rank(tier: str) -> int:
    return _FIRST.index(tier) if tier in _FIRST else len(_FIRST)


def hosts_of(components: Sequence[Component], registry: Mapping[str, Component], groups: Groups) -> list[str]:
    """Return the hosts of components, in the inventory's order."""
    wanted = {host for entry in components for host in members(entry, registry, groups)}
    return [host for host in groups["all"] if host in wanted]


def users(registry: Mapping[str, Component], groups: Groups) -> list[Component]:
    """Return the components whose roles no playbook names and that have a host, and those that need their services."""
    own = [entry for entry in added(registry, *STAGES) if members(entry, registry, groups)]
    offered = {name for entry in own for service in entry.services for name in (service.name, service.kind)} - {""}
    return [
        entry
        for entry in registry.values()
        if entry in own or any({need.service, need.kind} & offered for need in entry.needs)
    ]


def probes(site: Site, host: str) -> list[dict[str, Any]]:
    """Return the TCP services to ask whether the components that no playbook names work, as seen from a host.

    Each has `component`, `service`, `addresses` (those of all hosts to which it connects, and 127.0.0.1 if it offers it
    itself), `port`, `tls`, `leader_path`, which answers 200 on the leader alone, empty if no one leads, and
    `complete`, whether the addresses are those of all hosts of the component.
    """
    found = []
    for entry, service in site.offered():
        if not entry.stage or service.protocol != "tcp":
            continue
        ways = (way for way in site.connections if way.source == host and way.service == service.name)
        addresses = {way.destination_address: None for way in ways}
        # What is for other hosts alone, need not answer there.
        if host in site.placed[entry.name] and service.kind != "peers":
            addresses = {LOOPBACK: None} | addresses
        if addresses:
            found.append(
                {
                    "component": entry.name,
                    "service": service.name,
                    "addresses": list(addresses),
                    "port": site.port(service),
                    "tls": bool(entry.certificate and site.variables["site_tls_enabled"]),
                    "leader_path": entry.leader_probe.path if entry.leader_probe.service == service.name else "",
                    "complete": len(addresses) == len(site.placed[entry.name]),
                }
            )
    return found


def roles(site: Site, host: str) -> dict[str, list[str]]:
    """Return the roles that are applied to a host without a playbook that names them, by stage."""
    here = site.placed_on(host)
    return {
        stage: list(dict.fromkeys(entry.role for entry in added(site.components, stage) if entry.name in here))
        for stage in STAGES
    }


def wiring(registry: Mapping[str, Component], declared: Mapping[str, Variable]) -> dict[str, str]:
    """Return expressions by the names of roles' variables, which mean the same as those of inventory/wiring.yml."""
    found: dict[str, str] = {}
    for variable in declared.values():
        place = "site_here" if variable.per_host else "site"
        found |= dict.fromkeys(variable.inputs, f"{place}.vars.{variable.name.removeprefix(PREFIX)}")
    for component in registry.values():
        found |= {entry.name: _expression(entry) for entry in component.inputs}
        if component.certificate:
            found[component.certificate] = f"lookup('site_certificate', '{component.name}')"
            found[f"{component.certificate}_key"] = f"lookup('site_certificate', '{component.name}', part='key')"
    return {name: f"{{{{ {expression} }}}}" for name, expression in found.items()}


def _joined(match: re.Match[str]) -> str:
    return f"' ~ site.vars.{match[1]} ~ '"


def _expression(entry: Input) -> str:
    if entry.authority:
        return "airflow_ca_certificate"
    if entry.viewers:
        return "dict(site.people | list | zip(query('airflow_secret', *site.people.values())))"
    if entry.view:
        return f"site_here.{entry.view}"
    if entry.secret:
        return f"lookup('airflow_secret', '{_VARIABLE.sub(_joined, entry.secret)}')"
    if entry.of != entry.service:
        return f"(site_here.{entry.kind}.{entry.service} | default({{}}))['{entry.of.partition('.')[2]}'] | default('')"
    return f"site_here.{entry.kind}.{entry.of} | default({'{}' if entry.kind == 'reach' else '[]'})"
