"""Fixtures of the tests of a site that is watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from airstrip_airflow import Airflow
from airstrip_prometheus import Prometheus
from airstrip_site import Site


@pytest.fixture(scope="session")
def prometheus(site: Site) -> Iterator[Prometheus]:
    """Prometheus of the first monitoring host, as its own user."""
    with site.tunnel(site.group("monitoring")[0], 9090) as port:
        authority = site.directory / ".certificates" / "ca.crt"
        yield Prometheus(f"https://127.0.0.1:{port}", "airstrip", site.secrets["monitoring_password"], authority)


@pytest.fixture(scope="session")
def airflow(site: Site) -> Airflow:
    return site.airflow()
