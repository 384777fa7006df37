"""App workers: what a host, its firewall and its monitoring have to know of them. See site_apps.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.addresses import ip
from ansible_collections.airstrip.core.plugins.module_utils.site_apps import (
    APPS,
    COMPONENT,
    Entry,
    as_worker,
    metrics_of,
    port_of,
    ports_of,
    unit,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_scale import scale_of_set
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import Host as Share

_METRICS = "/metrics"


def apps_of(site: Site, host: str) -> Iterator[tuple[str, Entry, Share]]:
    """Yield the apps of a host, with how many instances run there."""
    for name, hosts in site.apps.items():
        if host in hosts:
            yield name, site.app_entries[name], hosts[host]


def _numbers(row: Share) -> range:
    return range(1, row.most + 1)


def app_workers(site: Site, host: str) -> list[dict[str, Any]]:
    """Return the apps of a host as the role takes them: their entries, with all `instances` that may run there.

    Each of these has `number`, `unit`, `port` (0 for none), and `elastic`, whether it runs only while it is wanted.
    """
    return [
        {
            **row,
            "instances": [
                {"number": number, "unit": unit(name, number), "port": port_of(row, number)}
                | {"elastic": number > each.fixed}
                for number in _numbers(each)
            ],
        }
        for name, row, each in apps_of(site, host)
    ]


def app_ports(site: Site, host: str) -> list[dict[str, Any]]:
    """Return the ports that a host's apps take: `port`, and in `owner` which of them."""
    return [
        {"port": port, "owner": f"{APPS} ({name}, instance {number})"}
        for name, row, each in apps_of(site, host)
        for number in _numbers(each)
        for port in ports_of(row, number)
    ]


def clients_of(site: Site, row: Entry) -> list[str]:
    """Return the addresses and networks of those who come to an app from elsewhere."""
    found: set[str] = set()
    given = row.get("clients")
    for client in given if isinstance(given, (list, tuple)) else ():
        names = site.groups.get(str(client), [client])
        found |= {site.hosts[name].address if name in site.hosts else str(client) for name in names}
    return sorted(found)


def app_rules(site: Site, host: str) -> list[dict[str, Any]]:
    """Return what a host lets in for its apps: one entry for each port, as those of its other services."""
    own = site.hosts[host].address
    return [
        {"service": f"app_{name}", "protocol": "tcp", "port": port_of(row, number), "sources": sources}
        for name, row, each in apps_of(site, host)
        for sources in [[address for address in clients_of(site, row) if address != own]]
        if sources
        for number in _numbers(each)
    ]


def job_of(name: str) -> str:
    """Return the job of Prometheus with an app's metrics."""
    return f"app_{name.replace('-', '_')}"


def _metrics(site: Site, host: str) -> Iterator[tuple[str, int, int, str]]:
    for name, row, each in apps_of(site, host):
        for number in _numbers(each):
            if port := metrics_of(row, number):
                yield name, number, port, str(row["metrics"].get("path", _METRICS))


def app_metrics(site: Site, host: str) -> list[dict[str, Any]]:
    """Return what the instances of a host's apps say of themselves, as the exporters pass it on."""
    return [
        {"name": f"{job_of(name)}_{number}", "port": port, "path": path}
        for name, number, port, path in _metrics(site, host)
    ]


def app_targets(site: Site, host: str, address: str, port: int) -> list[dict[str, Any]]:
    """Return what is collected of a host's apps, by the one address and port that pass it on."""
    return [
        {"job": job_of(name), "instance": host, "address": address, "port": port}
        | {"labels": {"__module": f"{job_of(name)}_{number}", "app_instance": str(number)}}
        for name, number, _, _ in _metrics(site, host)
    ]


def _scaled(site: Site) -> Iterator[tuple[str, Entry, Mapping[str, Share]]]:
    for name, hosts in site.apps.items():
        if hosts and site.app_scales(name):
            yield name, site.app_entries[name], hosts


def _scale(row: Entry, hosts: Mapping[str, Share]) -> dict[str, Any]:
    scale = scale_of_set(dict.fromkeys(hosts, as_worker(row)))
    return scale | {"min": max(scale["min"], len(hosts))}


def app_scaled(site: Site) -> list[dict[str, Any]]:
    """Return the apps that scale, as the rules of Prometheus need them; see `rules_of` of site_scale."""
    return [
        {
            **_scale(row, hosts),
            "name": f"app-{name}",
            "series": str(row["scale"].get("series", "")),
            "queues": "",
            "hosts": "|".join(map(re.escape, hosts)),
            "units": rf"app-worker-{re.escape(name)}@[0-9]+\.service",
            "first": unit(name, 1),
        }
        for name, row, hosts in _scaled(site)
    ]


def app_scaled_here(site: Site, host: str) -> list[dict[str, Any]]:
    """Return the apps that scale as the program airstrip-worker-scale takes them on a host, see its Set."""
    return [
        {
            "name": f"app-{name}",
            "least": _scale(row, hosts)["min"],
            "most": _scale(row, hosts)["max"],
            "hosts": [asdict(each) for each in hosts.values()],
            "first": unit(name, 1),
            "units": [unit(name, number) for number in range(hosts[host].fixed + 1, hosts[host].most + 1)],
        }
        for name, row, hosts in _scaled(site)
        if host in hosts
    ]


def is_client(site: Site, client: object) -> bool:
    """Tell whether somebody can be named as a client: a host or group of the inventory, an address or a network."""
    name = str(client)
    host, _, bits = name.partition("/")
    return name in site.groups or name in site.hosts or (ip(host) is not None and (not bits or bits.isdecimal()))


def is_placed(site: Site) -> bool:
    """Tell whether there are hosts for apps."""
    return bool(site.placed.get(COMPONENT))
