"""The system's work: orders of the application become what people look at, by tasks and by dbt."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_site import Site

ORDERS = 200
COUNTRIES = {"Germany": ("DE", 119), "Spain": ("ES", 121), "France": ("FR", 120), "United Kingdom": ("GB", 120)}


@pytest.fixture(scope="module")
def placed(airflow: Airflow) -> dict[str, int]:
    """What the application has written: orders, and their cents."""
    assert airflow.request("GET", "/api/v2/dags/app_orders")["is_paused"] is True
    airflow.request("PATCH", "/api/v2/dags/app_orders", {"is_paused": False})
    run = airflow.start_new("app_orders", orders=ORDERS)
    state = airflow.wait("app_orders", run, 300)
    assert state == "success", [airflow.log("app_orders", run, task) for task in airflow.tasks("app_orders", run)]
    found: dict[str, int] = airflow.result("app_orders", run, "place")
    return found


@pytest.fixture(scope="module")
def run(airflow: Airflow, placed: dict[str, int]) -> str:  # noqa: ARG001 - of these orders
    """A run of the DAG that is green."""
    assert airflow.request("GET", "/api/v2/dags/orders_elt")["is_paused"] is True
    airflow.request("PATCH", "/api/v2/dags/orders_elt", {"is_paused": False})
    name = airflow.start_new("orders_elt")
    state = airflow.wait("orders_elt", name, 600)
    tasks = airflow.tasks("orders_elt", name)
    logs = {task["task_id"]: airflow.log("orders_elt", name, task) for task in tasks if task["state"] == "failed"}
    assert state == "success", logs
    return name


def test_the_application_has_its_orders(placed: dict[str, int], ask: Any) -> None:
    assert placed["orders"] == ORDERS
    rows = ask("app", "app", "SELECT count(*), sum(cents) FROM orders")
    assert rows == [(placed["orders"], placed["cents"])]


@pytest.mark.usefixtures("run")
def test_they_are_in_the_warehouse(ask: Any) -> None:
    columns = "id, customer, country, cents, placed_at"
    there = ask("app", "app", f"SELECT {columns} FROM orders ORDER BY id")  # noqa: S608 - a constant
    assert len(there) >= ORDERS
    assert ask("dbt", "analytics", f"SELECT {columns} FROM raw.orders ORDER BY id") == there  # noqa: S608 - the same


@pytest.mark.usefixtures("run")
def test_dbt_has_made_the_revenue_of_them(ask: Any) -> None:
    orders = ask("app", "app", "SELECT country, customer, cents FROM orders")
    wanted = []
    for name, (code, percent) in sorted(COUNTRIES.items()):
        mine = [(customer, cents) for country, customer, cents in orders if country == code]
        # Half a cent is rounded up, as PostgreSQL does it.
        gross = sum((cents * percent + 50) // 100 for _, cents in mine)
        wanted.append(
            (name, len(mine), len({customer for customer, _ in mine}), sum(cents for _, cents in mine), gross)
        )
    found = ask("dbt", "analytics", "SELECT * FROM public.revenue_by_country ORDER BY country")
    assert [tuple(row[:1]) + tuple(int(value) for value in row[1:]) for row in found] == wanted


def test_the_last_task_tells_of_it(airflow: Airflow, run: str, ask: Any) -> None:
    told = airflow.result("orders_elt", run, "report")
    assert sorted(told) == sorted(COUNTRIES)
    found = ask("dbt", "analytics", "SELECT sum(gross_cents) FROM public.revenue_by_country")
    assert sum(row["gross_cents"] for row in told.values()) == int(found[0][0])


def test_it_waited_in_the_triggerer(airflow: Airflow, run: str) -> None:
    task = next(task for task in airflow.tasks("orders_elt", run) if task["task_id"] == "wait_until_settled")
    assert "deferr" in airflow.log("orders_elt", run, task).lower()


def test_no_log_has_a_password(airflow: Airflow, run: str, site: Site) -> None:
    secrets = [site.secrets[name] for name in ("postgresql_role_dbt", "postgresql_role_app")]
    for task in airflow.tasks("orders_elt", run):
        log = airflow.log("orders_elt", run, task)
        assert [secret for secret in secrets if secret in log] == [], task["task_id"]


def test_a_second_run_takes_the_new_orders_alone(airflow: Airflow, run: str, ask: Any) -> None:  # noqa: ARG001 - after that
    before = ask("dbt", "analytics", "SELECT count(*) FROM raw.orders")[0][0]
    more = airflow.start("app_orders", orders=7)
    assert airflow.wait("app_orders", more, 300) == "success"
    second = airflow.start("orders_elt")
    assert airflow.wait("orders_elt", second, 600) == "success"
    assert airflow.result("orders_elt", second, "extract") == 7
    assert ask("dbt", "analytics", "SELECT count(*) FROM raw.orders")[0][0] == before + 7
    assert int(ask("dbt", "analytics", "SELECT sum(orders) FROM public.revenue_by_country")[0][0]) == before + 7
