"""A DAG that shows, again and again, that a trigger fires and that each queue runs tasks; it leaves nothing behind."""

from __future__ import annotations

import json
import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, task

SETTINGS = json.loads((Path(__file__).parent / "canary.json").read_text())


def named_by(queue: str) -> str:
    """Return a task's id for a queue, whose name may have characters that an id may not."""
    name = re.sub("[^A-Za-z0-9_.-]", "_", queue)
    return f"queue_{name}" if name == queue else f"queue_{name}_{zlib.crc32(queue.encode()):08x}"


with DAG(
    dag_id="airstrip_canary",
    description="Airstrip: shows that triggers and queues work. site_canary_seconds: 0 turns it off.",
    schedule=timedelta(seconds=SETTINGS["seconds"]),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    # What a queue without a worker keeps, no further run joins.
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    is_paused_upon_creation=False,
    # Before all else that waits for a slot.
    default_args={"owner": "airstrip", "retries": 0, "priority_weight": 1_000_000, "weight_rule": "absolute"},
    tags=["airstrip"],
):
    # On the first queue: it takes a slot there until it waits.
    TimeDeltaSensor(task_id="trigger", delta=timedelta(seconds=1), deferrable=True, queue=SETTINGS["queues"][0])

    for queue in SETTINGS["queues"]:

        @task(task_id=named_by(queue), queue=queue)
        def on_queue() -> None:
            """Run on one queue."""

        on_queue()
