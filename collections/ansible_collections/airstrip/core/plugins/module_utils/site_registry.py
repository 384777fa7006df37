"""The registry of components: what its files may say, as types.

An entry is a mapping with these keys, and `read_component` refuses any other:
  group       name of the inventory's group with its hosts
  beside      or components on whose hosts it is placed; `site` for all hosts of the site. One of both is required
  wanted_by   a component without which it is not placed
  listed      a host's variable and a key, `site_workers.scale`: it is placed only where an item of that list has it
  role        the role that installs it (required)
  tier        the playbook that applies the role, and with it the order in which components stop (required)
  when        conditions, all of which have to hold for the component to be part of a site; see When
  variables   variables of the site that are the component's alone; see site_variables.py
  units       systemd units, as patterns of a shell; `{site_x}` stands for the value of a variable
  holds_data  whether what it holds is lost to the site if it leaves a host, which has to be allowed then
  instances   name of the host's variable with the instances of a unit `NAME@`
  endpoint    how clients reach it, see ENDPOINTS; any
  leader_probe how they find its leader, see LeaderProbe
  address     name of the variable with an address that moves between its hosts, where clients find it if it is set
  certificate name of the role's variable with its certificate; one that has none speaks no TLS
  client      whether that certificate is shown by it as a client, too
  services    by name, what it offers; see Service
  needs       what it connects to; see Need
  inputs      of its role, by the names of the role's variables; see Input
  stage       when its role is applied if no playbook names it, see STAGES; empty if one does
  memory      what it takes; see Memory
  placement   on how many hosts; see Placement
  probe       how it is seen that it works; see Probe
  airflow     how a component of Airflow runs; see Program
  owns        paths, as patterns of a shell, that are removed from a host which it leaves; `{site_x}` as in units. A
              timer among them is stopped before
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

# One: the first host. Leader: the one of them that says so when it is asked. Any: each, or what stands before them.
# List: all of them. Local: the client's own.
ENDPOINTS = ("one", "leader", "any", "list", "local")
PROTOCOLS = ("tcp", "udp", "vrrp")
CLIENTS = ("components", "everybody", "controller")
EXECUTORS = ("CeleryExecutor", "LocalExecutor")
# `metrics` may read some counts of Airflow's, `monitor` the server's own statistics; `dbt` has a database of its own.
LOGINS = ("metadata", "results", "results_view", "metrics", "monitor", "dbt")
KINDS = ("", "logs", "metrics", "peers")
# What `beside` calls all hosts of the site.
SITE = "site"
# See site_metrics.py, and site_views.py.
VIEWS = (
    *("metrics", "exporters", "targets", "probed", "monitored", "viewed", "scaled"),
    *("queues", "listen_address", "virtual_interface", "priority", "rules", "egress"),
    *("scaled_here", "scaled_hosts", "senders", "worker_sets", "deployed_dags"),
    *("app_workers", "dbt_database", "proxy"),
)
STAGES = ("before_airflow", "after_airflow")
DRAINS = ("", "load_balancers", "tasks")
# What the role airflow adds to a component by itself: `executor` is the project's CeleryExecutor in place of Airflow's,
# `transport` what keeps workers of one name apart from others in the broker, `webserver_config` that file and its
# secrets, `flower_config` what Flower may show.
PARTS = ("executor", "transport", "webserver_config", "flower_config")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_VERSION = re.compile(r"(<=?|>=?) (\d+(?:\.\d+)*)")
_REPLACED = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LISTED = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


class RegistryError(ValueError):
    """Something in the registry that has no meaning; the message names the file and the key."""


@dataclass(frozen=True)
class When:
    """Conditions, all of which have to hold; one that is not given holds.

    airflow   a comparison with the site's version of Airflow: "< 3.5"
    executor  the site's executor, or one of them
    set       a variable of the site that is not empty
    unset     one that is empty
    tls       whether hosts speak TLS with each other
    """

    airflow: str = ""
    executor: str = ""
    set: str = ""
    unset: str = ""
    tls: bool | None = None

    def hold(self, site: Mapping[str, Any]) -> bool:
        """Tell whether they hold for a site's variables."""
        return all(self._each(site))

    def _each(self, site: Mapping[str, Any]) -> Iterator[bool]:
        if match := _VERSION.fullmatch(self.airflow):
            yield _COMPARISONS[match[1]](_numbers(str(site["site_airflow_version"])), _numbers(match[2]))
        # `[core] executor` may be a list, hold aliases (CeleryExecutor:fast) or full class paths.
        yield self.executor in str(site["site_executor"])
        yield not self.set or bool(site[self.set])
        yield not self.unset or not site[self.unset]
        yield self.tls is None or bool(site["site_tls_enabled"]) == self.tls


