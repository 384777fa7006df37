"""
Filter: how much the schedulers of a site hand out at once, computed from the slots of its workers.

Airflow's defaults suit 16 slots: `[core] parallelism` 32, `max_active_tasks_per_dag` 16, `[scheduler]
max_tis_per_query` 16. A slot that becomes free waits for the scheduler's next loop, unless a task lies in the broker
already; so as many again as there are slots are queued ahead. Each scheduler may fill the whole site, as another one
can fail. `max_tis_per_query` is the size of a batch under one lock; Airflow's reference advises against more than
`parallelism`, and 512 is where one transaction would hold the lock for long. `default_pool_task_slot_count` holds for
a new database only. Sources: Airflow's configuration reference; gains are in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

_DEFAULTS = {"parallelism": 32, "default_pool": 128}
_QUEUED_AHEAD = 2
_MAX_BATCH = 512


def airflow_scheduling(slots: int) -> dict[str, dict[str, int]]:
    """
    Return the options of airflow.cfg, by section, that let the schedulers keep `slots` slots busy.

    Example: `64 | airflow_scheduling` gives `{'core': {'parallelism': 128, ...}, 'scheduler': {...}}`. No option is
    below Airflow's default. Raises AnsibleFilterError if the number of slots is not a whole number from 0 on.
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
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_scheduling": airflow_scheduling}
