"""FreshPoC from end to end: each service is asked for its part of the work, one after the other.

The services are connections of Airflow's, so that each environment has its own, and this file is the same for all.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import requests
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Param
from statsd import StatsClient  # type: ignore[import-not-found,unused-ignore]

TRIES, TIMEOUT, PAUSE = 30, 3, 1
# The service has looked at what it was asked for, and will not do it.
REFUSED = 422


def hit(service: str, endpoint: str, **query: str) -> dict[str, object]:
    """Return what a service answers, once it is there and has done its work: within 30 tries of 3 s, 1 s apart."""
    hook, said = HttpHook(method="GET", http_conn_id=service), ""
    with StatsClient("127.0.0.1", 8125, prefix="airflow").timer(f"custom_task_duration,service={service}"):
        for _ in range(TRIES):
            try:
                answer = hook.run(endpoint, data=query, extra_options={"timeout": TIMEOUT, "check_response": False})
            except requests.exceptions.RequestException as error:
                said = type(error).__name__
            else:
                if answer.ok:
                    return dict(answer.json())
                said = f"{answer.status_code} {answer.text}"
                if answer.status_code == REFUSED:
                    raise AirflowFailException(f"{service} refuses {endpoint}: {said}")
            time.sleep(PAUSE)
    raise RuntimeError(f"{service} is not ready for {endpoint}: {said}")


with DAG(
    dag_id="FreshPoC_E2E",
    start_date=datetime(2025, 10, 3),
    schedule=None,  # by hand alone
    catchup=False,
    max_active_runs=1,
    tags=["poc", "local"],
    params={"repo": Param("https://github.com/dbt-labs/jaffle-shop-classic", type="string", format="uri")},
    default_args={
        "retries": 3,
        # 10 s, then twice as long each time.
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=30),
    },
) as dag:
    ingestion = PythonOperator(
        task_id="ingestion_trigger",
        python_callable=hit,
        op_args=["ingestion", "/trigger"],
        op_kwargs={"repo": "{{ params.repo }}"},
    )
    mining = PythonOperator(task_id="miner_run", python_callable=hit, op_args=["miner", "/run"])
    analyzing = PythonOperator(task_id="analyzer_run", python_callable=hit, op_args=["analyzer", "/run"])
    writing = PythonOperator(task_id="writer_apply", python_callable=hit, op_args=["writer", "/apply"])
    reporting = PythonOperator(task_id="report_generate", python_callable=hit, op_args=["reporting", "/generate"])

    ingestion >> mining >> analyzing >> writing >> reporting
