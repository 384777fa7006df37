"""What is wrong with a site, as far as its model can tell. Each message names the place, the finding and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.addresses import ip, server
from ansible_collections.airstrip.core.plugins.module_utils.host_status import KINDS, seconds_of
from ansible_collections.airstrip.core.plugins.module_utils.site_app_checks import app_problems
from ansible_collections.airstrip.core.plugins.module_utils.site_model import SERVER, Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component
from ansible_collections.airstrip.core.plugins.module_utils.site_scale import queues_of, scale_of, worker_problems
from ansible_collections.airstrip.core.plugins.module_utils.site_sizing import memory_needed
from ansible_collections.airstrip.core.plugins.module_utils.site_views import OWN_VIEWERS, ports

_IPV4 = 4
# A name is a certificate's common name, which has 64 characters at most (RFC 5280, ub-common-name).
_MAX_NAME = 64
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
# Its password is a variable, whose name ends with it.
_VIEWER = re.compile(r"[a-z][a-z0-9_]*")
_OWN_VIEWERS = ("airstrip", *OWN_VIEWERS)
# The kernel keeps part of a machine's memory to itself; "4 GB" show up as some 3.8.
_MEMORY_TOLERANCE = 0.1


def _reason(site: Site, entry: Component) -> str:
    """Say why a site needs a component that another one would not."""
    wanted = [need for client in site.components.values() for need in site.needs(client) if need.when.executor]
    offered = {service.name for service in entry.services}
    by_executor = entry.when.executor or (offered & {need.service for need in wanted} and not entry.placement.min)
    return f" (site_executor is {site.variables['site_executor']})" if by_executor else ""


def _placement(site: Site) -> Iterator[str]:
    needed = {need.service for entry in site.components.values() for need in site.needs(entry)}
    for name, entry in site.components.items():
        offers = {service.name for service in entry.services if service.when.hold(site.variables)}
        # Somebody else may offer it.
        wanted = offers & needed and not any(site.providers(service) for service in offers)
        external = entry.placement.external
        if site.placed[name] or not (entry.placement.min or (wanted and external)):
            continue
        if external and site.variables[external]:
            continue
        other = f", or name an external server in {external}" if external else ""
        yield f"No host runs {name}{_reason(site, entry)}. Put a host into the inventory group {entry.group}{other}."


def _too_many(site: Site) -> Iterator[str]:
    for name, hosts in site.placed.items():
        entry = site.components[name]
        if 0 < entry.placement.max < len(hosts):
            yield (
                f"{name} is to run on {' and '.join(hosts)}, and {entry.placement.max} is the most. Take the others "
                f"out of the inventory group {entry.group}."
            )


def _both(site: Site) -> Iterator[str]:
    for name, hosts in site.placed.items():
        external = site.components[name].placement.external
        if hosts and external and (value := site.variables[external]):
            yield (
                f"{external} is {value if SERVER.fullmatch(value) else 'a URL'}, and {', '.join(hosts)} runs {name}. "
                f"Empty the variable, or the inventory group {site.components[name].group}."
            )


def _external(site: Site) -> Iterator[str]:
    for name, entry in site.components.items():
        external, port = entry.placement.external, entry.services[0].port if entry.services else ""
        value = str(site.variables[external]) if external else ""
        # A URL may have a password in it, and is not shown.
        if value and not SERVER.fullmatch(value):
            sentinel = " Redis Sentinel is not supported: name the server that is written to, or a proxy before it."
            yield (
                f"{external} has to be one host, by its name or its address, without scheme, user or port. Set it to "
                f"that, and {port} to its port.{sentinel if name == 'redis' else ''}"
            )


def _nameless(site: Site) -> Iterator[str]:
    if site.placed.get("redis") and not site.variables["site_broker_user"]:
        yield (
            f"site_broker_user is empty, and {site.placed['redis'][0]} runs redis, where each has a user of its own. "
            "Set it to a name."
        )


def _idle(site: Site) -> Iterator[str]:
    # Of a group that has other work for its hosts, such as monitoring, one component may have none.
    busy = {site.registry[name].group for name in site.components}
    for name, entry in site.registry.items():
        if entry.when.executor and site.members[name] and name not in site.components and entry.group not in busy:
            yield (
                f"site_executor is {site.variables['site_executor']}, which gives a {name} no work, but the group "
                f"{entry.group} has {', '.join(site.members[name])}. Empty it, or set site_executor to "
                f"{entry.when.executor}."
            )


def _addresses(site: Site) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for name, host in site.hosts.items():
        users.setdefault(str(ip(host.address) or host.address.lower()), []).append(name)
    for address, hosts in users.items():
        found = ip(address)
        if len(hosts) > 1:
            yield f"{' and '.join(hosts)} have the same address {address}. Set site_host_address for each of them."
        elif len(site.hosts) > 1 and (address == "localhost" or (found and found.is_loopback)):
            yield f"{hosts[0]} has the address {address}, which no other host can reach. Set site_host_address."
        elif len(site.hosts) > 1 and not found and site.hosts[hosts[0]].has_address:
            yield (
                f"{hosts[0]} has the address {address}, which is no IP address; access lists and /etc/hosts need one. "
                "Set site_host_address to it."
            )


def address_problems(site: Site, facts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield which hosts do not have the address that is set for them, by the facts of those that have told some."""
    for name, told in facts.items():
        own, held = site.hosts[name].variables, [ip(row["address"]) for row in told.get("networks") or ()]
        wanted = ip(own["site_host_address"])
        # Others are named by their own checks.
        checked = wanted and wanted.version == _IPV4 and not wanted.is_loopback
        if checked and held and wanted not in held and not own["site_host_address_translated"]:
            addresses = [str(address) for address in held if address and not address.is_loopback]
            yield (
                f"{name}: site_host_address is {wanted}, and no interface of the host has it: it has "
                f"{' and '.join(addresses)}. Set site_host_address to one of these; or, if a router translates it "
                f"(NAT), set site_host_address_translated to true for {name}."
            )