@dataclass(frozen=True)
class Service:
    """What a component offers.

    port           name of the variable with its port; none for a protocol without ports
    protocol       tcp, udp or vrrp
    kind           logs: it is offered only where another host may ask for it; peers: likewise, by the component's other
                   hosts; metrics: it has some by HTTP at 127.0.0.1, which the host's exporters pass on to Prometheus,
                   and its name is the job's, and `_metrics`
    path           of the metrics
    clients        who connects: components, everybody, or the controller
    extra_clients  name of the variable with further ones, a list of mappings with `address`
    hidden_behind  a component that everybody comes to instead, where there is one
    prefer         of several components that offer it, the one with the greatest number serves
    """

    name: str
    port: str = ""
    protocol: str = "tcp"
    kind: str = ""
    path: str = ""
    clients: str = "components"
    extra_clients: str = ""
    hidden_behind: str = ""
    prefer: int = 0
    when: When = When()


@dataclass(frozen=True)
class Connections:
    """How many connections to a database each instance keeps open.

    pools  pools of SQLAlchemy, one after the other filled to its limit
    fixed  single connections
    slots  connections of each of its slots
    each   name of a host's variable: so many times all of these
    """

    pools: int = 0
    fixed: int = 0
    slots: int = 0
    each: str = ""


@dataclass(frozen=True)
class Need:
    """A service that a component connects to, as whom (metadata, results or results_view), and how often at once.

    Or all services of a kind, whoever offers them.
    """

    service: str = ""
    kind: str = ""
    login: str = ""
    connections: Connections = Connections()
    when: When = When()


@dataclass(frozen=True)
class LeaderProbe:
    """A service of the component, and a path there that answers 200 on the leader alone, by HTTP or HTTPS."""

    service: str = ""
    path: str = ""


@dataclass(frozen=True)
class Input:
    """What a variable of the role gets, mostly by the name of a service; one of these.

    listen     addresses to which the service binds
    clients    who connects to it: list of mappings with `address`, `component`, and of a database `database` and `user`
    callers    their addresses
    reach      where this host finds it, a mapping, see Endpoint; or one key of it, as `postgresql.port`
    servers    all hosts that offer it, if this one needs it: list of mappings with `name`, `address` and `port`
    view       what the model knows of this host under a name, see VIEWS
    secret     a secret of the site's, by its name; `{site_x}` as in units
    authority  certificate of the site's authority (PEM), if true
    viewers    passwords of the site's viewers, by their names, if true
    """

    name: str
    listen: str = ""
    clients: str = ""
    callers: str = ""
    reach: str = ""
    servers: str = ""
    view: str = ""
    secret: str = ""
    authority: bool = False
    viewers: bool = False

    @property
    def kind(self) -> str:
        """Which one it is."""
        return next(field.name for field in fields(self) if field.name != "name" and getattr(self, field.name))

    @property
    def of(self) -> str:
        """The name of the service, or of what else it is."""
        return str(getattr(self, self.kind))

    @property
    def service(self) -> str:
        """The name of the service, without a key of where it is."""
        return self.of.partition(".")[0]


@dataclass(frozen=True)
class Memory:
    """What a component takes of a host's memory.

    mb             each instance, in MB
    slot_mb        each of its slots while a task runs, in MB
    share_of_host  it takes one of so many parts of the host's memory, if that is more
    """

    mb: int = 0
    slot_mb: int = 0
    share_of_host: int = 0


@dataclass(frozen=True)
class Placement:
    """The least and the greatest number of hosts (0: as many as there are), and who may stand for all of them.

    external  name of the variable with the address of a component that is not the site's
    plain     name of the variable that says whether that one is meant to be reached without TLS
    """

    min: int = 0
    max: int = 0
    external: str = ""
    plain: str = ""


@dataclass(frozen=True)
class Probe:
    """How it is seen that a component works, beside its units: what is not given is not asked.

    job           type of a job that beats in the metadata database (`job.job_type`)
    path          of a URL at the port of its first service that answers 200
    ping          whether Celery's workers answer `inspect ping`
    ports         services whose TCP ports answer on 127.0.0.1; all that it offers, if none is named
    certificates  its files on the host, as patterns of a shell; `{site_x}` as in units
    haproxy       socket of HAProxy, whose servers are to be up
    """

    job: str = ""
    path: str = ""
    ping: bool = False
    ports: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    haproxy: str = ""


