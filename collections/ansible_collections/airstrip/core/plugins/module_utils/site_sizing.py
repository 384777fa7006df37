"""How many tasks a host's workers run at once, what memory its components need, and the connections to the database.

Memory, measured with Airflow 3.3.2 (PSS, idle), stands in the registry: API server with one worker 255 MB and about
100 MB for each further gunicorn worker, scheduler 177, DAG processor 155, triggerer 265, Celery worker 596. A whole
single-VM installation took 1.4 GB at rest and 5 GB with 16 busy slots: 225 MB for a slot. 200 small tasks on two cores
took 72 s with 4 slots, 31 s with 16 and 24 s with 32: tasks wait more than they compute, and 8 slots for a core
(Airflow's default of 16 on two cores) is where more slots gain little. The operating system's 512 MB are what Debian's
installation guide recommends without a desktop. PostgreSQL's and the broker's are estimates: shared_buffers of 128 MB
and some 40 connections; a queue of messages of a few kB.

Connections: every Airflow process has a SQLAlchemy pool of `[database] sql_alchemy_pool_size` (5) and
`sql_alchemy_max_overflow` (10) connections; an API server's worker has a second pool of the same size, of the async
engine. A Celery worker has no connection to the metadata database. Sources: Airflow's configuration reference and
howto/set-up-database.rst; counts observed with Airflow 3.3.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_model import Host, Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component

_SYSTEM_MB = 512
_SLOTS_PER_CORE = 8
_MIN_SLOTS = 2
_MAX_SLOTS = 64
_POOL = 5 + 10
# Percent: of 2 GB, the least that a site runs on, a component needs more than this.
_LEAST_BOUND = 20


def _own_mb(entry: Component, host: Host, instances: int) -> int:
    """Return what a component takes; on a host that it shares, maybe a part of the memory."""
    share = host.memory_mb // entry.memory.share_of_host if entry.memory.share_of_host else 0
    return max(entry.memory.mb * instances, share)


def concurrency(site: Site, name: str) -> int:
    """Return the slots of an instance on a host that sets none: the fewer of what memory and cores allow, 2 to 64."""
    host = site.hosts[name]
    placed = [site.components[component] for component in site.of(name)]
    slotted = [entry for entry in placed if entry.memory.slot_mb]
    if not slotted:
        return _MIN_SLOTS
    count = max(1, sum(len(site.instances(entry.name, name)) for entry in slotted))
    taken = sum(_own_mb(entry, host, len(site.instances(entry.name, name))) for entry in placed)
    by_memory = (host.memory_mb - _SYSTEM_MB - taken) // max(entry.memory.slot_mb for entry in slotted)
    slots: int = min(by_memory, host.cores * _SLOTS_PER_CORE) // count
    return max(_MIN_SLOTS, min(_MAX_SLOTS, slots))


def slots_of(instance: Mapping[str, Any], default: int) -> int:
    """Return the slots of an instance: its own, the most of those between which it moves, or the default."""
    scale = instance.get("autoscale")
    own = scale.get("max") if isinstance(scale, Mapping) else instance.get("concurrency")
    # What is no number is refused by its own check.
    return own if isinstance(own, int) and not isinstance(own, bool) else default


def host_slots(site: Site, name: str) -> int:
    """Return the slots of all instances of a host, also of those that run when the site has as many as it may."""
    default = concurrency(site, name)
    return sum(
        slots_of(instance, default)
        for component in site.of(name)
        if site.components[component].memory.slot_mb
        for instance in site.all_instances(component, name)
    )


def memory_needed(site: Site, name: str) -> int:
    """Return the MB that a host needs with all of its slots busy."""
    entries = [site.components[component] for component in site.of(name)]
    own = sum(entry.memory.mb * len(site.all_instances(entry.name, name)) for entry in entries)
    return _SYSTEM_MB + own + host_slots(site, name) * max((entry.memory.slot_mb for entry in entries), default=0)


def memory_bound(site: Site, name: str, component: str) -> int:
    """Return the part of a host's memory, in percent, that a component may take: all that the others leave at rest.

    In steps of 5, so that the few MB by which two kernels differ change nothing; 0 where the memory is not known, or
    too little to bound anything by it.
    """
    host = site.hosts[name]
    others = [site.components[other] for other in site.of(name) if other != component]
    taken = _SYSTEM_MB + sum(_own_mb(entry, host, len(site.instances(entry.name, name))) for entry in others)
    left = (host.memory_mb - taken) * 100 // host.memory_mb if host.memory_mb else 0
    return left // 5 * 5 if left >= _LEAST_BOUND else 0


def _connections(site: Site) -> Iterator[tuple[str, str, int]]:
    """Yield component, login and number of connections, of each instance."""
    for entry in site.components.values():
        for need in site.needs(entry):
            for name in site.placed[entry.name]:
                default, asked = concurrency(site, name), need.connections
                times = int(site.hosts[name].variables[asked.each]) if asked.each else 1
                for instance in site.all_instances(entry.name, name) if need.login else ():
                    slots = asked.slots * slots_of(instance, default)
                    yield entry.name, need.login, times * (asked.pools * _POOL + asked.fixed + slots)


def budget(site: Site) -> dict[str, Any]:
    """Return how many connections to the database the site can open: in `total`, `by_login` and `by_component`."""
    by_login: dict[str, int] = {}
    by_component: dict[str, int] = {}
    for component, login, number in _connections(site):
        by_login[login] = by_login.get(login, 0) + number
        by_component[component] = by_component.get(component, 0) + number
    return {"total": sum(by_login.values()), "by_login": by_login, "by_component": by_component}
