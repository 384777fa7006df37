"""What stands where in a site, and who talks to whom: from the registry, the groups and the site's variables.

The connections follow from Airflow 3's design: tasks reach the metadata database only through the Execution API,
so a worker has no connection to it; the API server reads task logs from the log servers of workers and triggerers
over HTTP (Airflow: security/security_model.rst and logging-tasks.rst, `[logging] worker_log_server_port` 8793,
`trigger_log_server_port` 8794). With load balancers, people and tasks reach the API servers through them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils import site_apps
from ansible_collections.airstrip.core.plugins.module_utils.site_hosts import members
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component, Need, Service
from ansible_collections.airstrip.core.plugins.module_utils.site_scale import (
    instance_of,
    scale_of,
    scale_of_set,
    sets_of,
    shares,
)
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import Host as Share
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import share

LOOPBACK = "127.0.0.1"
# A host outside of the inventory, by its name or its address. What is none may be a URL with a password.
SERVER = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
# A server there needs no TLS.
_LOCAL = re.compile(r"127\.|::1$|localhost$|$")
# Of what does not scale, there is one.
_ALONE = Share("", 1, 1, 1)


@dataclass(frozen=True)
class Host:
    """A host of the inventory.

    address         at which the others reach it; its name, where none is known
    has_address     whether one is known
    listen_address  to which its services bind: the address, unless a router translates that
    networks        those of IPv4 in which it is, each with its interface, that of the default route first
    names           by which it calls itself, the full one first
    memory_mb       of the host, 0 where that is not known
    cores           processors, likewise
    variables       those of the site's variables that differ between hosts
    """

    name: str
    address: str
    listen_address: str
    names: tuple[str, ...] = ()
    memory_mb: int = 0
    cores: int = 0
    has_address: bool = True
    networks: tuple[tuple[str, str], ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)


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


@dataclass(frozen=True)
class Endpoint:
    """Where a host finds a service: `external` is one that is not the site's, its address empty if nobody named it.

    addresses      of all hosts that offer it, if it is a list of them, or one of them leads
    leader_port    port at which the leader says so, 0 if none leads
    leader_path    path that answers 200 there, if so
    """

    address: str
    port: int
    tls: bool
    external: bool = False
    addresses: tuple[str, ...] = ()
    leader_port: int = 0
    leader_path: str = ""


class Site:
    """A site.

    registry   components by name
    groups     hosts by group, in the inventory's order
    variables  the site's variables by name, as their types say
    hosts      all hosts by name, in the inventory's order
    """

    def __init__(
        self,
        registry: Mapping[str, Component],
        groups: Mapping[str, Sequence[str]],
        variables: Mapping[str, Any],
        hosts: Mapping[str, Host],
    ) -> None:
        self.registry, self.groups, self.variables, self.hosts = registry, groups, variables, hosts
        self.members = {name: members(entry, registry, groups) for name, entry in registry.items()}
        self.components = {name: entry for name, entry in registry.items() if entry.when.hold(variables)}
        self.placed = {
            name: [host for host in self.members[name] if self._is_listed(entry, host)]
            for name, entry in self.components.items()
        }

    def placed_on(self, host: str) -> list[str]:
        """Return the names of all that is placed on a host."""
        return [name for name, hosts in self.placed.items() if host in hosts]

    def of(self, host: str) -> list[str]:
        """Return the names of a host's components: those that offer something, need it, or run what users give."""
        return [name for name in self.placed_on(host) if self.components[name].works]

    def _is_listed(self, entry: Component, host: str) -> bool:
        variable, _, key = entry.listed.partition(".")
        if not variable or host not in self.hosts:
            return not variable
        if variable == site_apps.APPS:
            return any(host in hosts and key in self.app_entries[name] for name, hosts in self.apps.items())
        given = self.hosts[host].variables.get(variable) or []
        return any(isinstance(item, Mapping) and key in item for item in given)

    def instances(self, component: str, host: str) -> list[Mapping[str, Any]]:
        """Return the instances of a component on a host that always run there.

        One without properties, if it has no list of them. Of a set that scales, each has its own name, and that of all
        in `set`.
        """
        return self._numbered(component, host, lambda _, each: range(1, each.fixed + 1))

    def more_instances(self, component: str, host: str) -> list[Mapping[str, Any]]:
        """Return the instances that run there while they are wanted, as many as may."""
        return self._numbered(component, host, lambda _, each: range(each.fixed + 1, each.most + 1))

    def all_instances(self, component: str, host: str) -> list[Mapping[str, Any]]:
        """Return the instances that run there when the whole site has as many of them as it may."""
        return self._numbered(component, host, lambda name, each: range(1, self._fair[name][each.name] + 1))

    def _numbered(
        self, component: str, host: str, numbers: Callable[[str, Share], Sequence[int]]
    ) -> list[Mapping[str, Any]]:
        if host not in self.placed.get(component, ()):
            return []
        variable = self.components[component].instances
        if variable == site_apps.APPS:
            return list(self._numbered_apps(host, numbers))
        given = self.hosts[host].variables[variable] if variable else [{}]
        found: list[Mapping[str, Any]] = []
        for item in given:
            if not isinstance(item, Mapping):
                continue
            name = str(item.get("name"))
            own = next((each for each in self.shares.get(name, ()) if each.name == host), _ALONE)
            if own is not _ALONE and "scale" in item:
                found += [instance_of(item, number) for number in numbers(name, own)]
            elif 1 in numbers("", _ALONE):
                found.append(item)
        return found

    def _numbered_apps(self, host: str, numbers: Callable[[str, Share], Sequence[int]]) -> Iterator[Mapping[str, Any]]:
        for name, hosts in self.apps.items():
            for number in numbers(f"app-{name}", hosts[host]) if host in hosts else ():
                yield {"name": f"{name}@{number}", "set": name}

    @cached_property
    def app_entries(self) -> dict[str, Mapping[str, Any]]:
        """The entries of site_app_workers by name."""
        return site_apps.entries(self.variables.get(site_apps.APPS))

    @cached_property
    def apps(self) -> dict[str, dict[str, Share]]:
        """The hosts of each app, with how many instances they run."""
        placed = self.members.get(site_apps.COMPONENT, [])
        return {
            name: site_apps.counts(
                row, site_apps.hosts_of(row, placed, self.groups), lambda host: self.hosts[host].cores
            )
            for name, row in self.app_entries.items()
        }

    def app_scales(self, name: str) -> bool:
        """Tell whether an app has as many instances as a series of Prometheus wants."""
        return scale_of(site_apps.as_worker(self.app_entries[name])) is not None

    @cached_property
    def scaled(self) -> dict[str, dict[str, Mapping[str, Any]]]:
        """The entries of site_workers that scale, by the name of their set and by host."""
        rows = {host: self.hosts[host].variables["site_workers"] for host in self.placed.get("worker", ())}
        return sets_of({host: [row for row in given if isinstance(row, Mapping)] for host, given in rows.items()})

    @cached_property
    def shares(self) -> dict[str, list[Share]]:
        """The hosts of each set that scales, a host of more processors with more of it."""
        return {name: shares(rows, lambda host: self.hosts[host].cores) for name, rows in self.scaled.items()}

    @cached_property
    def _fair(self) -> dict[str, dict[str, int]]:
        """What each host runs of each set if all instances of the site run."""
        most = {name: scale_of_set(rows)["max"] for name, rows in self.scaled.items()}
        apps = {f"app-{name}": site_apps.fair(self.app_entries[name], hosts) for name, hosts in self.apps.items()}
        return {"": {"": 1}} | {name: share(most[name], hosts) for name, hosts in self.shares.items()} | apps

    def offered(self) -> Iterator[tuple[Component, Service]]:
        """Yield what the components offer."""
        for entry in self.components.values():
            for service in entry.services:
                if self.placed[entry.name] and service.when.hold(self.variables):
                    yield entry, service

    def providers(self, service: str) -> list[tuple[Component, Service]]:
        """Return who offers a service on this site: of components that stand for each other, the preferred ones."""
        found = [(entry, offer) for entry, offer in self.offered() if offer.name == service]
        best = max((offer.prefer for _, offer in found), default=0)
        return [(entry, offer) for entry, offer in found if offer.prefer == best]

    def port(self, service: Service) -> int:
        """Return a service's port, 0 for a protocol without ports."""
        return int(self.variables[service.port]) if service.port else 0

    def needs(self, entry: Component) -> list[Need]:
        """Return what a component connects to: each service of a kind, in the place of the kind."""
        return [named for need in entry.needs if need.when.hold(self.variables) for named in self._named(need)]

    def _named(self, need: Need) -> list[Need]:
        if need.service:
            return [need]
        names = {service.name for _, service in self.offered() if service.kind == need.kind}
        return [replace(need, service=name, kind="") for name in sorted(names)]

    @cached_property
    def connections(self) -> list[Connection]:
        """Every way that components take, in order; none to a service without hosts, which is external."""
        ways = (
            way
            for entry in self.components.values()
            for need in self.needs(entry)
            for provider, service in self.providers(need.service)
            for asked in {service, *self._leads(provider)}
            for way in self._ways(entry, need, provider, asked)
        )
        return sorted(set(ways))

    def _leads(self, entry: Component) -> list[Service]:
        """Return the service by which clients find a component's leader, if it has one."""
        return [service for service in entry.services if service.name == entry.leader_probe.service]

    def _ways(self, entry: Component, need: Need, provider: Component, service: Service) -> Iterator[Connection]:
        port = self.port(service)
        for source in self.placed[entry.name]:
            for target in self.placed[provider.name]:
                local = source == target
                # Nobody is a peer of its own.
                if local and (entry is provider or service.kind == "peers"):
                    continue
                yield Connection(
                    source=source,
                    source_address=LOOPBACK if local else self.hosts[source].address,
                    destination=target,
                    destination_address=LOOPBACK if local else self.hosts[target].address,
                    port=port,
                    service=service.name,
                    component=entry.name,
                    login=need.login,
                )

    @cached_property
    def openings(self) -> list[Opening]:
        """What everybody may reach, in order."""
        return sorted(
            Opening(host, self.hosts[host].address, self.port(service), service.name)
            for entry, service in self.offered()
            if service.clients == "everybody" and not self.placed.get(service.hidden_behind)
            for host in self.placed[entry.name]
        )

    @cached_property
    def remote(self) -> set[tuple[str, str]]:
        """Hosts, and services of theirs that another host uses."""
        return {(way.destination, way.service) for way in self.connections if way.source != way.destination}

    def offers(self, host: str) -> Iterator[tuple[Component, Service]]:
        """Yield what a host offers: of logs and to peers nothing, if nobody else asks for it."""
        for entry, service in self.offered():
            asked = service.kind not in ("logs", "peers") or (host, service.name) in self.remote
            if host in self.placed[entry.name] and asked:
                yield entry, service

    def logs(self, host: str) -> str:
        """Return what a host has of log servers: served, if others ask for logs; unasked, if it alone does; or ''."""
        kinds = {service.name for _, service in self.offered() if service.kind == "logs"}
        asked = {way.source != host for way in self.connections if way.destination == host and way.service in kinds}
        return "served" if True in asked else "unasked" if asked else ""

    def reach(self, host: str, service: str) -> Endpoint | None:
        """Return where a host finds a service, None if it is no part of the site.

        That is the address that moves between several hosts, or 127.0.0.1 where the host offers it itself, else that
        of the first host in the inventory's order; or what is named as an external one.
        """
        if found := self._inside(host, service):
            return found
        for entry in self.registry.values():
            for offer in entry.services:
                if offer.name == service and entry.placement.external:
                    return self._outside(entry, offer)
        return None

    def _inside(self, host: str, service: str) -> Endpoint | None:
        for entry, offer in self.providers(service):
            placed = self.placed[entry.name]
            moving = str(self.variables[entry.address]) if entry.address else ""
            address = moving or (LOOPBACK if host in placed else self.hosts[placed[0]].address)
            each = tuple(LOOPBACK if name == host else self.hosts[name].address for name in placed)
            tls = bool(entry.certificate and self.variables["site_tls_enabled"])
            return Endpoint(
                address,
                self.port(offer),
                tls,
                addresses=each if entry.endpoint in ("leader", "list") else (),
                leader_port=sum(self.port(asked) for asked in self._leads(entry)),
                leader_path=entry.leader_probe.path,
            )
        return None

    def _outside(self, entry: Component, offer: Service) -> Endpoint:
        address = str(self.variables[entry.placement.external])
        plain = bool(entry.placement.plain and self.variables[entry.placement.plain])
        return Endpoint(address, self.port(offer), tls=not plain and not _LOCAL.match(address), external=True)