@dataclass(frozen=True)
class Named:
    """A name that counts under conditions."""

    name: str
    when: When = When()


@dataclass(frozen=True)
class Program:
    """How a component of Airflow runs.

    description   of its unit
    command       arguments of `airflow`
    credentials   secrets that it needs, by the names of the role airflow; each a name, or with `name` and `when`
    uses          what the role adds, see PARTS; likewise
    runs_tasks    when its processes run tasks, which it waits for as it stops; never, if it is not given
    stop_timeout  seconds that it has to stop otherwise
    drain         what has to end before it restarts: `load_balancers`, the requests that come through them; or `tasks`
    shows         name of the host's variable with the name of the workers whose remote control it uses
    """

    description: str
    command: str
    credentials: tuple[Named, ...] = ()
    uses: tuple[Named, ...] = ()
    runs_tasks: When | None = None
    stop_timeout: int = 0
    drain: str = ""
    shows: str = ""


@dataclass(frozen=True)
class Component:
    """An entry of the registry."""

    name: str
    role: str
    tier: str
    group: str = ""
    beside: tuple[str, ...] = ()
    wanted_by: str = ""
    listed: str = ""
    when: When = When()
    units: tuple[str, ...] = ()
    holds_data: bool = False
    instances: str = ""
    endpoint: str = "any"
    leader_probe: LeaderProbe = LeaderProbe()
    address: str = ""
    certificate: str = ""
    client: bool = False
    services: tuple[Service, ...] = ()
    needs: tuple[Need, ...] = ()
    inputs: tuple[Input, ...] = ()
    stage: str = ""
    memory: Memory = Memory()
    placement: Placement = Placement()
    probe: Probe = Probe()
    airflow: Program | None = None
    owns: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether it offers something, needs it, or has instances."""
        return bool(self.services or self.needs or self.instances)


_INPUTS = [field.name for field in fields(Input) if field.name != "name"]
_OF_SERVICES = ("listen", "clients", "callers", "reach", "servers")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def keys_of(value: object, place: str, kind: type, *required: str) -> dict[str, Any]:
    """Return the keys of a part of an entry, which are its type's fields; refuse what has no meaning there."""
    if not isinstance(value, Mapping):
        raise RegistryError(f"{place} must be a mapping, found {type(value).__name__}")
    given = {str(key): item for key, item in value.items()}
    known = {field.name: str(field.type) for field in fields(kind) if field.name != "name"}
    if unknown := sorted(set(given) - set(known)):
        raise RegistryError(f"{place} has the unknown key '{unknown[0]}'; known are {', '.join(sorted(known))}")
    if missing := [key for key in required if not given.get(key)]:
        raise RegistryError(f"{place} has no '{missing[0]}'")
    for key, item in given.items():
        _check_type(item, known[key], f"{place}.{key}")
    return given


def _check_type(value: object, wanted: str, place: str) -> None:
    """Refuse a plain value of another type than its field's. Parts of an entry are looked at when they are read."""
    plain: dict[str, type] = {"str": str, "int": int, "bool": bool, "bool | None": bool}
    kind = plain.get(wanted)
    if kind and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise RegistryError(f"{place} must be {kind.__name__}, found {value!r}")


def _one_of(value: str, allowed: Sequence[str], place: str) -> None:
    if value not in allowed:
        raise RegistryError(f"{place} is {value!r}; allowed are {', '.join(allowed)}")


def _when(value: object, place: str) -> When:
    given = keys_of(value, place, When)
    when = When(**given)
    if when.airflow and not _VERSION.fullmatch(when.airflow):
        raise RegistryError(f"{place}.airflow is {when.airflow!r}; write a comparison as '>= 3.5'")
    if when.executor:
        _one_of(when.executor, EXECUTORS, f"{place}.executor")
    return when


def _with_when(given: dict[str, Any], place: str) -> dict[str, Any]:
    return given | {"when": _when(given.get("when", {}), f"{place}.when")}


def _service(name: str, value: object, place: str) -> Service:
    service = Service(name=name, **_with_when(keys_of(value, place, Service), place))
    _one_of(service.protocol, PROTOCOLS, f"{place}.protocol")
    _one_of(service.clients, CLIENTS, f"{place}.clients")
    _one_of(service.kind, KINDS, f"{place}.kind")
    if bool(service.port) == (service.protocol == "vrrp"):
        raise RegistryError(f"{place}.port: TCP and UDP have one, and nothing else has")
    if bool(service.path) != (service.kind == "metrics"):
        raise RegistryError(f"{place}.path: metrics have one, and nothing else has")
    return service


