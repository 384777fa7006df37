"""Role airflow_flower: it runs on its hosts, is closed, and is asked by name and password alone."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import testinfra
from airstrip_site import Site
from airstrip_units import properties

UNIT = "airflow-flower"
EXPOSURE = 2.0


@pytest.fixture(name="flower")
def fixture_flower(site: Site, inventory_hostname: str) -> Any:
    """The host, if Flower is there."""
    if inventory_hostname not in site.group("flower"):
        pytest.skip("the host is not in the group flower")
    return testinfra.get_host(site.connection(inventory_hostname))


def test_it_runs_and_would_after_a_restart(flower: Any) -> None:
    assert flower.service(UNIT).is_running
    assert flower.service(UNIT).is_enabled


def test_it_has_no_more_than_its_credentials(flower: Any) -> None:
    main = properties(flower, UNIT, "MainPID")["MainPID"]
    environment = flower.check_output(f"tr '\\0' '\\n' </proc/{main}/environ")
    assert "://" not in environment.replace("https://", ""), "a URL with a login"
    held = flower.check_output(f"ls /run/credentials/{UNIT}.service").split()
    assert set(held) <= {"flower_broker_url", "flower_logins", "flower_certificate", "flower_certificate_key"}


def test_it_is_closed(flower: Any) -> None:
    level = flower.check_output(f"systemd-analyze security {UNIT} | tail -n 1")
    assert float(level.split(":")[1].split()[0]) <= EXPOSURE, level


@pytest.mark.usefixtures("flower")
def test_nobody_gets_in_without_a_login(site: Site, inventory_hostname: str) -> None:
    port = site.variable(inventory_hostname, "site_flower_port")
    with site.tunnel(inventory_hostname, port) as local:
        answer = requests.get(f"https://127.0.0.1:{local}/flower/", timeout=30, verify=False)  # noqa: S501 - who answers
    assert answer.status_code == requests.codes.unauthorized
