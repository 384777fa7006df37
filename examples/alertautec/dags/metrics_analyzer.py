"""Publishes the seven metrics of the incidents."""

from __future__ import annotations

import datetime

from airflow.sdk import dag, task
from alertautec.aws import client
from alertautec.figures import metrics
from alertautec.incidents import Incidents


@dag(
    schedule="0 */6 * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "alertautec", "retries": 2, "retry_delay": datetime.timedelta(minutes=1)},
    tags=["alertautec"],
)
def metrics_analyzer() -> None:
    """Publish every 6 hours."""

    @task
    def publish() -> list[str]:
        """Return the names of the metrics."""
        found = metrics(list(Incidents().all()))
        client(client_type="cloudwatch").put_metric_data(Namespace="AlertaUTEC/Incidents", MetricData=found)
        return sorted({metric["MetricName"] for metric in found})

    publish()


metrics_analyzer()
