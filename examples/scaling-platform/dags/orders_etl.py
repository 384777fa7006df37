"""Orders are loaded, checked, added up by day, and looked ahead from; then the worker of Node.js gets a report.

Each kind of task has the queue of its size, and the pool of its kind. Whatever is repeated writes the same rows.
"""

from __future__ import annotations

import time
from datetime import timedelta
from statistics import linear_regression
from typing import Any

import task_log
from airflow import __version__
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, Param, get_current_context, task

# Each wait is twice the one before. Of 3.1 it is a switch, of later ones the factor.
BACKOFF = True if __version__.startswith("3.1.") else 2.0
PARTS = 4
TABLES = [
    """
    CREATE TABLE IF NOT EXISTS orders (
        run_id text, number integer, day integer NOT NULL, cents integer, PRIMARY KEY (run_id, number)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS revenue (
        run_id text, day integer, orders integer NOT NULL, cents bigint NOT NULL, PRIMARY KEY (run_id, day)
    )
    """,
    "CREATE TABLE IF NOT EXISTS forecast (run_id text PRIMARY KEY, day integer NOT NULL, cents bigint NOT NULL)",
]
# Plays the source: order number N is of day N % 10, and later days have larger ones.
LOAD = """
INSERT INTO orders
SELECT %(run_id)s, number, number %% 10, 1000 + 100 * (number %% 10)
FROM generate_series(1, %(orders)s) AS number
WHERE number %% %(parts)s = %(part)s
ON CONFLICT (run_id, number) DO NOTHING
"""
SPOIL = "UPDATE orders SET cents = NULL WHERE run_id = %(run_id)s AND number = 1"
# Rows that there must not be.
CHECKS = {
    "an order without an amount": "SELECT number FROM orders WHERE run_id = %(run_id)s AND cents IS NULL",
    "an order of no day": "SELECT number FROM orders WHERE run_id = %(run_id)s AND day NOT BETWEEN 0 AND 9",
    "another number of orders": "SELECT count(*) FROM orders WHERE run_id = %(run_id)s HAVING count(*) <> %(orders)s",
}
ADD_UP = """
INSERT INTO revenue
SELECT run_id, day, count(*), sum(cents) FROM orders WHERE run_id = %(run_id)s GROUP BY run_id, day
ON CONFLICT (run_id, day) DO UPDATE SET orders = excluded.orders, cents = excluded.cents
"""
DAYS = "SELECT day, cents FROM revenue WHERE run_id = %(run_id)s ORDER BY day"
AHEAD = """
INSERT INTO forecast VALUES (%(run_id)s, %(day)s, %(cents)s)
ON CONFLICT (run_id) DO UPDATE SET day = excluded.day, cents = excluded.cents
"""
ETL = {"queue": "etl", "pool": "etl_pool"}
QUALITY = {"queue": "etl", "pool": "dq_pool"}


def run_of(**more: Any) -> dict[str, Any]:
    """Return the parameters of a statement: of which run, and more."""
    return {"run_id": get_current_context()["run_id"], **more}


with DAG(
    dag_id="orders_etl",
    description="Loads orders, checks them, adds them up, looks ahead and reports.",
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=4,
    params={
        "orders": Param(400, type="integer", minimum=100, maximum=100_000),
        "spoil": Param(False, type="boolean", description="Whether an order lacks its amount, so that a check fails."),
    },
    default_args={
        **task_log.CALLBACKS,
        "retries": 2,
        "retry_delay": timedelta(seconds=2),
        "retry_exponential_backoff": BACKOFF,
        "max_retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=25),
    },
):

    @task(**ETL)
    def prepare() -> list[int]:
        """Make the tables; return the parts into which the load is divided."""
        PostgresHook("analytics").run(TABLES)
        return list(range(PARTS))

    @task(**ETL)
    def load(part: int, orders: str, spoil: str) -> None:
        """Load a part of the orders."""
        given = run_of(orders=int(orders), parts=PARTS, part=part)
        PostgresHook("analytics").run([LOAD, SPOIL] if spoil == "True" else LOAD, parameters=given)

    @task(**QUALITY)
    def check(what: str, orders: str) -> str:
        """Fail if there are rows that there must not be; return what was looked for."""
        if rows := PostgresHook("analytics").get_records(CHECKS[what], parameters=run_of(orders=int(orders))):
            raise ValueError(f"{what}: {len(rows)}")
        return what

    @task(**ETL)
    def add_up() -> int:
        """Add up what each day has brought; return the sum."""
        hook = PostgresHook("analytics")
        hook.run(ADD_UP, parameters=run_of())
        return sum(int(cents) for _, cents in hook.get_records(DAYS, parameters=run_of()))

    @task(queue="ml")
    def look_ahead() -> int:
        """Fit a line to the days; keep what it says of the next one."""
        hook = PostgresHook("analytics")
        days, cents = zip(*hook.get_records(DAYS, parameters=run_of()), strict=True)
        line = linear_regression([float(day) for day in days], [float(amount) for amount in cents])
        following = int(days[-1]) + 1
        found = round(line.intercept + line.slope * following)
        hook.run(AHEAD, parameters=run_of(day=following, cents=found))
        return found

    @task(queue="light")
    def report(total: int, ahead: int) -> dict[str, Any]:
        """Hand a report to the worker of Node.js; return what it made of it."""
        text = f"revenue {total} cents and {ahead} expected"
        job = HttpHook("POST", "reports").run("jobs", json={"text": text}).json()["id"]
        limit = time.monotonic() + 60
        while (answer := HttpHook("GET", "reports").run(f"jobs/{job}").json())["state"] != "completed":
            if answer["state"] == "failed" or time.monotonic() > limit:
                raise RuntimeError(f"job {job} is {answer['state']}: {answer.get('reason')}")
            time.sleep(1)
        return {"job": job, **answer["result"]}

    orders = "{{ params.orders }}"
    loaded = load.partial(orders=orders, spoil="{{ params.spoil }}").expand(part=prepare())
    checked = check.partial(orders=orders).expand(what=list(CHECKS))
    total, ahead = add_up(), look_ahead()
    loaded >> checked >> total >> ahead
    report(total, ahead)
