"""What each host of a site has to know of it: made from the model, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_model import LOOPBACK, Connection, Opening, Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component, Service


def rules(
    host: str, connections: Sequence[Connection], openings: Sequence[Opening], protocols: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what a host lets in, one entry for each service and port, in order.

    Each has `service`, `protocol` (from `protocols`, by service), `port` and `sources`: addresses, none for everybody.
    What a host tells itself is no rule.
    """
    sources: dict[tuple[str, int], set[str]] = {}
    for way in connections:
        if way.destination == host and way.source_address != LOOPBACK:
            sources.setdefault((way.service, way.port), set()).add(way.source_address)
    for opening in openings:
        if opening.destination == host:
            sources[opening.service, opening.port] = set()
    return [
        {"service": service, "protocol": protocols[service], "port": port, "sources": sorted(sources[service, port])}
        for service, port in sorted(sources)
    ]


def clients(host: str, connections: Sequence[Connection]) -> dict[str, list[dict[str, str]]]:
    """Return who connects to each service of a host: `address`, `login` and `component`, in order, each once."""
    found: dict[str, set[tuple[str, str, str]]] = {}
    for way in connections:
        if way.destination == host:
            found.setdefault(way.service, set()).add((way.source_address, way.login, way.component))
    return {
        service: [{"address": address, "login": login, "component": component} for address, login, component in rows]
        for service, rows in ((service, sorted(found[service])) for service in sorted(found))
    }


def listen(site: Site, host: str, connections: Sequence[Connection]) -> dict[str, list[str]]:
    """Return the addresses to which each service of a host binds: 127.0.0.1, and its own if others connect."""
    remote = {way.service for way in connections if way.destination == host and way.source != host}
    return {
        service.name: [LOOPBACK, site.address(host)] if service.name in remote else [LOOPBACK]
        for component, service in _offered(site)
        if host in site.placed[component.name]
    }


def reach(site: Site, host: str) -> dict[str, dict[str, Any]]:
    """Return where a host finds each service of the site: `address` and `port`.

    The address is 127.0.0.1 where the host offers it itself, else that of its first host in the inventory's order.
    """
    found = {}
    for name in sorted({service.name for _, service in _offered(site) if service.port}):
        component, service = site.providers(name)[0]
        placed = site.placed[component.name]
        address = LOOPBACK if host in placed else site.address(placed[0])
        found[name] = {"address": address, "port": site.port(service)}
    return found


def _offered(site: Site) -> Iterator[tuple[Component, Service]]:
    for component in site.components.values():
        for service in component.services:
            if site.placed[component.name] and service.when.hold(site.variables):
                yield component, service


def fact(site: Site) -> dict[str, Any]:
    """Return the whole of a site.

    components   by name: `hosts` and `units`
    connections  every way, see Connection
    public       what everybody may reach, see Opening
    hosts        by name: `address`, `components`, and what the functions above return
    """
    connections, openings = site.connections(), site.openings()
    protocols = {service.name: service.protocol for _, service in _offered(site)}
    names = list(dict.fromkeys(host for hosts in site.placed.values() for host in hosts))
    return {
        "components": {
            name: {"hosts": site.placed[name], "units": list(entry.units)} for name, entry in site.components.items()
        },
        "connections": [asdict(way) for way in connections],
        "public": [asdict(opening) for opening in openings],
        "hosts": {
            host: {
                "address": site.address(host),
                "components": [name for name, hosts in site.placed.items() if host in hosts],
                "rules": rules(host, connections, openings, protocols),
                "clients": clients(host, connections),
                "listen": listen(site, host, connections),
                "reach": reach(site, host),
            }
            for host in names
        },
    }
