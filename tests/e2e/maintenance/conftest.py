"""Fixtures of the tests that take hosts out of service, and back."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import PROJECT, Site

SOURCE = PROJECT / "tests" / "testinfra" / "dags" / "airstrip_probe.py"


@pytest.fixture(scope="session")
def hosts(site: Site) -> dict[str, Any]:
    """All hosts of the site, as root."""
    return {name: testinfra.get_host(site.connection(name)) for name in site.hosts}


@pytest.fixture(scope="session")
def airflow(site: Site) -> Airflow:
    return site.airflow()


@pytest.fixture(scope="session")
def sleeping(site: Site, hosts: dict[str, Any], airflow: Airflow) -> Iterator[None]:
    """The DAG airstrip_sleep is among the users' DAGs, on each host, whether or not they share them."""
    encoded, path = base64.b64encode(SOURCE.read_bytes()).decode(), f"/srv/airflow/dags/{SOURCE.name}"
    for name in site.group("airflow"):
        hosts[name].check_output(f"echo {shlex.quote(encoded)} | base64 -d >{path}")
    processor = hosts[site.group("airflow_dag_processor")[0]]
    # Without it, the DAG processor would look for new files within five minutes.
    processor.check_output("airflow dags reserialize --bundle-name dags-folder")
    yield
    for name in site.group("airflow"):
        hosts[name].check_output(f"rm -f {path}")
    for dag_id in ("airstrip_probe", "airstrip_sleep", "airstrip_defer", "airstrip_crowd", "airstrip_misspelt"):
        with suppress(requests.HTTPError):
            airflow.request("DELETE", f"/api/v2/dags/{dag_id}")
