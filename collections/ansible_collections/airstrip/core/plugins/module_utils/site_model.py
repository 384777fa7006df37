"""What stands where in a site, and who talks to whom: from the registry, the groups and the site's variables.

The connections follow from Airflow 3's design: tasks reach the metadata database only through the Execution API,
so a worker has no connection to it; the API server reads task logs from the log servers of workers and triggerers
over HTTP (Airflow: security/security_model.rst and logging-tasks.rst, `[logging] worker_log_server_port` 8793,
`trigger_log_server_port` 8794). With load balancers, people and tasks reach the API servers through them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component, Need, Service

LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535


class SiteError(ValueError):
    """A site that cannot be; the message names the variable and what was found."""


@dataclass(frozen=True, order=True)
class Connection:
    """A way that a component of one host takes to a service of another, or of the same one.

    The addresses are those that both ends see: 127.0.0.1 on the same host. `port` is 0 for a protocol without ports,
    `login` empty but for a database.
    """

    source: str
    source_address: str
    destination: str
    destination_address: str
    port: int
    service: str
    component: str
    login: str = ""


@dataclass(frozen=True, order=True)
class Opening:
    """A service of a host that everybody may reach."""

    destination: str
    destination_address: str
    port: int
    service: str


class Site:
    """A site.

    registry   components by name
    groups     hosts by group, in the inventory's order
    variables  the site's variables, by the names that stand in the registry, with `airflow_version`,
               `airflow_executor` and `airflow_tls_enabled`
    addresses  each host's address, at which the others reach it
    """

    def __init__(
        self,
        registry: Mapping[str, Component],
        groups: Mapping[str, Sequence[str]],
        variables: Mapping[str, Any],
        addresses: Mapping[str, str],
    ) -> None:
        self.variables, self.addresses = variables, addresses
        self.components = {name: entry for name, entry in registry.items() if entry.when.hold(variables)}
        self.placed = {name: _unique(groups.get(entry.group, ())) for name, entry in self.components.items()}

    def providers(self, service: str) -> list[tuple[Component, Service]]:
        """Return who offers a service on this site: of components that stand for each other, the preferred ones."""
        found = [
            (entry, offer)
            for entry in self.components.values()
            for offer in entry.services
            if offer.name == service and self.placed[entry.name] and offer.when.hold(self.variables)
        ]
        best = max((offer.prefer for _, offer in found), default=0)
        return [(entry, offer) for entry, offer in found if offer.prefer == best]

    def port(self, service: Service) -> int:
        """Return a service's port, 0 for a protocol without ports; raise SiteError if its variable has none."""
        if not service.port:
            return 0
        found = self.variables.get(service.port)
        number = int(found) if isinstance(found, (int, str)) and str(found).isdecimal() else 0
        if isinstance(found, bool) or not 1 <= number <= _LAST_PORT:
            raise SiteError(f"{service.port} must be a port between 1 and {_LAST_PORT}, found {found!r}")
        return number

    def connections(self) -> list[Connection]:
        """Return every way that components take, in order; none to a service without hosts, which is external."""
        ways = (
            way
            for entry in self.components.values()
            for need in entry.needs
            if need.when.hold(self.variables)
            for provider, service in self.providers(need.service)
            for way in self._ways(entry, need, provider, service)
        )
        return sorted(set(ways))

    def _ways(self, entry: Component, need: Need, provider: Component, service: Service) -> Iterator[Connection]:
        port = self.port(service)
        for source in self.placed[entry.name]:
            for target in self.placed[provider.name]:
                local = source == target
                # Nobody is a peer of its own.
                if local and entry is provider:
                    continue
                yield Connection(
                    source=source,
                    source_address=LOOPBACK if local else self.address(source),
                    destination=target,
                    destination_address=LOOPBACK if local else self.address(target),
                    port=port,
                    service=service.name,
                    component=entry.name,
                    login=need.login,
                )

    def address(self, host: str) -> str:
        """Return a host's address; raise SiteError if it has none."""
        if not self.addresses.get(host):
            placed = [name for name, hosts in self.placed.items() if host in hosts]
            raise SiteError(
                f"{host} ({', '.join(placed)}) has no address; set airflow_host_address to one that the other hosts "
                "can reach"
            )
        return str(self.addresses[host])

    def openings(self) -> list[Opening]:
        """Return what everybody may reach, in order."""
        return sorted(
            Opening(host, self.address(host), self.port(service), service.name)
            for entry in self.components.values()
            for service in entry.services
            if service.clients == "everybody" and not self.placed.get(service.hidden_behind)
            if service.when.hold(self.variables)
            for host in self.placed[entry.name]
        )


def _unique(hosts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(map(str, hosts)))