def _need(value: object, place: str) -> Need:
    given = _with_when(keys_of(value, place, Need), place)
    connections = Connections(**keys_of(given.get("connections", {}), f"{place}.connections", Connections))
    need = Need(**given | {"connections": connections})
    if bool(need.service) == bool(need.kind):
        raise RegistryError(f"{place} needs either a 'service' or a 'kind'")
    _one_of(need.kind, KINDS, f"{place}.kind")
    if need.login:
        _one_of(need.login, LOGINS, f"{place}.login")
    return need


def _probe(value: object, place: str) -> Probe:
    given = keys_of(value, place, Probe)
    lists = {key: tuple(map(str, _items(given.get(key, []), f"{place}.{key}"))) for key in ("ports", "certificates")}
    return Probe(**given | lists)


def _named(value: object, place: str) -> tuple[Named, ...]:
    found = []
    for index, item in enumerate(_items(value, place)):
        at = f"{place}[{index}]"
        if isinstance(item, str):
            found.append(Named(item))
            continue
        # `keys_of` leaves out `name`, which is the key of other parts.
        given = dict(item) if isinstance(item, Mapping) else item
        name = given.pop("name", "") if isinstance(given, dict) else ""
        found.append(Named(name=str(name), **_with_when(keys_of(given, at, Named), at)))
        if not name:
            raise RegistryError(f"{at} has no 'name'")
    return tuple(found)


def _program(value: object, place: str) -> Program:
    given = keys_of(value, place, Program, "description", "command")
    parts: dict[str, Any] = {key: _named(given.get(key, []), f"{place}.{key}") for key in ("credentials", "uses")}
    if "runs_tasks" in given:
        parts["runs_tasks"] = _when(given["runs_tasks"], f"{place}.runs_tasks")
    program = Program(**given | parts)
    _one_of(program.drain, DRAINS, f"{place}.drain")
    for part in program.uses:
        _one_of(part.name, PARTS, f"{place}.uses")
    return program


def _inputs(role: str, value: object, place: str) -> tuple[Input, ...]:
    if not isinstance(value, Mapping):
        raise RegistryError(f"{place} must be a mapping, found {type(value).__name__}")
    found = []
    for name, item in value.items():
        given = keys_of(item, f"{place}.{name}", Input)
        if len(given) != 1 or not all(given.values()):
            raise RegistryError(f"{place}.{name} is one of {', '.join(_INPUTS)}, with the name of it")
        if not _NAME.fullmatch(str(name)) or not str(name).startswith(f"{role}_"):
            raise RegistryError(f"{place}.{name} is no variable of the role {role}: those begin with {role}_")
        found.append(Input(name=str(name), **given))
    return tuple(found)


def _leader_probe(component: Component, place: str) -> None:
    """Refuse a leader that cannot be found."""
    probe = component.leader_probe
    if (component.endpoint == "leader") != bool(probe.service and probe.path):
        raise RegistryError(f"{place}.leader_probe: a leader has one, with 'service' and 'path', and nothing else has")
    if probe.service and probe.service not in {service.name for service in component.services}:
        raise RegistryError(f"{place}.leader_probe.service is no service of it: {probe.service!r}")


