"""Plays the application: writes orders into its own database, `app`.

Where an application writes them, leave this file out.
"""

from __future__ import annotations

import datetime

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Param, dag, task

TABLE = """
CREATE TABLE IF NOT EXISTS orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL,
    country text NOT NULL,
    cents integer NOT NULL CHECK (cents > 0),
    placed_at timestamptz NOT NULL DEFAULT now()
)
"""
ORDERS = """
INSERT INTO orders (customer, country, cents)
SELECT 'customer-' || mod(number, 40), (ARRAY['DE', 'ES', 'FR', 'GB'])[1 + mod(number, 4)], 100 + mod(number * 37, 9900)
FROM generate_series(1, %s) AS number
RETURNING cents
"""


@dag(
    schedule=None,
    catchup=False,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    params={"orders": Param(200, type="integer", minimum=1, maximum=100_000)},
    tags=["example"],
)
def app_orders() -> None:
    """Write orders: as many as the run is told."""

    @task
    def place(orders: str) -> dict[str, int]:
        """Return how many orders were placed, and their cents."""
        hook = PostgresHook(postgres_conn_id="app")
        hook.run(TABLE)
        placed = hook.run(ORDERS, parameters=(int(orders),), handler=lambda cursor: cursor.fetchall())
        return {"orders": len(placed), "cents": sum(cents for (cents,) in placed)}

    place("{{ params.orders }}")


app_orders()
