"""App workers: programs of the users' beside Airflow. What an entry of site_app_workers means for the model.

name              of the app: lower-case letters, digits and hyphens; its user, units and directories have it
command           the program and its arguments, a list
runtime           python, nodejs or none
source            on the controller: a directory or an archive (.tar, .tar.gz, .tar.xz), or a mapping with `git` (a
URL), `ref` (a commit, tag or branch) and, if need be, `path` (a directory in it)
lock              file of the source that pins what is installed; requirements.txt or package-lock.json
hosts             hosts and groups of the inventory, among those of the group app_worker; by default all of them
instances         on each of its hosts; 1
scale             or as many as a series of Prometheus wants: see site_scale.py, with `series` in place of the queues
port              at which the first instance listens, those after it at the numbers that follow
clients           who may come from elsewhere: hosts and groups of the inventory, addresses and networks
health            what has to answer after a start: `http` (a path), `tcp` (true) or `command` (a list), and `seconds`
metrics           `path`, and `port` if they are not at the app's own
environment       variables by name
credentials       secrets by the name of the file in which the program finds them
resources         limits of systemd (MemoryMax, CPUQuota, ...)
read_write_paths  directories that it may write beside its own
unit_options      options of [Service] in place of the sandbox's, or beside them
stop_timeout      seconds that an instance has to end its work; 30
keep              old releases to keep; 2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_scale import scale_of, shares
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import Host as Share
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import share

# The component, and the variable with its apps.
COMPONENT, APPS = "app_worker", "site_app_workers"
STOP_TIMEOUT, KEEP, SECONDS = 30, 2, 30
MOST = 64

Entry = Mapping[str, Any]
Counts = Mapping[str, Share]


def entries(given: object) -> dict[str, Entry]:
    """Return the apps by name; those that are none, or whose name another one has, have their own check."""
    found: dict[str, Entry] = {}
    for row in given if isinstance(given, (list, tuple)) else ():
        if isinstance(row, Mapping) and isinstance(row.get("name"), str):
            found.setdefault(row["name"], row)
    return found


def hosts_of(row: Entry, placed: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the hosts of an app among those of the component."""
    named = row.get("hosts")
    if not isinstance(named, (list, tuple)):
        return list(placed)
    wanted = {str(host) for name in named for host in groups.get(str(name), [name])}
    return [host for host in placed if host in wanted]


def as_worker(row: Entry) -> dict[str, Any]:
    """Return what an entry of site_workers would be that scales like an app."""
    given = row.get("scale")
    if not isinstance(given, Mapping):
        return {"name": row.get("name"), "scale": given}
    scale = {key: item for key, item in given.items() if key != "series"}
    return {"name": row["name"], "concurrency": 1, "scale": {**scale, "longest_task_seconds": 1}}


def instances_of(row: Entry) -> int:
    """Return how many instances each host of an app that does not scale has."""
    given = row.get("instances", 1)
    return given if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= MOST else 1


def counts(row: Entry, hosts: Sequence[str], cores: Callable[[str], float]) -> dict[str, Share]:
    """Return for each host of an app how many instances always run there, and the most that may."""
    if hosts and row.get("scale") is not None and scale_of(as_worker(row)):
        return {each.name: each for each in shares(dict.fromkeys(hosts, as_worker(row)), cores)}
    return {host: Share(host, 1, instances_of(row), instances_of(row)) for host in hosts}


def fair(row: Entry, hosts: Counts) -> dict[str, int]:
    """Return what each host runs if the site has as many instances as it may."""
    scale = scale_of(as_worker(row)) if row.get("scale") is not None else None
    return share(scale["max"], list(hosts.values())) if scale else {name: each.fixed for name, each in hosts.items()}


def unit(name: str, number: int | str) -> str:
    """Return the unit of an instance."""
    return f"app-worker-{name}@{number}.service"


def port_of(row: Entry, number: int) -> int:
    """Return the port of an instance; 0 for an app without one."""
    return _port(row.get("port"), number)


def metrics_of(row: Entry, number: int) -> int:
    """Return the port at which an instance has its metrics; 0 for an app without."""
    given = row.get("metrics")
    return _port(given.get("port", row.get("port")), number) if isinstance(given, Mapping) else 0


def _port(base: object, number: int) -> int:
    return base + number - 1 if isinstance(base, int) and not isinstance(base, bool) and base > 0 else 0


def ports_of(row: Entry, number: int) -> Iterator[int]:
    """Yield the ports that an instance takes, each once."""
    yield from dict.fromkeys(port for port in (port_of(row, number), metrics_of(row, number)) if port)
