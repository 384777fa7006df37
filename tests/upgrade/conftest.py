"""Fixtures of the tests that upgrade a site. They run in their order: each begins with what the one before has left."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from airstrip_site import Site

DAGS = "/srv/airflow/dags"
_FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def site() -> Site:
    return Site.from_environment()


@pytest.fixture(scope="session")
def hosts(site: Site) -> dict[str, Any]:
    """All hosts of the site, as root."""
    return {name: testinfra.get_host(site.connection(name)) for name in site.hosts}


@pytest.fixture(scope="session")
def database(hosts: dict[str, Any], site: Site) -> Any:
    """The host of the metadata database."""
    return hosts[site.group("postgresql")[0]]


@pytest.fixture(scope="session")
def put_dag(hosts: dict[str, Any], site: Site) -> Callable[[str, str], None]:
    """Put a DAG file among the users' DAGs, which all hosts share; an empty one is removed."""
    processor = hosts[site.group("airflow_dag_processor")[0]]

    def put(name: str, text: str) -> None:
        encoded = base64.b64encode(text.encode()).decode()
        path = shlex.quote(f"{DAGS}/{name}")
        processor.check_output(f"echo {shlex.quote(encoded)} | base64 -d >{path}" if text else f"rm -f {path}")

    return put


@pytest.fixture(scope="session")
def load_dags(put_dag: Callable[[str, str], None], hosts: dict[str, Any], site: Site) -> Iterator[None]:
    """The DAGs that make the load are known to Airflow."""
    source = Path(__file__).parent / "dags" / "airstrip_load.py"
    put_dag(source.name, source.read_text(encoding="utf-8"))
    processor = hosts[site.group("airflow_dag_processor")[0]]
    # Without it, the DAG processor would look for new files within five minutes.
    processor.check_output("airflow dags reserialize --bundle-name dags-folder")
    yield
    put_dag(source.name, "")


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, str]:
    """What the tests have measured, which the end of the run tells."""
    return pytestconfig.stash.setdefault(_FIGURES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell the figures."""
    for name, figure in config.stash.get(_FIGURES, {}).items():
        terminalreporter.write_line(f"{name}: {figure}")
