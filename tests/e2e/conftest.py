"""Fixtures of the tests that run the project's own commands against the hosts of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_prometheus import Prometheus
from airstrip_site import Site


@pytest.fixture(scope="session")
def site() -> Site:
    return Site.from_environment()


@pytest.fixture(scope="session")
def node(site: Site) -> Any:
    """The host that runs the scheduler, as root."""
    return testinfra.get_host(site.connection(site.group("airflow_scheduler")[0]))


@pytest.fixture(scope="session")
def airflow(site: Site) -> Airflow:
    """The REST API, as the first administrator."""
    return site.airflow()


@pytest.fixture(scope="session")
def prometheus(site: Site) -> Iterator[Prometheus]:
    """Prometheus of the first monitoring host, as its own user."""
    with site.tunnel(site.group("monitoring")[0], 9090) as port:
        authority = site.directory / ".certificates" / "ca.crt"
        yield Prometheus(f"https://127.0.0.1:{port}", "airstrip", site.secrets["monitoring_password"], authority)
