"""Fixtures of the tests of examples/kubernetes."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import PROJECT, Site

README = PROJECT / "examples" / "kubernetes" / "README.md"
# What the README calls them.
PROGRAMS = {"play": "ansible-playbook", "on": "ansible"}


class Commands:
    """The commands of the example's README, run on the hosts of the scenario."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.text = README.read_text(encoding="utf-8")
        joined = self.text.replace("\\\n", " ")
        self._lines = {" ".join(line.split()) for line in joined.splitlines() if line.startswith("    ")}

    def run(self, part: str, **replaced: str) -> subprocess.CompletedProcess[str]:
        """Run the one command that is this, or has this part; what a key of `replaced` names is something else here."""
        found = {line for line in self._lines if part in line and line.split()[0] in PROGRAMS}
        (line,) = found & {part} or found
        for name, other in replaced.items():
            assert f" {name}=" in line or f'"{name}=' in line, line
            line = re.sub(rf'(?<=[ "]){name}=\S+', f"{name}={other}", line)
        program, *arguments = shlex.split(line, comments=True)
        result = self._site.command(PROGRAMS[program], *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result


@pytest.fixture(scope="session")
def readme(site: Site) -> Commands:
    return Commands(site)


@pytest.fixture(scope="session")
def airflow(site: Site) -> Airflow:
    """The API, as the first administrator."""
    return site.airflow()


@pytest.fixture(scope="session")
def hosts(site: Site) -> dict[str, Any]:
    """The hosts by name, as root."""
    return {name: testinfra.get_host(site.connection(name)) for name in site.hosts}


@pytest.fixture(scope="session")
def control(hosts: dict[str, Any]) -> Any:
    """The host of all of Airflow but its workers."""
    return hosts["control-1"]


@pytest.fixture(scope="session")
def worker(hosts: dict[str, Any]) -> Any:
    """The host of the worker."""
    return hosts["worker-1"]


@pytest.fixture(scope="session")
def data(hosts: dict[str, Any]) -> Any:
    """The host of PostgreSQL and Redis."""
    return hosts["data-1"]


@pytest.fixture(scope="session")
def revenue(data: Any) -> Callable[[str], list[str]]:
    """The rows that a run of the DAG has written."""

    def rows(run_id: str) -> list[str]:
        listed = sql(data, "SELECT run_id, customer, orders, amount FROM revenue ORDER BY customer", "results")
        return [line.partition("|")[2] for line in listed.splitlines() if line.startswith(f"{run_id}|")]

    return rows
