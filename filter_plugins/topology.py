"""
Who talks to whom in an Airstrip site, computed once from the inventory.

The connections follow from Airflow 3's design: tasks reach the metadata database only through the Execution API,
so a worker has no connection to it; the API server reads task logs from the log servers of workers and triggerers
over HTTP (Airflow: security/security_model.rst and logging-tasks.rst, `[logging] worker_log_server_port` 8793,
`trigger_log_server_port` 8794). With the LocalExecutor the scheduler runs the tasks, so it takes the worker's part.

With load balancers, people and tasks reach the API servers through them, at ports of their own; without, directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

COMPONENTS = (
    "postgresql",
    "redis",
    "load_balancer",
    "api_server",
    "scheduler",
    "dag_processor",
    "triggerer",
    "worker",
)
# Services, and the names of their ports.
SERVICES = {
    "postgresql": "postgresql",
    "redis": "redis",
    "api": "api_server",
    "execution_api": "execution_api",
    "http": "http",
    "https": "https",
    "worker_logs": "worker_logs",
    "triggerer_logs": "triggerer_logs",
    "vrrp": "",
}
LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535

# A route is (source component, service, destination component, database); the database is "" but for PostgreSQL.
Route = tuple[str, str, str, str]
_METADATA_CLIENTS = ("api_server", "scheduler", "dag_processor", "triggerer")
_METADATA_ROUTES: tuple[Route, ...] = tuple(
    (source, "postgresql", "postgresql", "metadata") for source in _METADATA_CLIENTS
)
_TRIGGERER_LOGS: Route = ("api_server", "triggerer_logs", "triggerer", "")
_CELERY_ROUTES: tuple[Route, ...] = (
    ("scheduler", "postgresql", "postgresql", "results_view"),
    ("worker", "postgresql", "postgresql", "results"),
    ("scheduler", "redis", "redis", ""),
    ("worker", "redis", "redis", ""),
    ("api_server", "worker_logs", "worker", ""),
)
_LOCAL_ROUTES: tuple[Route, ...] = (("api_server", "worker_logs", "scheduler", ""),)
# By executor: the component that runs the tasks, and its routes.
_EXECUTOR_ROUTES = {"CeleryExecutor": ("worker", _CELERY_ROUTES), "LocalExecutor": ("scheduler", _LOCAL_ROUTES)}
_API: Route = ("load_balancer", "api", "api_server", "")
_VRRP: Route = ("load_balancer", "vrrp", "load_balancer", "")


def _hosts(value: object, component: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise AnsibleFilterError(
            f"component_hosts['{component}'] must be a list of hosts, found {type(value).__name__}"
        )
    return list(dict.fromkeys(str(host) for host in value))


def _components(component_hosts: object) -> dict[str, list[str]]:
    given = as_mapping(component_hosts, "airflow_topology: component_hosts")
    if unknown := sorted(set(given) - set(COMPONENTS)):
        raise AnsibleFilterError(
            f"airflow_topology: component_hosts names the unknown component '{unknown[0]}'; "
            f"known are {', '.join(COMPONENTS)}"
        )
    return {component: _hosts(given.get(component), component) for component in COMPONENTS}


def _host_table(components: Mapping[str, Sequence[str]], addresses: object) -> dict[str, dict[str, Any]]:
    known = as_mapping(addresses, "airflow_topology: addresses")
    table: dict[str, dict[str, Any]] = {}
    for host in sorted({host for hosts in components.values() for host in hosts}):
        placed = [component for component in COMPONENTS if host in components[component]]
        if not known.get(host):
            raise AnsibleFilterError(
                f"airflow_topology: addresses has no address for host '{host}' ({', '.join(placed)}); "
                "give the host an address that the other hosts can reach"
            )
        table[host] = {"address": str(known[host]), "components": placed}
    return table


def _routes(topology: Mapping[str, Any], executor: object) -> list[Route]:
    if not isinstance(executor, str) or not executor.strip():
        raise AnsibleFilterError("airflow_topology: options.executor must name Airflow's executor, e.g. CeleryExecutor")
    balanced = bool(topology["components"]["load_balancer"])
    routes = [*_METADATA_ROUTES, _TRIGGERER_LOGS, *([_API] if balanced else [])]
    if topology["virtual_address"]:
        routes.append(_VRRP)
    # A substring, as `[core] executor` may be a list, hold aliases (CeleryExecutor:fast) or full class paths.
    for name, (runner, own) in _EXECUTOR_ROUTES.items():
        if name in executor:
            routes += [*own, (runner, "execution_api", "load_balancer" if balanced else "api_server", "")]
    return routes


def _port(ports: Mapping[str, Any], service: str, component: str) -> int:
    """Return a service's port, 0 for one without ports. An API server has one port for all that it serves."""
    name = "api_server" if component == "api_server" else SERVICES[service]
    if not name:
        return 0
    port = ports.get(name)
    try:
        number = 0 if isinstance(port, bool) else int(port)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= _LAST_PORT:
        raise AnsibleFilterError(
            f"airflow_topology: options.ports.{name} must be a port between 1 and {_LAST_PORT}, found {port!r}"
        )
    return number


def _login(databases: object, database: str) -> tuple[str | None, str | None]:
    if not database:
        return None, None
    entry = as_mapping(
        as_mapping(databases, "airflow_topology: options.databases").get(database),
        f"airflow_topology: options.databases.{database}",
    )
    if not entry.get("name") or not entry.get("user"):
        raise AnsibleFilterError(f"airflow_topology: options.databases.{database} needs both 'name' and 'user'")
    return str(entry["name"]), str(entry["user"])


