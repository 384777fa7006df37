"""What each host of a site has to know of it: made from the model, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from ipaddress import ip_address, ip_network
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils import site_sizing as sizing
from ansible_collections.airstrip.core.plugins.module_utils.host_status import seconds_of
from ansible_collections.airstrip.core.plugins.module_utils.site_app_views import (
    app_ports,
    app_rules,
    app_scaled,
    app_scaled_here,
    app_workers,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_egress import egress, named
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import probes, roles
from ansible_collections.airstrip.core.plugins.module_utils.site_metrics import (
    exporters,
    metrics,
    monitored,
    probed,
    senders,
    targets,
    viewed,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_model import LOOPBACK, SERVER, Site
from ansible_collections.airstrip.core.plugins.module_utils.site_programs import programs
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component, filled
from ansible_collections.airstrip.core.plugins.module_utils.site_remote_logs import log_stores
from ansible_collections.airstrip.core.plugins.module_utils.site_scale import rules_of, set_here
from ansible_collections.airstrip.core.plugins.module_utils.site_scale_hosts import scaled_hosts
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import PREFIX

SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# Load balancers first: the address moves to one that stays. Then who reads and writes, and at last what is written to.
_ORDER = ("load_balancer", "airflow", "broker", "database")
# Of a whole site that stops: tasks come to their end through the load balancers. Stages stand for all other tiers.
_WHOLE = ("after_airflow", "airflow", "load_balancer", "before_airflow", "broker", "database")
# Airflow's own of operators.default_queue, and of core.parallelism, which is what each scheduler's LocalExecutor runs.
_DEFAULT_QUEUE, _PARALLELISM = "default", 32
_DEFAULT_PORTS = {"http": 80, "https": 443}


def rules(site: Site, host: str) -> list[dict[str, Any]]:
    """Return what a host lets in, one entry for each service and port, in order, those of further clients last.

    Each has `service`, `protocol`, `port` and `sources`: addresses, none for everybody. What a host tells itself is no
    rule.
    """
    protocols = {service.name: service.protocol for _, service in site.offered()}
    sources: dict[tuple[str, int], set[str]] = {}
    for way in site.connections:
        if way.destination == host and way.source_address != LOOPBACK:
            sources.setdefault((way.service, way.port), set()).add(way.source_address)
    for opening in site.openings:
        if opening.destination == host:
            sources[opening.service, opening.port] = set()
    rows = [(service, port, sorted(sources[service, port])) for service, port in sorted(sources)]
    for entry, service in site.offered():
        extra = site.variables[service.extra_clients] if service.extra_clients else []
        if extra and host in site.placed[entry.name]:
            rows.append((service.name, site.port(service), addresses_of(extra)))
    return [
        {"service": service, "protocol": protocols[service], "port": port, "sources": addresses}
        for service, port, addresses in rows
    ] + app_rules(site, host)


def addresses_of(extra: Iterable[Any]) -> list[str]:
    """Return the addresses of further clients, in order, each once."""
    # What has none is refused by its own check.
    return sorted({str(client["address"]) for client in extra if isinstance(client, Mapping) and client.get("address")})


def logins(site: Site) -> dict[str, dict[str, str]]:
    """Return database and user of each login."""
    names = {
        "metadata": ("database_name", "database_user"),
        "results": ("results_database_name", "results_database_user"),
        "results_view": ("results_database_name", "results_reader_user"),
        "metrics": ("database_name", "metrics_user"),
        "monitor": ("database_name", "monitor_user"),
        "dbt": ("dbt_database_name", "dbt_database_user"),
    }
    return {
        login: {"database": str(site.variables[PREFIX + name]), "user": str(site.variables[PREFIX + user])}
        for login, (name, user) in names.items()
    }


def clients(site: Site, host: str) -> dict[str, list[dict[str, str]]]:
    """Return who connects to each service of a host: `address`, `component`, and of a database `database` and `user`.

    In order, each once.
    """
    known = logins(site)
    names = {service.name for entry in site.registry.values() for service in entry.services}
    found: dict[str, set[tuple[str, str, str, str]]] = {name: set() for name in names}
    for way in site.connections:
        if way.destination == host:
            login = known.get(way.login, {})
            row = (way.source_address, login.get("database", ""), login.get("user", ""), way.component)
            found[way.service].add(row)
    keys = ("address", "database", "user", "component")
    return {
        service: [
            {key: item for key, item in zip(keys, row, strict=True) if item or key == "address"}
            for row in sorted(found[service])
        ]
        for service in sorted(found)
    }


def listen(site: Site, host: str) -> dict[str, list[str]]:
    """Return the addresses to which each service of a host binds: 127.0.0.1, and its own if others connect."""
    return {
        service.name: [LOOPBACK, site.hosts[host].listen_address] if (host, service.name) in site.remote else [LOOPBACK]
        for _, service in site.offers(host)
    }


def reach(site: Site, host: str) -> dict[str, dict[str, Any]]:
    """Return where a host finds each service of the registry that the site has, see Endpoint.

    And `authority`, the file of the certificates by which it knows the server. `addresses` has one at least.
    """
    names = {service.name for entry in site.registry.values() for service in entry.services if service.port}
    found = {name: site.reach(host, name) for name in sorted(names)}
    own = f"{site.variables['site_config_directory']}/ca.crt"
    return {
        name: asdict(endpoint)
        | {"addresses": list(endpoint.addresses or [endpoint.address])}
        | {"authority": SYSTEM_AUTHORITIES if endpoint.external else own}
        for name, endpoint in found.items()
        if endpoint
    }


def servers(site: Site, host: str) -> dict[str, list[dict[str, Any]]]:
    """Return all hosts that offer what a host connects to, by service: `name`, `address` and `port`, in order."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for way in site.connections:
        if way.source == host:
            server = {"name": way.destination, "address": way.destination_address, "port": way.port}
            found.setdefault(way.service, {})[way.destination] = server
    return {service: [by_name[name] for name in sorted(by_name)] for service, by_name in found.items()}


