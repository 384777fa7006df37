"""
PostgreSQL settings from memory, cores, disk and the number of connections.

Formulas and their sources (all sizes in kB inside this file):
- shared_buffers, memory / 4: PostgreSQL documentation, runtime-config-resource ("a reasonable starting value").
- effective_cache_size, 3/4 of memory: PGTune (le0pard/pgtune, configurationSlice.js, type "web").
- maintenance_work_mem, memory / 16 as PGTune, but at most 1 GB before PostgreSQL 17, as VACUUM cannot use more for
  its dead tuples (documentation of maintenance_work_mem), and 2 GB from 17 on, since each of the three autovacuum
  workers may take as much (autovacuum_work_mem).
- work_mem: PGTune shares the memory that is left among max_connections + max_worker_processes with three sorts each.
  We subtract the autovacuum workers' memory as well, and have no floor of 4 MB, so that this bound always holds:
  shared_buffers + 3 * maintenance_work_mem + 3 * (max_connections + max_worker_processes) * work_mem <= memory.
- wal_buffers, shared_buffers / 32 between 64 kB and 16 MB: documentation of its automatic value (-1).
- min_wal_size 1 GB, max_wal_size 4 GB, random_page_cost, effective_io_concurrency: PGTune, type "web". On hard disks
  PostgreSQL 18 keeps its new default of 16 (release notes of 18).
- checkpoint_completion_target 0.9: PostgreSQL's default since 14.
- Parallel workers: PGTune, at most half the cores and four for one query. More than cores gains nothing, so this holds
  below four cores too. max_worker_processes is at least its default of 8, which extensions and replication share.
- Nothing on autovacuum: Airflow documents no need to depart from its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

_MB = 1024
_GB = 1024 * _MB
_VERSIONS = range(15, 19)
_MINIMUM_MEMORY_MB = 128
_MINIMUM_WORK_MEM = 64
_AUTOVACUUM_WORKERS = 3
_OPERATIONS_PER_QUERY = 3
_DEFAULT_WORKER_PROCESSES = 8
_MAX_PARALLEL_PER_QUERY = 4
_VACUUM_ABOVE_1GB = 17
_NEW_IO_DEFAULT = 18
_RANDOM_PAGE_COST = {"ssd": "1.1", "hdd": "4.0"}


def _size(kilobytes: int) -> str:
    """Write a size in the largest unit that keeps it whole, as PostgreSQL shows it."""
    for unit, factor in (("GB", _GB), ("MB", _MB)):
        if kilobytes % factor == 0:
            return f"{kilobytes // factor}{unit}"
    return f"{kilobytes}kB"


def _whole(value: object, what: str, minimum: int) -> int:
    number = int(value) if isinstance(value, (int, str)) and str(value).isdecimal() else -1
    if number < minimum:
        raise AnsibleFilterError(f"postgresql_sizing: {what} must be a whole number from {minimum} on, not {value!r}")
    return number


def _checked(host: object) -> tuple[int, int, int, str]:
    if not isinstance(host, Mapping):
        raise AnsibleFilterError(f"postgresql_sizing: the host must be a mapping, found {type(host).__name__}")
    version = _whole(host.get("version"), "version", 1)
    disk = host.get("disk")
    if version not in _VERSIONS:
        raise AnsibleFilterError(
            f"postgresql_sizing: version must be {_VERSIONS[0]} to {_VERSIONS[-1]}, found {version}; "
            "set site_postgresql_version"
        )
    if disk not in _RANDOM_PAGE_COST:
        raise AnsibleFilterError(f"postgresql_sizing: disk must be ssd or hdd, found {disk!r}")
    memory = _whole(host.get("memory_mb"), "memory_mb", _MINIMUM_MEMORY_MB) * _MB
    return memory, _whole(host.get("cores"), "cores", 1), version, str(disk)


def _work_mem(memory: int, taken: int, processes: int) -> int:
    share = (memory - taken) // (processes * _OPERATIONS_PER_QUERY)
    if share < _MINIMUM_WORK_MEM:
        raise AnsibleFilterError(
            f"postgresql_sizing: {memory // _MB} MB of memory are too few for {processes} connections and workers; "
            "give PostgreSQL more memory or lower the number of connections"
        )
    return share


def _memory_settings(memory: int, processes: int, version: int) -> dict[str, str]:
    shared_buffers = memory // 4
    maintenance = min(memory // 16, (2 if version >= _VACUUM_ABOVE_1GB else 1) * _GB)
    taken = shared_buffers + _AUTOVACUUM_WORKERS * maintenance
    return {
        "shared_buffers": _size(shared_buffers),
        "effective_cache_size": _size(memory * 3 // 4),
        "maintenance_work_mem": _size(maintenance),
        "work_mem": _size(_work_mem(memory, taken, processes)),
        "wal_buffers": _size(max(64, min(16 * _MB, shared_buffers // 32))),
    }


def _parallel_settings(cores: int) -> dict[str, int]:
    per_query = min(_MAX_PARALLEL_PER_QUERY, -(-cores // 2))
    return {
        "max_worker_processes": max(_DEFAULT_WORKER_PROCESSES, cores),
        "max_parallel_workers": cores,
        "max_parallel_workers_per_gather": per_query,
        "max_parallel_maintenance_workers": per_query,
    }


def postgresql_sizing(host: object, connections: int) -> dict[str, str | int]:
    """
    Compute PostgreSQL's settings for a host and its number of connections.

    Example: `{'memory_mb': 4096, 'cores': 2, 'version': 17, 'disk': 'ssd'} | postgresql_sizing(100)` gives
    `{'shared_buffers': '1GB', ...}`. No setting shrinks when memory grows. Raises AnsibleFilterError on a missing
    or bad value, a version outside 15 to 18, and where memory does not suffice for the connections.
    """
    memory, cores, version, disk = _checked(host)
    maximum = _whole(connections, "the number of connections", 1)
    parallel = _parallel_settings(cores)
    return {
        "max_connections": maximum,
        **_memory_settings(memory, maximum + parallel["max_worker_processes"], version),
        **parallel,
        "min_wal_size": "1GB",
        "max_wal_size": "4GB",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": _RANDOM_PAGE_COST[disk],
        "effective_io_concurrency": 200 if disk == "ssd" else 16 if version >= _NEW_IO_DEFAULT else 2,
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"postgresql_sizing": postgresql_sizing}
