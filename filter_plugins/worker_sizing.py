"""
How many tasks a host's workers may run at once, and how much memory a set of components needs.

Measured with Airflow 3.3.2 (PSS, idle): API server with one worker 255 MB and about 100 MB for each further gunicorn
worker, scheduler 177, DAG processor 155, triggerer 265, Celery worker 596. A whole single-VM installation took 1.4 GB
at rest and 5 GB with 16 busy slots: 225 MB for a slot. 200 small tasks on two cores took 72 s with 4 slots, 31 s with
16 and 24 s with 32: tasks wait more than they compute, and 8 slots for a core (Airflow's default of 16 on two cores)
is where more slots gain little.
The operating system's 512 MB are what Debian's installation guide recommends without a desktop. PostgreSQL's and the
broker's shares are estimates: shared_buffers of 128 MB and some 40 connections; a queue of messages of a few kB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

_SYSTEM_MB = 512
_COMPONENT_MB = {
    "postgresql": 512,
    "redis": 128,
    "load_balancer": 64,
    "api_server": 355,
    "scheduler": 177,
    "dag_processor": 155,
    "triggerer": 265,
    "worker": 596,
}
_SLOT_MB = 225
_SLOTS_PER_CORE = 8
_MIN_SLOTS = 2
_MAX_SLOTS = 64


def _whole(value: object, what: str, minimum: int) -> int:
    number = int(value) if isinstance(value, (int, str)) and str(value).isdecimal() else -1
    if number < minimum:
        raise AnsibleFilterError(f"{what} must be a whole number from {minimum} on, not {value!r}")
    return number


def _components(value: object, what: str) -> list[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise AnsibleFilterError(f"{what} must be a list of components, found {type(value).__name__}")
    names = [str(name) for name in value]
    if unknown := [name for name in names if name not in _COMPONENT_MB]:
        raise AnsibleFilterError(f"{what}: unknown component '{unknown[0]}'; known are {', '.join(_COMPONENT_MB)}")
    return names


def _others_mb(components: Sequence[str], memory: int) -> int:
    """Add up what is not a worker's. PostgreSQL on a shared host may take a quarter of the memory."""
    taken = sum(_COMPONENT_MB[name] for name in components if name not in ("worker", "postgresql"))
    return taken + (max(_COMPONENT_MB["postgresql"], memory // 4) if "postgresql" in components else 0)


def airflow_worker_sizing(host: object, share: object) -> dict[str, int]:
    """
    Compute the slots of each worker instance on a host and the memory that such an instance takes when busy.

    Example: `{'memory_mb': 8192, 'cores': 2} | airflow_worker_sizing({'components': ['worker'], 'instances': 1})`
    gives `{'concurrency': 16, 'memory_mb': 4196}`. `components` are all on this host. Slots are the fewer of what
    memory and cores allow, 2 to 64 for an instance. Raises AnsibleFilterError on missing or bad values.
    """
    given, part = (
        as_mapping(host, "airflow_worker_sizing: the host"),
        as_mapping(share, "airflow_worker_sizing: the share"),
    )
    memory = _whole(given.get("memory_mb"), "airflow_worker_sizing: memory_mb", 1)
    cores = _whole(given.get("cores"), "airflow_worker_sizing: cores", 1)
    instances = max(1, _whole(part.get("instances"), "airflow_worker_sizing: instances", 0))
    components = _components(part.get("components"), "airflow_worker_sizing: components")
    left = memory - _SYSTEM_MB - _others_mb(components, memory) - instances * _COMPONENT_MB["worker"]
    slots = min(left // _SLOT_MB, cores * _SLOTS_PER_CORE) // instances
    concurrency = max(_MIN_SLOTS, min(_MAX_SLOTS, slots))
    return {"concurrency": concurrency, "memory_mb": _COMPONENT_MB["worker"] + concurrency * _SLOT_MB}


def airflow_memory_needed(components: object, slots: int) -> int:
    """
    Return the MB that a host needs for these components with `slots` tasks running on it at once.

    Example: `['worker'] | airflow_memory_needed(16)` gives 4708. A component that is listed twice counts twice, as
    two worker instances do. Raises AnsibleFilterError on unknown components and wrong types.
    """
    names = _components(components, "airflow_memory_needed: components")
    busy = _whole(slots, "airflow_memory_needed: slots", 0) * _SLOT_MB
    return _SYSTEM_MB + sum(_COMPONENT_MB[name] for name in names) + busy


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"airflow_worker_sizing": airflow_worker_sizing, "airflow_memory_needed": airflow_memory_needed}