def _items(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise RegistryError(f"{place} must be a list, found {type(value).__name__}")
    return value


def variables(component: Component) -> Iterator[str]:
    """Yield the names of the site's variables that an entry names."""
    conditions = [component.when, *(part.when for part in component.services + component.needs)]
    program = component.airflow or Program(description="", command="")
    conditions += [named.when for named in program.credentials + program.uses]
    conditions += [program.runs_tasks] if program.runs_tasks else []
    yield from (name for when in conditions for name in (when.set, when.unset))
    yield from (name for service in component.services for name in (service.port, service.extra_clients))
    yield from (need.connections.each for need in component.needs)
    secrets = tuple(entry.secret for entry in component.inputs)
    yield from (
        name
        for text in component.owns + component.units + component.probe.certificates + secrets
        for name in _REPLACED.findall(text)
    )
    yield component.listed.partition(".")[0]
    yield program.shows
    yield from (component.instances, component.address, component.placement.external, component.placement.plain)


def filled(patterns: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return units or paths with the values of the site's variables in them."""
    return [_REPLACED.sub(lambda match: str(values[match[1]]), pattern) for pattern in patterns]


def read_component(name: str, entry: object) -> Component:
    """Return an entry of the registry by its name and the content of its file; raise RegistryError for a bad one."""
    place = f"registry/{name}.yml"
    if isinstance(entry, Mapping):
        entry = {key: item for key, item in entry.items() if key != "variables"}
    if not _NAME.fullmatch(name):
        raise RegistryError(f"{place}: a component's name has lower-case letters, digits and _ only")
    given = _with_when(keys_of(entry, place, Component, "role", "tier"), place)
    if bool(given.get("group")) == bool(given.get("beside")):
        raise RegistryError(f"{place} has either a 'group' or 'beside'")
    services = given.get("services", {})
    if not isinstance(services, Mapping):
        raise RegistryError(f"{place}.services must be a mapping, found {type(services).__name__}")
    parts = {
        "beside": tuple(map(str, _items(given.get("beside", []), f"{place}.beside"))),
        "units": tuple(map(str, _items(given.get("units", []), f"{place}.units"))),
        "owns": tuple(map(str, _items(given.get("owns", []), f"{place}.owns"))),
        "services": tuple(_service(str(key), item, f"{place}.services.{key}") for key, item in services.items()),
        "needs": tuple(
            _need(item, f"{place}.needs[{index}]")
            for index, item in enumerate(_items(given.get("needs", []), f"{place}.needs"))
        ),
        "leader_probe": LeaderProbe(**keys_of(given.get("leader_probe", {}), f"{place}.leader_probe", LeaderProbe)),
        "inputs": _inputs(given["role"], given.get("inputs", {}), f"{place}.inputs"),
        "memory": Memory(**keys_of(given.get("memory", {}), f"{place}.memory", Memory)),
        "placement": Placement(**keys_of(given.get("placement", {}), f"{place}.placement", Placement)),
        "probe": _probe(given.get("probe", {}), f"{place}.probe"),
        "airflow": _program(given["airflow"], f"{place}.airflow") if "airflow" in given else None,
    }
    component = Component(name=name, **given | parts)
    if bad := [path for path in component.owns if not path.startswith(("/", "{")) or ".." in path]:
        raise RegistryError(f"{place}.owns: {bad[0]!r} is no absolute path")
    if unknown := set(component.probe.ports) - {service.name for service in component.services}:
        raise RegistryError(f"{place}.probe.ports names {min(unknown)!r}, which is no service of it")
    if component.probe.path and not component.services:
        raise RegistryError(f"{place}.probe.path needs a service at whose port it is asked")
    if component.listed and not _LISTED.fullmatch(component.listed):
        raise RegistryError(f"{place}.listed is {component.listed!r}; write a variable and a key as 'site_list.key'")
    _one_of(component.endpoint, ENDPOINTS, f"{place}.endpoint")
    _one_of(component.stage, ("", *STAGES), f"{place}.stage")
    _leader_probe(component, place)
    return component


def read_registry(entries: Mapping[str, object], declared: Collection[str]) -> dict[str, Component]:
    """Return the components by name; raise RegistryError for a bad entry.

    Bad is also one that needs what nobody offers, or names a variable that is not among those that are declared.
    """
    registry = {name: read_component(name, entries[name]) for name in sorted(entries)}
    for component in registry.values():
        if undeclared := sorted({*variables(component)} - {"", *declared}):
            raise RegistryError(f"registry/{component.name}.yml names {undeclared[0]}, which registry/site.yml lacks")
    offered = {service.name for component in registry.values() for service in component.services}
    for component in registry.values():
        for problem in _unknown(component, registry, offered):
            raise RegistryError(f"registry/{component.name}.yml{problem}")
    return registry


def _unknown(component: Component, registry: Collection[str], offered: Collection[str]) -> Iterator[str]:
    """Yield what an entry names and no other one has, after the name of its file."""
    for name in sorted({*component.beside, component.wanted_by} - {"", SITE, *registry}):
        yield f" names '{name}', which is no component"
    for need in component.needs:
        if need.service and need.service not in offered:
            yield f" needs '{need.service}', which nobody offers"
    for entry in component.inputs:
        if entry.kind in _OF_SERVICES and entry.service not in offered:
            yield f".inputs.{entry.name} is of '{entry.service}', no service"
        if entry.view and entry.view not in VIEWS:
            yield f".inputs.{entry.name}.view is '{entry.view}'; allowed are {', '.join(VIEWS)}"
    for service in component.services:
        if service.hidden_behind and service.hidden_behind not in registry:
            yield f".services.{service.name}.hidden_behind is no component: '{service.hidden_behind}'"
