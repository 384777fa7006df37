"""Orders become sums, by way of every component of a site: examples/kubernetes/README.md has the steps."""

from __future__ import annotations

import csv
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.providers.standard.hooks.filesystem import FSHook
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import DAG, Param, get_current_context, task

LOG = logging.getLogger(__name__)
TABLE = """
CREATE TABLE IF NOT EXISTS revenue (
    run_id text, customer text, orders integer NOT NULL, amount numeric NOT NULL, PRIMARY KEY (run_id, customer)
)
"""
# A task that is tried again writes the same rows.
ROW = """
INSERT INTO revenue VALUES (%(run_id)s, %(customer)s, %(orders)s, %(amount)s)
ON CONFLICT (run_id, customer) DO UPDATE SET orders = excluded.orders, amount = excluded.amount
"""


def orders(file: str) -> list[dict[str, str]]:
    """Return the lines of a file in the shared volume, by the names of their columns."""
    with (Path(FSHook("inbox").get_path()) / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


with DAG(
    dag_id="airflow_flow",
    description="Waits for a file of orders, and writes what each customer has bought.",
    schedule=None,
    is_paused_upon_creation=False,
    params={"file": Param("orders.csv", type="string", pattern=r"^[A-Za-z0-9_-]+\.csv$")},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
):
    # In the triggerer, without a slot of a worker, for an hour at most.
    arrived = FileSensor(
        task_id="wait_for_orders",
        fs_conn_id="inbox",
        filepath="{{ params.file }}",
        deferrable=True,
        poke_interval=5,
        timeout=3600,
    )

    @task
    def customers(file: str) -> list[str]:
        """Return who has ordered something."""
        found = sorted({order["customer"] for order in orders(file)})
        LOG.info("%s: %d customers", file, len(found))
        return found

    @task
    def add_up(customer: str, file: str) -> dict[str, Any]:
        """Add up what one customer has bought: as many tasks as customers, side by side."""
        amounts = [int(order["amount"]) for order in orders(file) if order["customer"] == customer]
        LOG.info("%s: %d orders, %d", customer, len(amounts), sum(amounts))
        return {"customer": customer, "orders": len(amounts), "amount": sum(amounts)}

    @task
    def store(sums: list[dict[str, Any]]) -> int:
        """Write the sums to PostgreSQL; return their number."""
        run_id = get_current_context()["run_id"]
        hook = PostgresHook("results")
        hook.run(TABLE)
        for row in sums:
            hook.run(ROW, parameters={"run_id": run_id, **row})
        LOG.info("%d rows", len(sums))
        return len(sums)

    file = "{{ params.file }}"
    listed = customers(file)
    arrived >> listed
    store(add_up.partial(file=file).expand(customer=listed))
