"""A DAG whose tasks wait, in a queue whose workers follow the load."""

from __future__ import annotations

import time
from datetime import datetime

from airflow.sdk import DAG, task

with DAG(
    "airstrip_elastic",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"tasks": 300, "seconds": 5},
    max_active_tasks=1000,
    default_args={"queue": "elastic", "retries": 0},
    render_template_as_native_obj=True,
):

    @task
    def numbers(count: int) -> list[int]:
        """Return the numbers of the tasks."""
        return list(range(count))

    @task
    def wait(number: int, seconds: float) -> int:
        """Wait."""
        time.sleep(seconds)
        return number

    wait.partial(seconds="{{ params.seconds }}").expand(number=numbers("{{ params.tasks }}"))