def urls(site: Site, host: str) -> dict[str, str]:
    """Return where a host finds the site: `public`, for people, and `execution_api`, for tasks.

    And `base`, the public one where others can use it: through a load balancer, or by a name.
    """
    tls, balanced = site.variables["site_tls_enabled"], bool(site.placed.get("load_balancer"))
    scheme = "https" if tls else "http"
    edge, api = site.reach(host, scheme if balanced else "api"), site.reach(host, "execution_api")
    name = str(site.variables["site_public_name"]) or (edge.address if edge else "")
    port = edge.port if edge else 0
    public = f"{scheme}://{name}" + ("" if _DEFAULT_PORTS[scheme] == port else f":{port}")
    return {
        "public": public,
        "base": public if balanced and name != LOOPBACK else "",
        "execution_api": f"{scheme}://{api.address}:{api.port}/execution/" if api else "",
    }


def virtual_interface(site: Site, host: str) -> str:
    """Return the network interface of a host that is to have the virtual address: the first in whose network it is.

    Nothing where no network of the host is known; the default route's, where it is in none of them.
    """
    known = site.hosts[host].networks
    with suppress(ValueError, IndexError):
        address = ip_address(str(site.variables["site_virtual_address"]))
        return next((name for network, name in known if address in ip_network(network, strict=False)), known[0][1])
    return ""


def certificates(site: Site, host: str) -> dict[str, list[str]]:
    """Return the names for which the certificate of each of a host's components is valid; none without TLS."""
    known, entries = site.hosts[host], [site.components[name] for name in site.of(host)]
    # Where an address moves to, people come by the site's name as well.
    moving = [site.variables[entry.address] for entry in entries if entry.address]
    moving += [site.variables["site_public_name"]] if moving else []
    names = _unique([host, *known.names, known.address, *moving, "localhost", LOOPBACK])
    return {entry.name: names for entry in entries if entry.certificate and site.variables["site_tls_enabled"]}


def ports(site: Site, host: str) -> list[dict[str, Any]]:
    """Return the ports that a host's components take: `port`, and in `owner` the variable that says so, each once."""
    owners = {service.port: site.port(service) for _, service in site.offers(host) if service.port}
    return [{"port": port, "owner": owner} for owner, port in owners.items()] + app_ports(site, host)


def worker_sets(site: Site) -> dict[str, list[str]]:
    """Return the queues of the workers of each name, on whatever hosts, both in order."""
    found: dict[str, set[str]] = {}
    for host in site.placed.get("worker", ()):
        for worker in site.instances("worker", host):
            queues, name = worker.get("queues") or [], worker.get("set") or worker.get("name")
            if name and isinstance(queues, list):
                found.setdefault(str(name), set()).update(map(str, queues))
    return {name: sorted(found[name]) for name in sorted(found)}


