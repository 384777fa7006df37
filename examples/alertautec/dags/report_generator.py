"""Sends the report of the incidents."""

from __future__ import annotations

import datetime

import pendulum
from airflow.sdk import Variable, dag, task
from alertautec.aws import client
from alertautec.incidents import Incidents
from alertautec.report import page


@dag(
    # At 8 where its readers are.
    schedule="0 8 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="America/Lima"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "alertautec", "retries": 2, "retry_delay": datetime.timedelta(minutes=1)},
    tags=["alertautec"],
)
def report_generator() -> None:
    """Report daily at 8."""

    @task
    def send() -> str:
        """Return to whom it went."""
        # In the Parameter Store: /alerta-utec-airflow/variables/report_email
        address = str(Variable.get("report_email"))
        day = pendulum.now("America/Lima").to_date_string()
        html = page(list(Incidents().all()), day)
        client(client_type="ses").send_email(
            Source=address,
            Destination={"ToAddresses": [address]},
            Message={"Subject": {"Data": f"AlertaUTEC: incidents, {day}"}, "Body": {"Html": {"Data": html}}},
        )
        return address

    send()


report_generator()
