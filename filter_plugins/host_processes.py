"""Filter: the processes of a host that open database connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _slots(worker: Mapping[str, Any], default: int) -> int:
    if "autoscale" in worker:
        return int(worker["autoscale"]["max"])
    return int(worker.get("concurrency", default))


def airflow_host_processes(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one entry per component of `host`, as airflow_connection_budget takes them.

    `host` has `components` (the keys of those that it runs), `api_server_workers`, `workers` (airflow_workers) and
    `concurrency` (the slots of a worker that sets none).
    """
    entries: list[dict[str, Any]] = []
    for component in host["components"]:
        if component == "worker":
            for worker in host["workers"]:
                slots = _slots(worker, host["concurrency"])
                entries.append({"component": "worker", "processes": 1, "concurrency": slots})
        elif component not in ("postgresql", "redis", "load_balancer"):
            processes = int(host["api_server_workers"]) if component == "api_server" else 1
            entries.append({"component": component, "processes": processes})
    return entries


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"airflow_host_processes": airflow_host_processes}
