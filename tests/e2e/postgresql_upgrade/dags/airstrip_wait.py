"""A DAG whose task runs until it is told to end: through an upgrade, however long that takes."""

from __future__ import annotations

import time
from pathlib import Path

from airflow.sdk import DAG, task

with DAG(dag_id="airstrip_wait", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def wait() -> None:
        """Return once there is a certain file beside this one."""
        while not Path(__file__).with_name("airstrip_wait_no_longer").exists():
            time.sleep(0.5)

    wait()
