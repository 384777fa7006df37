"""The DAGs of the benchmarks. Nothing in them limits how much runs at once, but for the configuration."""

from __future__ import annotations

import time
from pathlib import Path

from airflow.sdk import DAG, task

WIDE = 200
CHAIN = 20
SLEEPERS = 80
HOLD = Path(__file__).with_name("bench_hold")
LIMIT = 300


def nothing(number: int) -> None:
    """Do nothing."""


def sleep(number: int) -> None:  # noqa: ARG001 what it is mapped over
    """Hold a slot until the benchmark has looked, which removes the file."""
    end = time.monotonic() + LIMIT
    while HOLD.exists() and time.monotonic() < end:
        time.sleep(0.5)


with DAG("bench_wide", schedule=None, catchup=False, is_paused_upon_creation=False):
    task(nothing).expand(number=list(range(WIDE)))

with DAG("bench_chain", schedule=None, catchup=False, is_paused_upon_creation=False):
    previous = None
    for index in range(CHAIN):
        step = task(task_id=f"step_{index}")(nothing)(index)
        if previous is not None:
            previous >> step
        previous = step

# This one is to fill all slots of a worker, whatever a DAG may have by default.
with DAG("bench_sleep", schedule=None, catchup=False, is_paused_upon_creation=False, max_active_tasks=SLEEPERS):
    task(sleep).expand(number=list(range(SLEEPERS)))
