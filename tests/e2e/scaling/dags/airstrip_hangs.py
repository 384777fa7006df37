"""A DAG whose task outlives a hang of everything around it."""

from __future__ import annotations

import time

from airflow.sdk import DAG, get_current_context, task

with DAG("airstrip_hangs", schedule=None, catchup=False, is_paused_upon_creation=False):

    @task(retries=3)
    def sleeps() -> int:
        """Sleep for as long as the run says."""
        context = get_current_context()
        time.sleep(float((context["dag_run"].conf or {}).get("seconds", 1)))
        return int(context["ti"].try_number)

    sleeps()
