"""Fixtures of the tests of a site that is watched."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site

LOAD = Path(__file__).parent / "dags" / "airstrip_load.py"
DAGS = ("airstrip_load", "airstrip_load_fails")


@pytest.fixture(scope="session")
def load(site: Site, airflow: Airflow) -> Iterator[float]:
    """Keep the site busy; the moment since when."""
    host = testinfra.get_host(site.connection(site.group("airflow_dag_processor")[0]))
    path = f"/srv/airflow/dags/{LOAD.name}"
    encoded = base64.b64encode(LOAD.read_bytes()).decode()
    host.check_output(f"echo {encoded} | base64 -d >{path} && chmod 0644 {path}")
    for name in DAGS:
        airflow.wait_for_dag(name, 180)
        airflow.request("PATCH", f"/api/v2/dags/{name}", {"is_paused": False})
    yield time.time()
    for name in DAGS:
        airflow.request("PATCH", f"/api/v2/dags/{name}", {"is_paused": True})
    host.check_output(f"rm -f {path}")


@pytest.fixture(scope="session")
def busy(load: float) -> float:
    """Seconds for which the site has been busy: ten minutes, of which panels show rates."""
    time.sleep(max(0.0, load + 600 - time.time()))
    return time.time() - load
