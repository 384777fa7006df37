"""What dies is back within three minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_edge import all_up, wait_for

SECONDS = 180


def main_process(host: Any, unit: str) -> str:
    return str(host.check_output(f"systemctl show --property=MainPID --value {unit}"))


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("control-1", "api-server"),
        ("control-2", "api-server"),
        ("control-2", "scheduler"),
        ("control-2", "dag-processor"),
        ("control-2", "triggerer"),
    ],
)
def test_a_component_that_is_killed(hosts: dict[str, Any], airflow: Airflow, name: str, component: str) -> None:
    unit, began = f"airflow-{component}.service", time.monotonic()
    before = main_process(hosts[name], unit)
    hosts[name].check_output(f"systemctl kill --signal=KILL {unit}")
    wait_for(lambda: main_process(hosts[name], unit) not in {before, "0"}, f"{unit} runs again", SECONDS)
    wait_for(lambda: all_up([hosts["control-1"]]), "the load balancer uses both servers", SECONDS)
    airflow.wait_until_healthy(SECONDS)
    assert time.monotonic() - began < SECONDS


def test_the_load_balancer_that_is_killed(hosts: dict[str, Any], airflow: Airflow) -> None:
    began = time.monotonic()
    hosts["control-1"].check_output("systemctl kill --signal=KILL haproxy.service")
    airflow.wait_until_healthy(SECONDS)
    assert time.monotonic() - began < SECONDS


def test_a_database_that_was_away(hosts: dict[str, Any], airflow: Airflow, run: Callable[[str], str]) -> None:
    database = hosts["services-1"]
    database.check_output("systemctl stop postgresql@15-main")
    try:
        with pytest.raises(requests.RequestException):
            airflow.request("GET", "/api/v2/dags")
    finally:
        database.check_output("systemctl start postgresql@15-main")
    began = time.monotonic()
    airflow.wait_until_healthy(SECONDS)
    run("incident_classifier")
    assert time.monotonic() - began < SECONDS
