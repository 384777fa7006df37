"""dbt by plain operators: nothing of dbt is in Airflow's own environment.

The password of dbt's database comes from the connection `dbt` of Airflow's. It reaches the process in its environment,
which other users of the host cannot read, and Airflow masks it in logs and in what it shows of the task.
"""

from __future__ import annotations

import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

# dbt writes there what it makes of the project, which is root's.
STATE = "${TMPDIR:-/tmp}/dbt-{{ dag_run.dag_id }}"

with DAG(
    "dbt_bash",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    tags=["example", "dbt"],
):
    previous = None
    for verb in ("seed", "run", "test"):
        task = BashOperator(
            task_id=verb,
            bash_command=f'export DBT_TARGET_PATH="{STATE}/target" DBT_LOG_PATH="{STATE}/logs"; '
            f"/usr/local/bin/dbt --no-use-colors {verb}",
            env={"DBT_ENV_SECRET_PASSWORD": "{{ conn.dbt.password }}"},
            append_env=True,
        )
        if previous:
            previous >> task
        previous = task