def _pairs(topology: Mapping[str, Any], route: Route) -> Iterator[dict[str, Any]]:
    source_component, service, destination_component, _ = route
    hosts = topology["hosts"]
    for source in topology["components"][source_component]:
        for destination in topology["components"][destination_component]:
            local = source == destination
            if local and service == "vrrp":
                continue
            yield {
                "source": source,
                "source_address": LOOPBACK if local else hosts[source]["address"],
                "destination": destination,
                "destination_address": LOOPBACK if local else hosts[destination]["address"],
            }


def _connections(topology: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    ports = as_mapping(options.get("ports"), "airflow_topology: options.ports")
    for route in _routes(topology, options.get("executor")):
        component, service, destination, database = route
        for pair in _pairs(topology, route):
            name, user = _login(options.get("databases"), database)
            purpose = {"port": _port(ports, service, destination), "service": service, "component": component}
            yield pair | purpose | {"database": name, "user": user}


def _public(topology: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what everybody may reach: the load balancers, or the API servers where there are none."""
    ports = as_mapping(options.get("ports"), "airflow_topology: options.ports")
    component = "load_balancer" if topology["components"]["load_balancer"] else "api_server"
    for host in topology["components"][component]:
        for service in ("http", "https") if component == "load_balancer" else ("api",):
            yield {
                "destination": host,
                "destination_address": topology["hosts"][host]["address"],
                "port": _port(ports, service, component),
                "service": service,
            }


def _sorted_unique(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order rows by their values; no database sorts before any database."""
    unique = {tuple("" if value is None else value for value in row.values()): row for row in rows}
    return [unique[key] for key in sorted(unique)]


def airflow_topology(component_hosts: object, addresses: object, options: object) -> dict[str, Any]:
    """
    Compute the site's hosts, components and connections.

    Example: `{'api_server': ['a'], ...} | airflow_topology({'a': '10.0.0.1'}, options)`. The shapes stand in
    `ansible-doc -t filter airflow_topology`. Raises AnsibleFilterError on an unknown component, a host without
    address, a missing executor, port, database or user. A service without hosts (external) has no connections.
    """
    components = _components(component_hosts)
    given = as_mapping(options, "airflow_topology: options")
    topology: dict[str, Any] = {
        "hosts": _host_table(components, addresses),
        "components": components,
        "virtual_address": str(given.get("virtual_address") or ""),
    }
    rows = list(_connections(topology, given))
    return topology | {"connections": _sorted_unique(rows), "public": _sorted_unique(_public(topology, given))}


def _checked(topology: object, filter_name: str) -> dict[str, Any]:
    checked = as_mapping(topology, f"{filter_name}: the topology")
    if missing := [key for key in ("hosts", "components", "connections") if key not in checked]:
        raise AnsibleFilterError(
            f"{filter_name}: the topology has no '{missing[0]}'; give the result of airflow_topology"
        )
    return checked


def airflow_topology_address(topology: object, host: str, component: str) -> str:
    """
    Return the address at which `host` reaches `component`.

    127.0.0.1 where the component runs on `host` itself, else the address of the component's first host in
    inventory order. `host` need not run anything. Raises AnsibleFilterError if the component has no host.
    """
    checked = _checked(topology, "airflow_topology_address")
    if component not in COMPONENTS:
        raise AnsibleFilterError(
            f"airflow_topology_address: unknown component '{component}'; known are {', '.join(COMPONENTS)}"
        )
    hosts = checked["components"][component]
    if not hosts:
        raise AnsibleFilterError(
            f"airflow_topology_address: no host runs {component}; add one to its group or name the external one"
        )
    return LOOPBACK if host in hosts else str(checked["hosts"][hosts[0]]["address"])


def _incoming(topology: object, host: str, service: str, filter_name: str) -> list[dict[str, Any]]:
    checked = _checked(topology, filter_name)
    if service not in SERVICES:
        raise AnsibleFilterError(f"{filter_name}: unknown service '{service}'; known are {', '.join(SERVICES)}")
    return [row for row in checked["connections"] if row["destination"] == host and row["service"] == service]


def airflow_topology_clients(topology: object, host: str, service: str) -> list[dict[str, Any]]:
    """
    List who connects to `service` on `host`: address, database, user and component, sorted, without duplicates.

    A client on the same host has the address 127.0.0.1; database and user are null but for postgresql.
    Raises AnsibleFilterError on an unknown service.
    """
    rows = _incoming(topology, host, service, "airflow_topology_clients")
    return _sorted_unique(
        {
            "address": row["source_address"],
            "database": row["database"],
            "user": row["user"],
            "component": row["component"],
        }
        for row in rows
    )


def airflow_topology_listen(topology: object, host: str, service: str) -> list[str]:
    """
    List the addresses to which `service` binds on `host`: 127.0.0.1, and the host's own if a remote client connects.

    Raises AnsibleFilterError on an unknown service or a host which the topology does not know.
    """
    rows = _incoming(topology, host, service, "airflow_topology_listen")
    known = _checked(topology, "airflow_topology_listen")["hosts"]
    if host not in known:
        raise AnsibleFilterError(
            f"airflow_topology_listen: host '{host}' runs no component; it is in none of the groups"
        )
    own = [str(known[host]["address"])] if any(row["source"] != host for row in rows) else []
    return list(dict.fromkeys([LOOPBACK, *own]))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_topology": airflow_topology,
            "airflow_topology_address": airflow_topology_address,
            "airflow_topology_clients": airflow_topology_clients,
            "airflow_topology_listen": airflow_topology_listen,
        }
