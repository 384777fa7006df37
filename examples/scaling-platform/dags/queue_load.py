"""Work that does nothing, to see how a site takes it.

`queue_load` has more tasks than two workers have slots, in no pool: workers come, and go again. `queue_failures` has
tasks that fail, some each second, until somebody is told.
"""

from __future__ import annotations

import time
from datetime import timedelta

import task_log
from airflow.sdk import DAG, Param, task

TASKS = Param(64, type="integer", minimum=1, maximum=1000)
SECONDS = Param(60, type="integer", minimum=0, maximum=600)
ARGUMENTS = {**task_log.CALLBACKS, "retries": 0, "execution_timeout": timedelta(minutes=25)}


@task
def count(tasks: str) -> list[int]:
    """Return as many numbers as tasks are wanted."""
    return list(range(int(tasks)))


with DAG(
    dag_id="queue_load",
    description="Tasks that wait, on the queue etl.",
    schedule=None,
    is_paused_upon_creation=False,
    params={"tasks": TASKS, "seconds": SECONDS},
    default_args=ARGUMENTS,
):

    @task(queue="etl")
    def wait(_number: int, seconds: str) -> None:
        """Do nothing for a while."""
        time.sleep(int(seconds))

    wait.partial(seconds="{{ params.seconds }}").expand(_number=count("{{ params.tasks }}"))


with DAG(
    dag_id="queue_failures",
    description="Tasks that fail, on the queue light.",
    schedule=None,
    is_paused_upon_creation=False,
    params={"tasks": TASKS, "seconds": SECONDS},
    default_args=ARGUMENTS,
):

    @task(queue="light", max_active_tis_per_dagrun=8)
    def fail(number: int, seconds: str) -> None:
        """Fail after a while."""
        time.sleep(int(seconds))
        raise RuntimeError(f"task {number} fails, as it should")

    fail.partial(seconds="{{ params.seconds }}").expand(number=count("{{ params.tasks }}"))