def _ipv6(site: Site) -> Iterator[str]:
    for name, host in site.hosts.items():
        found = ip(host.address)
        if found and found.version > _IPV4:
            yield (
                f"{name} has the address {host.address}, and hosts are reached by IPv4: a site of IPv6 alone does not "
                "work yet. Give the host an IPv4 address, and set site_host_address to it."
            )


def _names(site: Site) -> Iterator[str]:
    for name in site.hosts:
        if name in site.groups:
            yield (
                f"{name} is the name of a host and of a group in the inventory: Ansible takes one for the other. Give "
                "the host another name there."
            )
        if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
            yield (
                f"The inventory calls a host {name!r}. It stands in certificates, so it has at most {_MAX_NAME} "
                "letters, digits, dots, hyphens and underscores. Give it another name there, and its address in "
                "ansible_host."
            )


def _ports(site: Site) -> Iterator[str]:
    for host in site.hosts:
        owners: dict[int, list[str]] = {}
        for row in ports(site, host):
            owners.setdefault(row["port"], []).append(row["owner"])
        for port, names in owners.items():
            if len(names) > 1:
                yield f"{host}: port {port} is used by {' and '.join(names)}. Give each a port of its own."


def _memory(site: Site) -> Iterator[str]:
    for name, host in site.hosts.items():
        needed = memory_needed(site, name)
        if site.of(name) and 0 < host.memory_mb < needed * (1 - _MEMORY_TOLERANCE):
            yield (
                f"{name}: the host has {host.memory_mb} MB of memory, and its components need {needed} MB. Give it "
                "more, move a component to another host, or lower the concurrency in site_workers."
            )


def _scale(site: Site) -> Iterator[str]:
    for host in site.placed.get("worker", ()):
        for worker in site.hosts[host].variables["site_workers"]:
            for problem in worker_problems(worker) if isinstance(worker, Mapping) else ():
                yield f"{host}: site_workers: the worker {worker.get('name')} {problem}."
    if site.scaled and not site.placed.get("prometheus"):
        yield (
            f"site_workers: {', '.join(site.scaled)} has a scale, which Prometheus works out, and no host is in the "
            "group monitoring. Put one there, or take out scale and set concurrency."
        )
    for name, rows in site.scaled.items():
        yield from _scaled_set(site, name, rows)


def _scaled_queues(site: Site) -> Iterator[str]:
    takers: dict[str, list[str]] = {}
    for name, rows in site.scaled.items():
        for queue in {queue for row in rows.values() for queue in queues_of(row)}:
            takers.setdefault(queue, []).append(name)
    for queue, names in sorted(takers.items()):
        if len(names) > 1:
            yield (
                f"site_workers: {' and '.join(names)} have a scale, and both take the queue {queue}: each would count "
                "its tasks. Give it to one of them."
            )


