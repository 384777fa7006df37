"""
How many PostgreSQL connections the whole site can open, added up from its processes.

Every Airflow process has a SQLAlchemy pool of `[database] sql_alchemy_pool_size` + `sql_alchemy_max_overflow`
connections; an API server's worker has a second pool of the same size, of the async engine. The scheduler's health
server, if `[scheduler] enable_health_check` asks for it, is a process of its own that needs one more. A Celery worker
has no connection to the metadata database; on the results database each of its slots keeps one connection after its
first task, and the main process one. The scheduler reads the results over one connection and from
`[celery] sync_parallelism` processes.
Sources: Airflow's configuration reference and howto/set-up-database.rst; counts observed with Airflow 3.3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

_POOLS = {"api_server": 2, "scheduler": 1, "dag_processor": 1, "triggerer": 1, "worker": 0}
_HEALTH_SERVER = 1
_DEFAULTS = {"pool_size": 5, "max_overflow": 10, "reserved": 20, "extra": 0, "sync_parallelism": 1}
# PostgreSQL's own default; a smaller number saves next to nothing.
_MINIMUM = 100
_STEP = 10

Counts = dict[str, int]


def _count(value: object, what: str) -> int:
    number = int(value) if isinstance(value, (int, str)) and str(value).isdecimal() else -1
    if number < 0:
        raise AnsibleFilterError(f"airflow_connection_budget: {what} must be a whole number, 0 or more, not {value!r}")
    return number


def _entries(components: object) -> list[dict[str, Any]]:
    if isinstance(components, (str, bytes)) or not isinstance(components, Sequence):
        raise AnsibleFilterError(
            f"airflow_connection_budget: the components must be a list, found {type(components).__name__}"
        )
    entries = [as_mapping(entry, "airflow_connection_budget: each component") for entry in components]
    for entry in entries:
        if entry.get("component") not in _POOLS:
            raise AnsibleFilterError(
                f"airflow_connection_budget: unknown component {entry.get('component')!r}; known: {', '.join(_POOLS)}"
            )
    return entries


def _settings(settings: object) -> Counts:
    given = as_mapping(settings, "airflow_connection_budget: the settings")
    if unknown := sorted(set(given) - set(_DEFAULTS)):
        raise AnsibleFilterError(
            f"airflow_connection_budget: unknown setting '{unknown[0]}'; known are {', '.join(_DEFAULTS)}"
        )
    return {name: _count(given.get(name, default), name) for name, default in _DEFAULTS.items()}


def _metadata(entry: Mapping[str, Any], settings: Counts) -> int:
    pool = settings["pool_size"] + settings["max_overflow"]
    health = _HEALTH_SERVER if entry["component"] == "scheduler" else 0
    return _count(entry.get("processes", 1), "processes") * (pool * _POOLS[entry["component"]] + health)


def _results(entry: Mapping[str, Any], settings: Counts) -> int:
    processes = _count(entry.get("processes", 1), "processes")
    if entry["component"] == "worker":
        return processes * (_count(entry.get("concurrency"), "concurrency of a worker") + 1)
    if entry["component"] == "scheduler":
        return processes * (settings["sync_parallelism"] + 1)
    return 0


def airflow_connection_budget(components: object, settings: object) -> dict[str, Any]:
    """
    Add up the connections of all processes of the site and derive PostgreSQL's `max_connections`.

    Example: `[{'component': 'scheduler', 'processes': 1}] | airflow_connection_budget({'reserved': 5})`. Without any
    worker there is no results database. `max_connections` is the total rounded up to a multiple of 10, at least 100.
    Raises AnsibleFilterError on an unknown component or setting, a worker without concurrency, and wrong types.
    """
    entries, numbers = _entries(components), _settings(settings)
    celery = any(entry["component"] == "worker" for entry in entries)
    by_component: Counts = {}
    metadata = results = 0
    for entry in entries:
        first, second = _metadata(entry, numbers), _results(entry, numbers) if celery else 0
        metadata, results = metadata + first, results + second
        by_component[entry["component"]] = by_component.get(entry["component"], 0) + first + second
    sums = {"metadata": metadata, "results": results, "reserved": numbers["reserved"], "extra": numbers["extra"]}
    total = sum(sums.values())
    maximum = max(_MINIMUM, -(-total // _STEP) * _STEP)
    return sums | {"total": total, "max_connections": maximum, "by_component": dict(sorted(by_component.items()))}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"airflow_connection_budget": airflow_connection_budget}
