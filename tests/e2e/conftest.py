"""Fixtures of the tests that run the project's own commands against the hosts of a scenario."""

from __future__ import annotations

from typing import Any

import pytest
import testinfra
from airstrip_site import Site


@pytest.fixture(scope="session")
def site() -> Site:
    return Site.from_environment()


@pytest.fixture(scope="session")
def node(site: Site) -> Any:
    """The host that runs the scheduler, as root."""
    return testinfra.get_host(site.connection(site.group("airflow_scheduler")[0]))