def _scaled_set(site: Site, name: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    first, row = next(iter(rows.items()))
    scale = scale_of(row) or {}
    everywhere = [
        host
        for host in site.placed["worker"]
        if any(
            isinstance(one, Mapping) and one.get("name") == name for one in site.hosts[host].variables["site_workers"]
        )
    ]
    for host in everywhere:
        if host not in rows or {**rows[host], "scale": scale_of(rows[host])} != {**row, "scale": scale}:
            yield (
                f"site_workers: the workers {name} differ on {first} and {host}. What scales is one set: give it the "
                "same entry on all of its hosts."
            )
            return
    if scale["max"] < len(rows):
        yield (
            f"site_workers: the worker {name} has scale.max {scale['max']} and {len(rows)} hosts, of which each runs "
            f"one at least. Set scale.max to {len(rows)} or more, or take the worker out of some hosts."
        )
    able = sum(each.most for each in site.shares[name])
    # Its program makes further hosts.
    if able < scale["max"] and not site.variables["site_scale_hook"]:
        yield (
            f"site_workers: the worker {name} has scale.max {scale['max']}, and its {len(rows)} hosts may run {able} "
            "together (scale.per_host). Lower scale.max, or raise scale.per_host."
        )
    others = {
        str(one.get("name"))
        for host in rows
        for one in site.hosts[host].variables["site_workers"]
        if isinstance(one, Mapping)
    }
    for other in sorted(others):
        if re.fullmatch(rf"{re.escape(name)}-[0-9]+", other):
            yield (
                f"site_workers: the worker {other} has the name of an instance of {name}, which has a scale. Give it "
                "another name."
            )
    for host in rows:
        timeout = int(site.hosts[host].variables["site_worker_stop_timeout"])
        if timeout <= scale["longest_task_seconds"]:
            yield (
                f"{host}: site_worker_stop_timeout is {timeout}, and tasks of {name} take up to "
                f"{scale['longest_task_seconds']} s (scale.longest_task_seconds): an instance that is taken away would "
                "end them. Set it to more."
            )


def _extra_clients(site: Site) -> Iterator[str]:
    names = {service.extra_clients for entry in site.registry.values() for service in entry.services}
    for name in sorted(names - {""}):
        for client in site.variables[name]:
            if not isinstance(client, Mapping) or not client.get("address"):
                yield f"{name}: {client!r} has no address. Say from where that client connects."


def _proxies(site: Site) -> Iterator[str]:
    for name in ("site_http_proxy", "site_https_proxy"):
        # It may have a password in it, and is not shown.
        if (url := site.variables[name]) and not server(url):
            yield f"{name} is no URL that names a server. Write it as http://proxy.example.com:3128."


def _viewers(site: Site) -> Iterator[str]:
    viewers = [str(name) for name in site.variables["site_viewers"]]
    for name in viewers:
        if not _VIEWER.fullmatch(name) or name in _OWN_VIEWERS or viewers.count(name) > 1:
            yield (
                f"site_viewers has {name!r}. Write each person once, by a name of lower-case letters, digits and _ "
                f"that begins with a letter and is none of {', '.join(_OWN_VIEWERS)}."
            )
    seen = {component: bool(site.placed.get(component)) for component in ("prometheus", "flower", "load_balancer")}
    missing = () if seen["flower"] and not seen["prometheus"] else ("prometheus",)
    for component in (*missing, "load_balancer") if viewers else ():
        if not seen[component]:
            group = site.registry[component].group
            yield f"site_viewers is set, and no host is in the group {group}. Put one there, or empty the list."
    if seen["flower"] and not viewers:
        yield "The group flower has a host, and site_viewers is empty: nobody could look at Flower. Name people in it."


def _shown(site: Site) -> Iterator[str]:
    names = {
        str(item.get("set") or item.get("name"))
        for host in site.placed.get("worker", ())
        for item in site.instances("worker", host)
    }
    for host in site.placed.get("flower", ()):
        if (shown := str(site.hosts[host].variables["site_flower_worker"])) not in names:
            yield (
                f"{host}: site_flower_worker is {shown!r}, and no worker in site_workers has that name. "
                f"Set it to one of {', '.join(sorted(names)) or 'none'}."
            )


def _muted(site: Site) -> Iterator[str]:
    for code, moment in site.variables["site_status_muted"].items():
        if code not in KINDS:
            yield f"site_status_muted: {code!r} is no code of a finding. docs/operations-status.md has them."
        try:
            seconds_of(moment)
        except ValueError:
            yield f"site_status_muted: {code} has the time {str(moment)!r}. Write it as 2027-01-31T12:00:00Z."


def problems(site: Site) -> list[str]:
    """List what is wrong with a site."""
    of_components = (_placement, _too_many, _both, _external, _nameless, _idle)
    of_hosts = (_addresses, _ipv6, _ports, _memory, _extra_clients, _viewers, _shown, _proxies, _muted)
    of_workers = (_scale, _scaled_queues, app_problems)
    return [problem for check in (_names, *of_components, *of_hosts, *of_workers) for problem in check(site)]
