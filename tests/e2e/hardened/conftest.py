"""Fixtures of the tests of a host where nothing is as it is by default."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_site import Site

DAGS = "/srv/data/team-dags"


@pytest.fixture(scope="module")
def airflow(site: Site) -> Airflow:
    url = f"https://{site.address(site.hosts[0])}:{site.variable(site.hosts[0], 'site_https_port')}"
    secret = site.secrets["airflow_admin_password"]
    return Airflow(url, "ada.admin@example.com", secret, site.directory / ".certificates" / "ca.crt")


@pytest.fixture(scope="module")
def put(node: Any) -> Iterator[Callable[[str, str], None]]:
    """Write a DAG file, as the DAGs' author would. None is left in the end."""
    written: list[str] = []

    def write(name: str, text: str) -> None:
        encoded = base64.b64encode(text.encode()).decode()
        written.append(f"{DAGS}/{name}")
        node.check_output(f"echo {encoded} | base64 -d >{written[-1]} && chmod 0644 {written[-1]}")

    yield write
    node.check_output(f"rm -f {' '.join(written)}")
