"""A DAG that takes every component of an Airstrip site through its paces; its tasks leave nothing behind."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, task

HERE = Path(__file__).parent
QUEUES = json.loads((HERE / "queues.json").read_text())
# By this tag the test knows that the DAG processor has read these very files.
VERSION = hashlib.sha256(Path(__file__).read_bytes() + (HERE / "queues.json").read_bytes()).hexdigest()[:12]


def named_by(queue: str) -> str:
    """Return a task's id for a queue, whose name may have characters that an id may not."""
    name = re.sub("[^A-Za-z0-9_.-]", "_", queue)
    return f"queue_{name}" if name == queue else f"queue_{name}_{zlib.crc32(queue.encode()):08x}"


with DAG(
    dag_id="airstrip_smoke_test",
    description="Airstrip: proves that every component does its work.",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    # Before all else that waits for a slot.
    default_args={"retries": 0, "priority_weight": 1_000_000, "weight_rule": "absolute"},
    tags=["airstrip", VERSION],
):

    @task
    def numbers() -> list[int]:
        """Return numbers through an XCom."""
        print("airstrip: numbers")
        return [1, 2, 3]

    @task
    def double(number: int) -> int:
        """Return twice a number, as one of several mapped tasks."""
        print(f"airstrip: double {number}")
        return 2 * number

    @task
    def total(doubled: list[int]) -> int:
        """Add up what the mapped tasks returned."""
        print(f"airstrip: total {sum(doubled)}")
        if sum(doubled) != 12:
            raise ValueError(f"expected 12, got {sum(doubled)}")
        return sum(doubled)

    waited = TimeDeltaSensor(task_id="defer", delta=timedelta(seconds=1), deferrable=True)
    added = total(double.expand(number=numbers()))

    for queue in QUEUES:

        @task(task_id=named_by(queue), queue=queue)
        def on_queue(name: str) -> str:
            """Run on one queue."""
            print(f"airstrip: queue {name}")
            return name

        on_queue(queue)
