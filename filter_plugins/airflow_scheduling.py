"""
Filter: how much the schedulers of a site hand out at once, and how soon a slot is free again, from the workers' slots.

Airflow's defaults suit 16 slots: `[core] parallelism` 32, `max_active_tasks_per_dag` 16, `[scheduler]
max_tis_per_query` 16. A slot that becomes free waits for the scheduler's next loop, unless a task lies in the broker
already; so as many again as there are slots are queued ahead. Each scheduler may fill the whole site, as another one
can fail. `max_tis_per_query` is the size of a batch under one lock; Airflow's reference advises against more than
`parallelism`, and 512 is where one transaction would hold the lock for long. `default_pool_task_slot_count` holds for
a new database only.

`[workers] min_heartbeat_interval` is also how long a slot may stay taken after its task has ended: the supervisor
sleeps that long in `select` when the task's sockets are closed a moment before its process is gone (of 3.1.7 to 3.3.2;
`_monitor_subprocess` in airflow/sdk/execution_time/supervisor.py). With Airflow's 5 s that befell a quarter of the
tasks of a host that was not busy. Each running task sends one heartbeat in an interval, so it grows with the slots.
Sources: Airflow's configuration reference; gains and costs are in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from ansible.errors import AnsibleFilterError

_DEFAULTS = {"parallelism": 32, "default_pool": 128}
_QUEUED_AHEAD = 2
_MAX_BATCH = 512
_HEARTBEATS_PER_SECOND = 40
_DEFAULT_HEARTBEAT_INTERVAL = 5


def airflow_scheduling(slots: int) -> dict[str, dict[str, int]]:
    """
    Return the options of airflow.cfg, by section, that keep `slots` slots busy.

    Example: `64 | airflow_scheduling` gives `{'core': {'parallelism': 128, ...}, 'scheduler': ..., 'workers': ...}`.
    No limit is below Airflow's default, no interval above it. Raises AnsibleFilterError if the number of slots is not a
    whole number from 0 on.
    """
    number = int(slots) if str(slots).isdecimal() else -1
    if number < 0:
        raise AnsibleFilterError(f"airflow_scheduling: the slots must be a whole number from 0 on, not {slots!r}")
    parallelism = max(_DEFAULTS["parallelism"], _QUEUED_AHEAD * number)
    return {
        "core": {
            "parallelism": parallelism,
            "max_active_tasks_per_dag": parallelism,
            "default_pool_task_slot_count": max(_DEFAULTS["default_pool"], parallelism),
        },
        "scheduler": {"max_tis_per_query": min(parallelism, _MAX_BATCH)},
        "workers": {
            "min_heartbeat_interval": min(max(1, ceil(number / _HEARTBEATS_PER_SECOND)), _DEFAULT_HEARTBEAT_INTERVAL)
        },
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_scheduling": airflow_scheduling}