def task_slots(site: Site) -> list[dict[str, Any]]:
    """Return who runs tasks: `queues`, and how many `slots` it has, of each instance of each worker's host."""
    if local := site.placed.get("scheduler", []) if site.variables["site_executor"] == "LocalExecutor" else []:
        return [{"queues": [_DEFAULT_QUEUE], "slots": _PARALLELISM * len(local)}]
    return [
        {
            "queues": sorted(map(str, instance.get("queues") or [])),
            "slots": sizing.slots_of(instance, sizing.concurrency(site, host)),
        }
        for host in site.placed.get("worker", ())
        for instance in site.all_instances("worker", host)
        if isinstance(instance.get("queues") or [], list)
    ]


def entries(site: Site) -> list[dict[str, Any]]:
    """Return the lines of /etc/hosts: `address` and `names` of each host, and of the site."""
    found = [{"address": host.address, "names": _unique([*host.names, name])} for name, host in site.hosts.items()]
    public, moving = site.variables["site_public_name"], site.variables["site_virtual_address"]
    return found + ([{"address": moving, "names": [public]}] if public and moving else [])


def proxy(site: Site) -> dict[str, str]:
    """Return the variables of the environment that name the proxies; what is the site's own is reached without.

    That is all hosts by address and name, and the addresses and names by which people and tasks come.
    """
    given = {f"{kind}_proxy": str(site.variables[f"site_{kind}_proxy"]) for kind in ("http", "https")}
    found = {name: url for name, url in given.items() if url}
    known = [name for entry in entries(site) for name in (entry["address"], *entry["names"])]
    public = [site.variables["site_virtual_address"], site.variables["site_public_name"]]
    own = _unique([*site.variables["site_no_proxy"], *known, *public])
    return found | ({"no_proxy": ",".join(own)} if found else {})


def databases(site: Site) -> list[dict[str, Any]]:
    """Return the databases of Airflow and of dbt, as the role postgresql takes them."""
    known = logins(site)
    found: list[dict[str, Any]] = [{"name": known["metadata"]["database"], "owner": known["metadata"]["user"]}]
    if "metrics" in used_logins(site):
        names = {"owner": "metadata", "metrics": "metrics", "monitor": "monitor"}
        users = {name: known[login]["user"] for name, login in names.items()}
        found[0] |= {"script": "airflow_metrics.sql", "script_names": users}
    if "results" in used_logins(site):
        names = {"writer": known["results"]["user"], "reader": known["results_view"]["user"]}
        script = {"script": "celery_results.sql", "script_names": names}
        found.append({"name": known["results"]["database"], "owner": "postgres", **script})
    if "dbt" in used_logins(site):
        found.append({"name": known["dbt"]["database"], "owner": known["dbt"]["user"]})
    return found


