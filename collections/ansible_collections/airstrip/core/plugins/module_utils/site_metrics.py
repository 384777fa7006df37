"""Who has metrics, and who collects them: made from the registry and the model."""

from __future__ import annotations

from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_app_views import app_metrics, app_targets
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component, Service

# What collects metrics, by the service of each host that passes them on.
COLLECTED = "exporters"
_SUFFIX = "_metrics"
# What takes the journals of other hosts.
_JOURNAL = "journal"
_HEALTH = "/api/v2/monitor/health"


def _offered(site: Site, host: str) -> list[tuple[Component, Service]]:
    return [(entry, service) for entry, service in site.offers(host) if service.kind == "metrics"]


def metrics(site: Site, host: str) -> list[dict[str, Any]]:
    """Return what a host's components say at 127.0.0.1 by HTTP: `name` of the job, `port` and `path`, in order."""
    rows = [
        (service.name.removesuffix(_SUFFIX), site.port(service), service.path) for _, service in _offered(site, host)
    ]
    return [{"name": name, "port": port, "path": path} for name, port, path in sorted(rows)] + app_metrics(site, host)


def exporters(site: Site, host: str) -> list[str]:
    """Return the components of a host that have the role of those who pass metrics on."""
    roles = {entry.role for entry, _ in site.providers(COLLECTED)}
    return [name for name in site.placed_on(host) if site.components[name].role in roles]


def targets(site: Site, host: str) -> list[dict[str, Any]]:
    """Return what a host collects: `job`, and the `instance`, `address` and `port` of the host that has it, in order.

    What stands beside each collector, and asks others, is asked by its own collector alone.
    """
    ways = [way for way in site.connections if way.source == host and way.service == COLLECTED]
    collectors = {site.components[way.component].group for way in ways}
    rows = {
        (service.name.removesuffix(_SUFFIX), way.destination, way.destination_address, way.port)
        for way in ways
        for entry, service in _offered(site, way.destination)
        if entry.group not in collectors or way.destination == host
    }
    keys = ("job", "instance", "address", "port")
    own = sorted({(way.destination, way.destination_address, way.port) for way in ways})
    apps = [target for place in own for target in app_targets(site, *place)]
    return [dict(zip(keys, row, strict=True)) for row in sorted(rows)] + apps


def probed(public: str) -> list[dict[str, str]]:
    """Return what is asked as people ask it: `url` and `module`, which says what counts as an answer."""
    return [{"module": "http_health", "url": f"{public}{_HEALTH}"}]


def viewed(site: Site, public: str) -> str:
    """Return where people reach Prometheus: through the load balancers, if somebody may; else nothing."""
    return f"{public}/prometheus/" if site.variables["site_viewers"] and site.placed.get("load_balancer") else ""


def monitored(site: Site) -> bool:
    """Tell whether somebody collects metrics."""
    return any(way.service == COLLECTED for way in site.connections)


def senders(site: Site, host: str) -> list[str]:
    """Return the hosts whose journals a host takes, in order: all but itself."""
    ways = (way for way in site.connections if way.destination == host and way.service == _JOURNAL)
    return sorted({way.source for way in ways} - {host})
