"""Worker sets that follow the load: what `scale` of an entry of site_workers means, and what is wrong with it.

Its keys, all of them of the set on the whole site, and equal on all of its hosts:
  min, max              instances, 1 to 500; each host of the set always runs one, so there are no fewer than hosts
  target                tasks for each instance, above 0
  longest_task_seconds  no task takes longer: what stops has as much time, by airflow_worker_stop_timeout
  counted               all: tasks that are queued and that run; or waiting: those that are queued. By default all
  per_host              instances that a host may run; by default twice its share of max, if all hosts were alike
  cpu, memory           percent of the hosts' use above which more are wanted while tasks wait; 70 and 80
  host_cpu, host_memory percent of a host's use above which it takes no more; 90 and 85. 100 is never reached
  up, down              mappings with `percent` and `instances`: by the greater of both it may change within `seconds`;
                        `stabilization`: seconds over which it looks back, so that the least of them counts on the way
                        up, and the most on the way down; and `cooldown`: seconds without a change after one that way.
                        By default 100, 2, 30, 0 and 0, and 50, 1, 60, 300 and 0

The words and numbers are those of Kubernetes' HorizontalPodAutoscaler (its `behavior`, policies and
stabilizationWindowSeconds), whose formula for use this is, too: instances x use / limit, rounded up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import Host as Share
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import share

_MOST = 500
_SECONDS = 86400
DEFAULTS: Mapping[str, Any] = {
    "counted": "all",
    "cpu": 70,
    "memory": 80,
    "host_cpu": 90,
    "host_memory": 85,
    "up": {"percent": 100, "instances": 2, "seconds": 30, "stabilization": 0, "cooldown": 0},
    "down": {"percent": 50, "instances": 1, "seconds": 60, "stabilization": 300, "cooldown": 0},
}
_REQUIRED = ("min", "max", "target", "longest_task_seconds")
_COUNTED = ("all", "waiting")


def queues_of(row: Mapping[str, Any]) -> list[str]:
    """Return the queues of an entry; none of what is no list, which has its own check."""
    given = row.get("queues")
    return sorted(map(str, given)) if isinstance(given, list) else []


def is_whole(value: object, least: int, most: int) -> bool:
    """Tell whether a value is a whole number within bounds."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def scale_of(worker: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an entry's `scale` with all keys; None if it has none, or one that its own check refuses."""
    given = worker.get("scale")
    if not isinstance(given, Mapping) or next(_problems(given), None):
        return None
    steps = {way: {**DEFAULTS[way], **given.get(way, {})} for way in ("up", "down")}
    return {**DEFAULTS, **given, **steps}


def _problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the values of a `scale`."""
    yield from _keys(given, {*DEFAULTS, *_REQUIRED, "per_host"}, "scale")
    for key in _REQUIRED:
        if key not in given:
            yield f"has no scale.{key}. Set it"
    yield from _numbers(given, dict.fromkeys(("min", "max", "per_host"), (1, _MOST)), "scale")
    yield from _numbers(given, {"longest_task_seconds": (1, 365 * _SECONDS)}, "scale")
    yield from _numbers(given, dict.fromkeys(("cpu", "memory", "host_cpu", "host_memory"), (1, 100)), "scale")
    target = given.get("target", 1)
    if isinstance(target, bool) or not isinstance(target, (int, float)) or not 0 < target < float("inf"):
        yield f"has scale.target {target!r}. Set it to the tasks for each instance, above 0"
    if given.get("counted", "all") not in _COUNTED:
        yield f"has scale.counted {given['counted']!r}. Set it to {' or '.join(_COUNTED)}"
    for way in ("up", "down"):
        steps = given.get(way, {})
        if not isinstance(steps, Mapping):
            yield f"has scale.{way} that is no mapping. Give it percent, instances and seconds"
            continue
        yield from _keys(steps, set(DEFAULTS[way]), f"scale.{way}")
        bounds = {"percent": (0, 10000), "instances": (0, _MOST), "seconds": (10, _SECONDS)}
        yield from _numbers(steps, bounds | dict.fromkeys(("stabilization", "cooldown"), (0, _SECONDS)), f"scale.{way}")
        both = {**DEFAULTS[way], **steps}
        if both["percent"] == 0 and both["instances"] == 0:
            yield f"has scale.{way} with percent 0 and instances 0, so it never changes. Set one of them"
    least, most = given.get("min"), given.get("max")
    if is_whole(least, 1, _MOST) and is_whole(most, 1, _MOST) and least > most:  # type: ignore[operator]
        yield f"has scale.min {least} above scale.max {most}. Exchange them"


def _keys(given: Mapping[str, Any], known: set[str], place: str) -> Iterator[str]:
    for key in sorted(set(map(str, given)) - known):
        yield f"has the unknown key {place}.{key}. Known are {', '.join(sorted(known))}"


def _numbers(given: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]], place: str) -> Iterator[str]:
    for key, (least, most) in bounds.items():
        if key in given and not is_whole(given[key], least, most):
            yield f"has {place}.{key} {given[key]!r}. Set it to a whole number from {least} to {most}"


def worker_problems(worker: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with an entry of site_workers that scales, without the rest of the site."""
    given = worker.get("scale")
    if given is None:
        return
    if not isinstance(given, Mapping):
        yield "has a scale that is no mapping. Give it min, max, target and longest_task_seconds"
        return
    if worker.get("autoscale") is not None:
        yield "has both scale and autoscale. Keep scale, and set concurrency"
    elif not is_whole(worker.get("concurrency"), 1, 10**4):
        yield "has a scale and no concurrency. Set concurrency: an instance has as many slots on each host"
    yield from _problems(given)


