"""Fixtures of the tests of examples/valkey-dbt."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site

Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def site() -> Site:
    return Site.from_environment()


@pytest.fixture(scope="session")
def node(site: Site) -> Any:
    """The VM, as root."""
    return testinfra.get_host(site.connection("node-1"))


@pytest.fixture(scope="session")
def deployed(site: Site) -> str:
    """Deploy the example's DAGs by the command of its README; return what it said."""
    result = site.command("ansible-playbook", "playbooks/deploy_dags.yml", "-e", "dags_source=examples/valkey-dbt/dags")
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="session")
def airflow(site: Site, deployed: str) -> Airflow:  # noqa: ARG001 - after that
    """Airflow's API, as the administrator, with the example's DAGs."""
    found = site.airflow("airflow")
    for dag in ("app_orders", "orders_elt"):
        found.wait_for_dag(dag, 180)
    return found


@pytest.fixture(scope="session")
def connect(site: Site) -> Callable[..., Any]:
    """Log in to a database as one of the roles, as a person does by a tunnel."""

    @contextmanager
    def connected(user: str, database: str) -> Iterator[Any]:
        name = {"airflow": "airflow_database_password"}.get(user, f"postgresql_role_{user}")
        with site.tunnel("node-1", 5432) as port:
            connection = psycopg2.connect(
                host="127.0.0.1", port=port, user=user, password=site.secrets[name], dbname=database, connect_timeout=20
            )
            try:
                yield connection
            finally:
                connection.close()

    return connected


@pytest.fixture(scope="session")
def ask(connect: Callable[..., Any]) -> Ask:
    """Return the rows of a query, by a role and a database."""

    def asked(user: str, database: str, query: str) -> list[tuple[Any, ...]]:
        with connect(user, database) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    return asked


@pytest.fixture(scope="session")
def play(site: Site) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a playbook on the site."""
    return lambda *arguments: site.command("ansible-playbook", *arguments)
