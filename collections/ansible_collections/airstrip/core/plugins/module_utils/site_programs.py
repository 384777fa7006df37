"""The components of Airflow as the role airflow runs them on a host: made from the registry and the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils import site_sizing as sizing
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component, Named, Program

_UNITS = "/etc/systemd/system"


def programs(site: Site, host: str) -> dict[str, dict[str, Any]]:
    """Return the components of Airflow on a host by name, in the order of the registry.

    name          of the component
    unit          name of its unit, without `.service`, and without `@NAME`
    description   of the unit
    command       arguments of `airflow`
    credentials   names of the secrets that it needs
    uses          what the role adds, see site_registry.PARTS
    runs_tasks    whether its processes run tasks
    stop_timeout  seconds that it has to stop, if they do not
    memory_bound  percent of the host's memory that it may take, 0 for no bound
    drain, probe  as in the registry
    instances     its units on this host, see `_instances`
    installed     these, and those that are started and stopped as they are wanted
    """
    return {
        entry.name: _row(site, host, entry, entry.airflow)
        for entry in site.components.values()
        if entry.airflow and host in site.placed[entry.name]
    }


def _row(site: Site, host: str, entry: Component, program: Program) -> dict[str, Any]:
    unit = entry.units[0].removesuffix(".service").partition("@")[0]
    # All of a kind that may serve logs are told when nobody asks for them.
    silent = any(service.kind == "logs" for service in entry.services) and site.logs(host) != "served"
    fixed = _instances(site, host, entry, unit, elastic=False)
    return {
        "name": entry.name,
        "unit": unit,
        "description": program.description,
        "command": program.command + (" --skip-serve-logs" if silent else ""),
        "credentials": _holding(site, program.credentials),
        "uses": _holding(site, program.uses),
        "runs_tasks": bool(program.runs_tasks and program.runs_tasks.hold(site.variables)),
        "stop_timeout": program.stop_timeout,
        "memory_bound": sizing.memory_bound(site, host, entry.name),
        "drain": program.drain,
        "probe": asdict(entry.probe),
        "instances": fixed,
        "installed": fixed + (_instances(site, host, entry, unit, elastic=True) if entry.instances else []),
    }


def _holding(site: Site, names: Iterable[Named]) -> list[str]:
    return [name.name for name in names if name.when.hold(site.variables)]


def _instances(site: Site, host: str, entry: Component, unit: str, *, elastic: bool) -> list[dict[str, Any]]:
    """Return the units of a component on a host.

    unit          its name, without `.service`
    path          of the unit
    directory     name of its own directory in AIRFLOW_HOME
    arguments     what it has after the component's command
    unit_options  its own options of [Service]
    name, node    of a worker: its name, and Celery's name of it
    set           name in site_workers, which several instances have in common if it scales
    part_of       unit with which one that is elastic stops and restarts; else empty
    shows         of what looks at workers: the name of their set
    """
    if not entry.instances:
        shows = entry.airflow.shows if entry.airflow else ""
        more = {"shows": str(site.hosts[host].variables[shows])} if shows else {}
        return [_instance(unit, arguments="", unit_options={}, part_of="", **more)]
    found = site.more_instances(entry.name, host) if elastic else site.instances(entry.name, host)
    workers = [item for item in found if item.get("name") and item.get("queues")]
    names = site.hosts[host].names
    node = {"host": names[-1] if names else host, "slots": sizing.concurrency(site, host)}
    return [
        _worker(unit, worker, node, first=index == 0 and not elastic, elastic=elastic)
        for index, worker in enumerate(workers)
    ]


def _instance(unit: str, **more: Any) -> dict[str, Any]:
    directory = unit.removeprefix("airflow-").replace("@", "-")
    return {"unit": unit, "path": f"{_UNITS}/{unit}.service", "directory": directory, **more}


def _worker(
    unit: str, worker: Mapping[str, Any], host: Mapping[str, Any], *, first: bool, elastic: bool
) -> dict[str, Any]:
    """Return a worker. The log server's port is one for all of a site, so only the first of a host can have it.

    It serves the logs of all, which lie in one directory.
    """
    name, node = str(worker["name"]), f"{worker['name']}@{host['host']}"
    queues, own = worker["queues"], worker.get("unit_options")
    # What is none of these has its own check, which needs a model.
    served = ",".join(map(str, queues if isinstance(queues, (list, tuple)) else [queues]))
    arguments = f" --queues {served} --celery-hostname {node}"
    arguments += _slots(worker, host["slots"]) + ("" if first else " --skip-serve-logs")
    # Whoever starts an elastic one waits longer after each failure.
    options = dict(own if isinstance(own, Mapping) else {}) | ({"Restart": "no"} if elastic else {})
    together = str(worker.get("set") or name)
    part_of = f"{unit}@{together}-1.service" if elastic else ""
    return _instance(
        f"{unit}@{name}",
        arguments=arguments,
        unit_options=options,
        name=name,
        node=node,
        set=together,
        part_of=part_of,
    )


def _slots(worker: Mapping[str, Any], default: int) -> str:
    """Return the option for a worker's slots. Celery wants the upper bound of autoscale first."""
    if isinstance(scale := worker.get("autoscale"), Mapping) and {"min", "max"} <= set(scale):
        return f" --autoscale {scale['max']},{scale['min']}"
    return f" --concurrency {worker.get('concurrency', default)}"
