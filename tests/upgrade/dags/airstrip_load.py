"""What runs while a site is upgraded: chains of short tasks, and tasks that take their time."""

from __future__ import annotations

import time

from airflow.sdk import DAG, get_current_context, task

CHAINS, LINKS, LONG = 4, 50, 5

with DAG(dag_id="airstrip_short", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def short() -> None:
        """Take long enough for the chains to outlast the migration: what is measured is when the next one starts."""
        time.sleep(3)

    for chain in range(CHAINS):
        previous = short.override(task_id=f"short_{chain}_0")()
        for link in range(1, LINKS):
            following = short.override(task_id=f"short_{chain}_{link}")()
            previous >> following
            previous = following

with DAG(dag_id="airstrip_long", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def long(number: int) -> int:
        """Sleep as long as the run's configuration says, in seconds."""
        time.sleep((get_current_context()["dag_run"].conf or {})["seconds"])
        return number

    long.expand(number=list(range(LONG)))