def database_roles(site: Site, budget: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return Airflow's own roles in the database, as the role postgresql takes them, but for their passwords."""
    known = logins(site)
    roles: list[dict[str, Any]] = [{"name": known["metadata"]["user"]}]
    if "results" in used_logins(site):
        # No task can take those of the metadata database.
        limit = budget["by_login"].get("results", 0)
        roles += [
            {"name": known["results"]["user"], "connection_limit": limit},
            {"name": known["results_view"]["user"]},
        ]
    return roles


def monitoring_roles(site: Site, budget: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the roles in the database of those who collect metrics, and of dbt, as the role postgresql takes them."""
    known, used = logins(site), used_logins(site)
    return [
        {"name": known[login]["user"], "connection_limit": budget["by_login"].get(login, 0)}
        for login in ("metrics", "monitor", "dbt")
        if login in used
    ]


# Components that ask Prometheus, each with a login of its own: its name, and the secret <name>_password.
OWN_VIEWERS = ("scale_hook", "worker_scale")


def people(site: Site) -> dict[str, str]:
    """Return the people who may look at how the site is, with the name of the password of each."""
    return {str(name): f"site_viewer_{name}" for name in site.variables["site_viewers"]}


def viewers(site: Site) -> dict[str, str]:
    """Return who may look at Prometheus beside itself, with the name of the password."""
    placed = {name for name in site.placed if site.placed[name]}
    # Both programs that scale are one file, with one login.
    asking = [name for name in OWN_VIEWERS if placed & {name, f"app_{name}"}]
    return people(site) | {name: f"{name}_password" for name in asking}


def deployed_dags(site: Site) -> str:
    """Return the directory of the deployed versions of the DAGs; nothing where the DAGs come otherwise."""
    return str(site.variables["site_dags_directory"]) if site.variables["site_dags_deployed"] else ""


def dbt_database(site: Site, host: str) -> dict[str, Any]:
    """Return where a host finds dbt's database: `host`, `port`, `tls`, and `external`, if it is none of the site's."""
    if outside_host := str(site.variables["site_dbt_database_host"]):
        port = int(site.variables["site_dbt_database_port"])
        return {"host": outside_host, "port": port, "tls": True, "external": True}
    found = site.reach(host, "postgresql")
    return {
        "host": found.address if found else "",
        "port": found.port if found else 0,
        "tls": bool(found and found.tls),
        "external": bool(found and found.external),
    }


def used_logins(site: Site) -> set[str]:
    """Return the logins that the components of the site have."""
    entries = [entry for entry in site.components.values() if site.placed[entry.name]]
    return {need.login for entry in entries for need in site.needs(entry)} - {""}


def broker_users(site: Site, sets: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return the workers' users of the site's own broker; an external one has one user for all.

    Each has `worker`, `user`, `queues`, and `secret`, the name of its password. Those at which Flower looks are
    `watched`, and Flower has users of its own there, which are `looking`.
    """
    if not site.placed.get("redis"):
        return []
    own, watched = str(site.variables["site_broker_user"]), shown(site)
    users = [
        {"worker": name, "user": f"{own}-worker-{name}", "queues": queues, "secret": f"airflow_broker_password_{name}"}
        | ({"watched": True} if name in watched else {})
        for name, queues in sets.items()
    ]
    return users + [
        {"worker": name, "user": f"{own}-flower-{name}", "queues": sets[name], "looking": True}
        | {"secret": f"airflow_flower_broker_password_{name}"}
        for name in watched
        if name in sets
    ]


def shown(site: Site) -> list[str]:
    """Return the names of the workers at which Flower looks, in order."""
    return sorted({str(site.hosts[host].variables["site_flower_worker"]) for host in site.placed.get("flower", ())})


def client_units(site: Site, host: str) -> dict[str, list[str]]:
    """Return the units of a host that hold connections to the database, by login."""
    found: dict[str, list[str]] = {login: [] for login in logins(site)}
    for name in site.of(host):
        for need in site.needs(site.components[name]):
            if need.login:
                found[need.login] += filled(site.components[name].units, site.variables)
    return found


def outside(site: Site, host: str) -> list[dict[str, Any]]:
    """Return the external servers that a host's components need: `component`, `service`, `variable`, `host`, `port`.

    `variable` is the one that names it.
    """
    found = {}
    for need in (need for name in site.of(host) for need in site.needs(site.components[name])):
        endpoint = site.reach(host, need.service)
        if endpoint and endpoint.external and SERVER.fullmatch(endpoint.address):
            entry = next(
                entry
                for entry in site.registry.values()
                if entry.placement.external and need.service in {service.name for service in entry.services}
            )
            found[entry.name] = {
                "component": entry.name,
                "service": need.service,
                "variable": entry.placement.external,
                "host": endpoint.address,
                "port": endpoint.port,
            }
    return [*found.values(), *log_stores(site, host)]


def placed(site: Site, names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Return `units` and the paths (`owns`) of components, in the order in which they stop."""
    entries = sorted((site.registry[name] for name in names), key=lambda entry: _stops(site, entry))
    return {
        entry.name: {
            "units": filled(entry.units, site.variables),
            "owns": filled(entry.owns, site.variables),
        }
        for entry in entries
    }


def _stops(site: Site, entry: Component) -> tuple[int, int, str]:
    """Return when a component stops: by its tier, and there after those that need it."""
    offered = {service.name for service in entry.services}
    needed = sum(bool(offered & {need.service for need in other.needs}) for other in site.registry.values())
    return _ORDER.index(entry.tier) if entry.tier in _ORDER else len(_ORDER), needed, entry.name


def stopping(site: Site) -> list[str]:
    """Return the components of a site in the order in which the whole of it stops: who runs tasks, then what they need.

    A firewall, which neither offers nor needs anything, stays.
    """

    def moment(entry: Component) -> tuple[Any, ...]:
        tier = next((tier for tier in (entry.tier, entry.stage) if tier in _WHOLE), _WHOLE[0])
        tasks = entry.airflow and entry.airflow.runs_tasks and entry.airflow.runs_tasks.hold(site.variables)
        return _WHOLE.index(tier), not tasks, _stops(site, entry)

    found = [entry for entry in site.components.values() if site.placed[entry.name] and entry.works]
    return [entry.name for entry in sorted(found, key=moment)]


def status(site: Site, host: str) -> dict[str, Any]:
    """Return what is to be on a host, as the module host_status and the command airstrip-status take it."""
    entries = [entry for name in reversed(placed(site, site.placed_on(host))) for entry in [site.components[name]]]
    known = [unit for entry in site.registry.values() for unit in filled(entry.units, site.variables)]
    directory, tls = site.variables["site_config_directory"], bool(site.variables["site_tls_enabled"])
    is_airflow = any(entry.tier == "airflow" for entry in entries)
    return {
        "host": host,
        "parts": [*_outside_parts(site, host), *(part for entry in entries for part in _parts(site, host, entry))],
        "known_units": _unique(["airflow-*.service", *known]),
        "elastic_units": list(_elastic(site, host)),
        "install_directory": str(site.variables["site_install_directory"]),
        "drained_file": f"{directory}/drained",
        "authority": f"{directory}/ca.crt" if tls and is_airflow else "",
        "renew_days": int(site.variables["site_certificate_renew_days"]),
        "muted": dict(_muted(site)),
    }


def _elastic(site: Site, host: str) -> Iterator[str]:
    yield from (f"airflow-worker@{item['name']}.service" for item in site.more_instances("worker", host))
    yield from (f"app-worker-{item['name']}.service" for item in site.more_instances("app_worker", host))


def _muted(site: Site) -> Iterator[tuple[str, float]]:
    for code, moment in site.variables["site_status_muted"].items():
        with suppress(ValueError):  # site_checks names it
            yield str(code), seconds_of(moment)


def _outside_parts(site: Site, host: str) -> list[dict[str, Any]]:
    """Return the external servers that a host needs, as parts without units."""
    nothing: dict[str, Any] = {"units": [], "url": "", "certificates": [], "socket": ""}
    return [
        {"name": row["component"], "component": row["component"], "address": row["host"]}
        | {"ports": {row["service"]: row["port"]}}
        | nothing
        for row in outside(site, host)
    ]


def _parts(site: Site, host: str, entry: Component) -> Iterator[dict[str, Any]]:
    """Yield a component of a host, or each of its instances. Ports and URL are those of the first."""
    probe, tls = entry.probe, bool(entry.certificate and site.variables["site_tls_enabled"])
    offered = [service for offering, service in site.offers(host) if offering is entry and service.protocol == "tcp"]
    first = site.port(entry.services[0]) if probe.path else 0
    names = [str(item.get("name", "")) for item in site.instances(entry.name, host)] if entry.instances else [""]
    for number, name in enumerate(names):
        units = filled(entry.units, site.variables)
        yield {
            "name": f"{entry.name}@{name}" if name else entry.name,
            "component": entry.name,
            "units": [name.join(unit.rsplit("*", 1)) for unit in units] if name else units,
            "address": LOOPBACK,
            "ports": {
                service.name: site.port(service)
                for service in offered
                if number == 0 and (service.name in probe.ports or not probe.ports) and site.port(service) != first
            },
            "url": f"http{'s' * tls}://{LOOPBACK}:{first}{probe.path}" if probe.path and number == 0 else "",
            "certificates": filled(probe.certificates, site.variables) if tls and number == 0 else [],
            "socket": probe.haproxy,
        }


def _unique(names: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(name) for name in names if name))


def _host(site: Site, name: str, queues: list[str], sets: dict[str, list[str]]) -> dict[str, Any]:
    components, own, comers = site.of(name), site.hosts[name].variables, clients(site, name)
    balancers, servers_outside = site.placed.get("load_balancer", []), outside(site, name)
    found = urls(site, name)
    return {
        "address": site.hosts[name].address,
        "listen_address": site.hosts[name].listen_address,
        "components": components,
        "is_airflow": any(site.components[component].tier == "airflow" for component in components),
        # Of the load balancers, the first one has the virtual address (keepalived.conf(5), from 1 to 254).
        "priority": 150 - (balancers.index(name) if name in balancers else 0),
        "rules": rules(site, name),
        "egress": egress(site, name, servers_outside),
        "egress_named": named(site, servers_outside),
        "clients": comers,
        "callers": {service: _unique(row["address"] for row in rows) for service, rows in comers.items()},
        "listen": listen(site, name),
        "reach": reach(site, name),
        "servers": servers(site, name),
        "outside": servers_outside,
        "urls": found,
        "certificates": certificates(site, name),
        "virtual_interface": virtual_interface(site, name),
        "logs": site.logs(name),
        "programs": programs(site, name),
        "placed": placed(site, site.placed_on(name)),
        "client_units": client_units(site, name),
        "ports": ports(site, name),
        "status": status(site, name),
        "concurrency": sizing.concurrency(site, name),
        "memory_needed_mb": sizing.memory_needed(site, name),
        "workers": [dict(item) for item in site.instances("worker", name)],
        "vars": {key.removeprefix(PREFIX): item for key, item in own.items()},
        "roles": roles(site, name),
        "probes": probes(site, name),
        "metrics": metrics(site, name),
        "exporters": exporters(site, name),
        "targets": targets(site, name),
        "probed": probed(found["public"]),
        "monitored": monitored(site),
        "viewed": viewed(site, found["public"]),
        "senders": senders(site, name),
        "queues": queues,
        "scaled": [rules_of(name, rows) for name, rows in site.scaled.items()] + app_scaled(site),
        "scaled_here": [
            set_here(set_name, rows, site.shares[set_name], name)
            for set_name, rows in site.scaled.items()
            if name in rows
        ]
        + app_scaled_here(site, name),
        "worker_sets": sets,
        "scaled_hosts": scaled_hosts(site, name),
        "app_workers": app_workers(site, name),
        "dbt_database": dbt_database(site, name),
        "proxy": proxy(site),
        "deployed_dags": deployed_dags(site),
    }


def input_secrets(site: Site) -> list[str]:
    """Return the names of the secrets that components of the site have as inputs."""
    placed_ones = (entry for name, entry in site.registry.items() if site.placed.get(name))
    names = {item.secret: None for entry in placed_ones for item in entry.inputs if item.secret}
    return filled(list(names), site.variables)


def fact(site: Site) -> dict[str, Any]:
    """Return the whole of a site.

    vars          the site's variables, without their prefix
    components    by name, of the whole registry: `hosts`, `units`, `tier`, `job` and `ping`; no hosts, if it is no part
                  of the site
    placed        by name, the hosts
    known         units and paths of all components, in the order in which they stop; `holds_data` names those with data
    stopping      components in the order in which the whole site stops
    airflow_hosts those of the components of Airflow
    connections   every way, see Connection
    public        what everybody may reach, see Opening
    budget        connections to the database; `databases`, `database_roles` and `monitoring_roles`, as the role
                  postgresql takes them
    broker_users  of the workers, `broker_secrets` the names of their passwords
    secrets       names of those that components have as inputs
    people        who may look at how the site is, with the names of their passwords; `viewers` are these and programs
    ca_bundle     file of the authorities that Airflow trusts, where the site has one of its own
    slots         of all workers; `worker_sets`, the queues of those of each name, and all `queues`; `task_slots`
    entries       the lines of /etc/hosts
    proxy         variables of the environment
    hosts         by name: `address`, `components`, in `vars` the variables that may differ, and what the functions
                  above return, and those of site_inputs, site_egress and site_metrics
    """
    sets, budget = worker_sets(site), sizing.budget(site)
    queues = sorted({queue for names in sets.values() for queue in names})
    hosts, users = {name: _host(site, name, queues, sets) for name in site.hosts}, broker_users(site, sets)
    return {
        "vars": {name.removeprefix(PREFIX): item for name, item in site.variables.items()},
        "components": {
            name: {
                "hosts": site.placed.get(name, []),
                "units": filled(entry.units, site.variables),
                "tier": entry.tier,
                "job": entry.probe.job,
                "ping": entry.probe.ping,
            }
            for name, entry in site.registry.items()
        },
        "connections": [asdict(way) for way in site.connections],
        "public": [asdict(opening) for opening in site.openings],
        "budget": budget,
        "slots": sum(sizing.host_slots(site, name) for name in site.hosts),
        "worker_sets": sets,
        "task_slots": task_slots(site),
        "queues": queues,
        "entries": entries(site),
        "proxy": proxy(site),
        "placed": {name: site.placed.get(name, []) for name in site.registry},
        "known": placed(site, site.registry),
        "stopping": stopping(site),
        "holds_data": [name for name, entry in site.registry.items() if entry.holds_data],
        "airflow_hosts": [name for name, host in hosts.items() if host["is_airflow"]],
        "databases": databases(site),
        "database_roles": database_roles(site, budget),
        "monitoring_roles": monitoring_roles(site, budget),
        "broker_users": users,
        "broker_secrets": [user["secret"] for user in users],
        "secrets": input_secrets(site),
        "people": people(site),
        "viewers": viewers(site),
        "ca_bundle": f"{site.variables['site_config_directory']}/ca-bundle.crt",
        "hosts": hosts,
    }
