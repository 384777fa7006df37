"""DAGs that keep a site busy, so that there is something to see: tasks that work, wait, fail, and try again."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, get_current_context, task

BEGINNING = datetime(2026, 1, 1)


def busy(seconds: float) -> None:
    """Use a processor."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(10_000))


with DAG(
    "airstrip_load",
    schedule="* * * * *",
    start_date=BEGINNING,
    catchup=False,
    max_active_runs=2,
    default_args={"owner": "platform"},
):

    @task
    def work(seconds: float) -> None:
        """Work for some seconds."""
        busy(seconds)

    @task(retries=1, retry_delay=timedelta(seconds=5))
    def flaky() -> None:
        """Fail, and succeed at the second try."""
        instance = get_current_context()["ti"]
        if instance.try_number == 1:
            raise RuntimeError("the first try fails")

    @task
    def long() -> None:
        """Be there for longer than the time between two scrapes, which would not see a shorter one for hours."""
        time.sleep(45)

    later = TimeDeltaSensor(task_id="later", delta=timedelta(seconds=5), deferrable=True)
    work.override(task_id="first")(1) >> [work.override(task_id="second")(2), flaky(), later, long()]

with DAG(
    "airstrip_load_fails",
    schedule="*/2 * * * *",
    start_date=BEGINNING,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data"},
):

    @task
    def broken() -> None:
        """Fail."""
        busy(0.5)
        raise RuntimeError("this one always fails")

    broken()
