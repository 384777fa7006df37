"""Filter: the units of a host's Celery workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def _slots(worker: Mapping[str, Any], default: int) -> str:
    """Return the option for a worker's slots. Celery wants the upper bound of autoscale first."""
    if "autoscale" in worker:
        return f" --autoscale {worker['autoscale']['max']},{worker['autoscale']['min']}"
    return f" --concurrency {worker.get('concurrency', default)}"


def _instance(worker: Mapping[str, Any], host: Mapping[str, Any], first: bool) -> dict[str, Any]:
    name = worker["name"]
    node = f"{name}@{host['host']}"
    arguments = f" --queues {','.join(worker['queues'])} --celery-hostname {node}"
    arguments += _slots(worker, host["concurrency"]) + ("" if first else " --skip-serve-logs")
    return {
        "name": name,
        "unit": f"airflow-worker@{name}",
        "node": node,
        "arguments": arguments,
        "unit_options": dict(worker.get("unit_options", {})),
    }


def airflow_worker_instances(workers: Sequence[Mapping[str, Any]], host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each of `workers` (site_workers) its unit, its Celery node name and its arguments.

    `host` has `host`, the name in the node names, and `concurrency`, the slots of a worker that sets none. Only the
    first worker serves logs: the port is one for all workers of a site, and the log directory is one for the host.
    Raises AnsibleFilterError for a worker without a name or queues.
    """
    for worker in workers:
        if not worker.get("name") or not worker.get("queues"):
            raise AnsibleFilterError(f"site_workers: every worker needs a name and queues; found {dict(worker)}.")
    return [_instance(worker, host, index == 0) for index, worker in enumerate(workers)]


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"airflow_worker_instances": airflow_worker_instances}