Sets = Mapping[str, Mapping[str, Mapping[str, Any]]]


def sets_of(workers: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the entries that scale by the name of the set and the host, from those of each host; in order."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for host, rows in workers.items():
        for row in rows:
            if scale_of(row) and row.get("name"):
                found.setdefault(str(row["name"]), {})[host] = row
    return found


def shares(rows: Mapping[str, Mapping[str, Any]], weight: Callable[[str], float]) -> list[Share]:
    """Return the hosts of a set with what always runs there, and the most that may, by their weight."""
    scale = scale_of_set(rows)
    double = min(scale["max"], 2 * -(-scale["max"] // len(rows)))
    most = min(_MOST, scale.get("per_host", double))
    hosts = [Share(host, max(weight(host), 0.1), 1, most) for host in rows]
    fixed = share(scale["min"], hosts)
    return [Share(host.name, host.weight, fixed[host.name], max(most, fixed[host.name])) for host in hosts]


def scale_of_set(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the `scale` of a set by its hosts, which is the same on all of them."""
    return scale_of(next(iter(rows.values()))) or {}


def least_of(rows: Mapping[str, Mapping[str, Any]]) -> int:
    """Return how many instances a set always has: one on each host, if `min` is less."""
    return max(int(scale_of_set(rows)["min"]), len(rows))


def instance_of(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return an instance of an entry that scales, as an entry without: `set` has the name of all of them."""
    plain = {key: item for key, item in row.items() if key != "scale"}
    return {**plain, "name": f"{row['name']}-{number}", "set": str(row["name"])}


def rules_of(name: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a set as the rules of Prometheus need it: its `scale`, and `name`, `queues`, `hosts` and `units`.

    These three are regular expressions (RE2) of the names.
    """
    first = next(iter(rows.values()))
    return {
        **scale_of_set(rows),
        "min": least_of(rows),
        "name": name,
        "queues": "|".join(re.escape(str(queue)) for queue in queues_of(first)),
        "hosts": "|".join(map(re.escape, rows)),
        "units": rf"airflow-worker@{re.escape(name)}-[0-9]+\.service",
        "first": f"airflow-worker@{name}-1.service",
    }


def set_here(name: str, rows: Mapping[str, Mapping[str, Any]], hosts: Sequence[Share], host: str) -> dict[str, Any]:
    """Return a set as the program airstrip-worker-scale takes it on a host, see its Set."""
    scale, own = scale_of_set(rows), next(each for each in hosts if each.name == host)
    return {
        "name": name,
        "least": least_of(rows),
        "most": scale["max"],
        "hosts": [asdict(each) for each in hosts],
        "first": f"airflow-worker@{name}-1.service",
        "units": [f"airflow-worker@{name}-{number}.service" for number in range(own.fixed + 1, own.most + 1)],
    }
