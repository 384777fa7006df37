"""DAGs whose tasks take too much memory, once, or nothing but time."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, get_current_context, task

STEP_MB = 64

with DAG(dag_id="airstrip_greedy", schedule=None, is_paused_upon_creation=False):

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def greedy() -> str:
        """Take memory until the kernel has no more, at the first try."""
        if get_current_context()["ti"].try_number > 1:
            return "modest by now"
        taken = []
        while True:
            taken.append(b"x" * (STEP_MB << 20))
            print(f"airstrip: {len(taken) * STEP_MB} MB")  # noqa: T201 - its log

    greedy()


with DAG(dag_id="airstrip_patient", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def patient() -> int:
        """Return the process's id once there is a certain file beside this one."""
        while not Path(__file__).with_name("airstrip_patient_no_longer").exists():
            time.sleep(0.5)
        return os.getpid()

    patient()
