"""dbt by Cosmos: each model is a task of its own.

Wants the package astronomer-cosmos in Airflow's release:

airflow_release_extra_packages: [astronomer-cosmos==1.15.1]

Cosmos runs the dbt of /opt/dbt (ExecutionMode.LOCAL), and writes a profile of its own from the connection `dbt`.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from cosmos import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, LoadMode
from cosmos.profiles import PostgresUserPasswordProfileMapping

PROJECT = Path("/opt/dbt-project/current/app")
PROGRAM = "/opt/dbt/current/venv/bin/dbt"

dbt_cosmos = DbtDag(
    dag_id="dbt_cosmos",
    schedule=None,
    catchup=False,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    tags=["example", "dbt"],
    project_config=ProjectConfig(PROJECT),
    profile_config=ProfileConfig(
        profile_name="shop",
        target_name="prod",
        profile_mapping=PostgresUserPasswordProfileMapping(conn_id="dbt", profile_args={"schema": "public"}),
    ),
    execution_config=ExecutionConfig(execution_mode=ExecutionMode.LOCAL, dbt_executable_path=PROGRAM),
    # The DAG processor reads the project's files and runs no dbt.
    render_config=RenderConfig(load_method=LoadMode.CUSTOM),
)
