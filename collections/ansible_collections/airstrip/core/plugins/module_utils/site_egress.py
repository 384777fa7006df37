"""Where a host of a site connects to, as far as the site knows: what a firewall that keeps it in has to let out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.addresses import ip, server
from ansible_collections.airstrip.core.plugins.module_utils.site_model import LOOPBACK, Site


def egress(site: Site, host: str, outside: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return where a host connects to, one entry for each service and port, in order.

    Each has `service`, `protocol`, `port` and `destinations`: addresses. Those are of the site's hosts to which its
    components connect or everybody may, of the load balancers' own, and of servers `outside` that are named by one.
    """
    protocols = {service.name: service.protocol for _, service in site.offered()}
    found: dict[tuple[str, int], set[str]] = {}
    for service, port, address in {*_inside(site, host), *_moving(site, host), *_servers(site, outside)}:
        if address != LOOPBACK:
            found.setdefault((service, port), set()).add(address)
    return [
        {
            "service": service,
            "protocol": protocols.get(service, "tcp"),
            "port": port,
            "destinations": sorted(found[service, port]),
        }
        for service, port in sorted(found)
    ]


def named(site: Site, outside: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the servers outside of the site that are known by name only: `variable`, `host` and `port`, in order.

    Which addresses a name has is the name server's to say, at each moment anew.
    """
    rows = [{key: row[key] for key in ("variable", "host", "port")} for row in [*outside, *_proxies(site)]]
    return [row for row in rows if not ip(row["host"]) and row["host"] != "localhost"]


def _inside(site: Site, host: str) -> Iterator[tuple[str, int, str]]:
    for way in site.connections:
        if way.source == host:
            yield way.service, way.port, way.destination_address
    for opening in site.openings:
        if opening.destination != host:
            yield opening.service, opening.port, opening.destination_address


def _moving(site: Site, host: str) -> Iterator[tuple[str, int, str]]:
    """Yield the ways to addresses that move: to everybody's services, and to those that a host connects to."""
    asked = {way.service for way in site.connections if way.source == host} | {way.service for way in site.openings}
    for entry, service in site.offered():
        if entry.address and site.variables[entry.address] and service.name in asked:
            yield service.name, site.port(service), str(site.variables[entry.address])


def _servers(site: Site, outside: list[dict[str, Any]]) -> Iterator[tuple[str, int, str]]:
    for row in [*outside, *_proxies(site)]:
        if ip(row["host"]):
            yield row["service"], row["port"], row["host"]


def _proxies(site: Site) -> Iterator[dict[str, Any]]:
    for name in ("http_proxy", "https_proxy"):
        if found := server(site.variables[f"site_{name}"]):
            yield {"service": name, "variable": f"site_{name}", "host": found[0], "port": found[1]}
