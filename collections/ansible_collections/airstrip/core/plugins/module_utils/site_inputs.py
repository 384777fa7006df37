"""Components that the registry alone knows: when their roles are applied, where, and with which inputs.

Those are the components with `inputs`. The others' roles are named in playbooks, and inventory/wiring.yml has their
inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_model import LOOPBACK, Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component

STAGES = ("before_airflow", "after_airflow")
# In this order; all other tiers come after Airflow.
_BEFORE = ("database", "broker", "load_balancer")


def added(registry: Mapping[str, Component], stage: str) -> list[Component]:
    """Return the components of one of STAGES, in the order in which their roles are applied."""
    found = [entry for entry in registry.values() if entry.inputs is not None]
    if stage == "before_airflow":
        return sorted(
            (entry for entry in found if entry.tier in _BEFORE),
            key=lambda entry: (_BEFORE.index(entry.tier), entry.name),
        )
    return sorted((entry for entry in found if entry.tier not in _BEFORE), key=lambda entry: (entry.tier, entry.name))


def members(components: Sequence[Component], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the hosts of components, in the inventory's order."""
    wanted = {host for entry in components for host in groups.get(entry.group, ())}
    return [host for host in groups["all"] if host in wanted]


def users(registry: Mapping[str, Component]) -> list[Component]:
    """Return the components that the registry alone knows, and those that need their services."""
    own = [entry for entry in registry.values() if entry.inputs is not None]
    offered = {name for entry in own for service in entry.services for name in (service.name, service.kind)} - {""}
    return [
        entry
        for entry in registry.values()
        if entry in own or any({need.service, need.kind} & offered for need in entry.needs)
    ]


def probes(site: Site, host: str) -> list[dict[str, Any]]:
    """Return the TCP services to ask whether the components that the registry alone knows work, as seen from a host.

    Each has `component`, `service`, `addresses` (those of all hosts to which it connects, and 127.0.0.1 if it offers it
    itself), `port`, `tls`, `leader_path`, which answers 200 on the leader alone, empty if no one leads, and
    `complete`, whether the addresses are those of all hosts of the component.
    """
    found = []
    for entry, service in site.offered():
        ways = (way for way in site.connections if way.source == host and way.service == service.name)
        addresses = {way.destination_address: None for way in ways}
        if host in site.placed[entry.name]:
            addresses = {LOOPBACK: None} | addresses
        if entry.inputs is not None and service.protocol == "tcp" and addresses:
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


def wiring(registry: Mapping[str, Component]) -> dict[str, str]:
    """Return expressions by the names of the roles' variables, as inventory/wiring.yml has them of other roles."""
    found = {}
    for component in registry.values():
        for entry in component.inputs or ():
            value = "lookup('site_certificate', 'ca')" if entry.authority else f"site_here.inputs.{entry.name}"
            found[entry.name] = f"{{{{ {value} }}}}"
        if component.inputs is not None and component.certificate:
            found[component.certificate] = f"{{{{ lookup('site_certificate', '{component.name}') }}}}"
            found[f"{component.certificate}_key"] = (
                f"{{{{ lookup('site_certificate', '{component.name}', part='key') }}}}"
            )
    return found


def mirrors(registry: Mapping[str, Component]) -> Iterator[tuple[str, str]]:
    """Yield variables of roles that get the value of a variable of the site, with that one."""
    ports = {service.name: service.port for component in registry.values() for service in component.services}
    for entry in (entry for component in registry.values() for entry in component.inputs or ()):
        if entry.kind in ("port", "variable"):
            yield entry.name, entry.variable or ports[entry.port]


def inputs(site: Site, host: str, views: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a host's inputs by the names of the roles' variables; `views` are what it knows else."""
    values, variables = {}, {**site.variables, **site.hosts[host].variables}
    named = dict(mirrors(site.registry))
    for entry in (entry for name in site.placed_on(host) for entry in site.components[name].inputs or ()):
        if entry.name in named:
            values[entry.name] = variables[named[entry.name]]
        elif not entry.authority:
            nothing: Any = {} if entry.kind == "reach" else []
            values[entry.name] = views[entry.kind].get(entry.of, nothing)
    return values
