"""Fixtures of the tests that look at an installed site, and the rule of what runs where.

test_ROLE.py runs in every scenario whose site.yml applies that role, on the hosts which get it; any other module runs
in every scenario, on every host. A role that is applied and whose module is missing, or has no passed test for one of
its hosts, fails the run: a module that is renamed, or skipped, does not vanish in silence.

Fixtures: `inventory_hostname` (str, one test for each applicable host), `host` (Testinfra's, connected to it as root),
`site` (airstrip_site.Site), `inventory` (dict, as `ansible-inventory --list` gives it), `airflow` (the REST API as the
first administrator), `probe_dags` (the DAGs of tests/testinfra/dags are there), `outsider` (airstrip_outsider.Outsider,
a host beside the site's, unknown to its inventory).

Marker: `only_in(*scenarios)`, for tests that take long and prove the same everywhere.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_outsider import Outsider, outside
from airstrip_site import PROJECT, Site

TESTS = Path(__file__).parent
# What an installer's journal is about, for the report of a failed test.
UNITS = ("airflow*", "airstrip*", "prometheus*", "postgresql*", "redis*", "valkey*", "haproxy*", "keepalived*")
PASSED = pytest.StashKey[set[tuple[str, str | None]]]()


@cache
def current_site() -> Site:
    """Return the site of the scenario that is verified."""
    return Site.from_environment()


def role_of(path: Path) -> str | None:
    """Return the role that a test module is about; none for a module about the whole site."""
    name = path.stem.removeprefix("test_")
    return name if (PROJECT / "roles" / name).is_dir() else None


def hosts_of(path: Path) -> list[str]:
    """Return the hosts on which a module's tests run in this scenario."""
    role = role_of(path)
    return current_site().hosts if role is None else current_site().applied_roles.get(role, [])


@pytest.fixture(scope="session")
def site() -> Site:
    return current_site()


@pytest.fixture(scope="session")
def inventory(site: Site) -> dict[str, Any]:
    return site.inventory


@pytest.fixture(scope="module")
def host(inventory_hostname: str, site: Site) -> Any:
    return testinfra.get_host(site.connection(inventory_hostname))


@pytest.fixture(scope="session")
def airflow(site: Site) -> Airflow:
    return site.airflow()


@pytest.fixture(scope="session")
def outsider(site: Site) -> Iterator[Outsider]:
    with outside(site.scenario) as found:
        yield found


@pytest.fixture(scope="session")
def probe_dags(site: Site, airflow: Airflow) -> Iterator[None]:
    """Put the tests' DAGs among the users' DAGs, wherever these are read."""
    directory = "/srv/airflow/dags"
    hosts = [testinfra.get_host(site.connection(name)) for name in site.group("airflow")]
    sources = sorted((TESTS / "dags").glob("*.py"))
    for host in hosts:
        for source in sources:
            encoded = base64.b64encode(source.read_bytes()).decode()
            host.check_output(f"echo {shlex.quote(encoded)} | base64 -d >{directory}/{source.name}")
    processor = testinfra.get_host(site.connection(site.group("airflow_dag_processor")[0]))
    # Without it, the DAG processor would look for new files within five minutes.
    processor.check_output("airflow dags reserialize --bundle-name dags-folder")
    yield
    for host in hosts:
        host.check_output("rm -f " + " ".join(f"{directory}/{source.name}" for source in sources))
    for dag_id in (
        "airstrip_probe",
        "airstrip_needs",
        "airstrip_sleep",
        "airstrip_defer",
        "airstrip_crowd",
        "airstrip_misspelt",
    ):
        airflow.request("DELETE", f"/api/v2/dags/{dag_id}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only_in(*scenarios): run in these scenarios only")
    config.stash[PASSED] = set()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "inventory_hostname" in metafunc.fixturenames:
        metafunc.parametrize("inventory_hostname", hosts_of(Path(metafunc.module.__file__)), scope="module")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    applicable = [item for item in items if hosts_of(item.path) and wanted_here(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in applicable])
    items[:] = applicable


def wanted_here(item: pytest.Item) -> bool:
    """Whether no marker keeps a test from running in this scenario."""
    return all(current_site().scenario in marker.args for marker in item.iter_markers("only_in"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    callspec = getattr(item, "callspec", None)
    hostname = callspec.params.get("inventory_hostname") if callspec else None
    role = role_of(item.path)
    if report.when == "call" and report.passed and role is not None:
        item.config.stash[PASSED].add((role, hostname))
    if report.failed and hostname is not None:
        journal = testinfra.get_host(current_site().connection(hostname)).run(
            "journalctl --no-pager --lines=60 --output=short-iso " + " ".join(f"--unit='{unit}'" for unit in UNITS)
        )
        report.sections.append((f"Journal of {hostname}", journal.stdout))
    return report


def untested(config: pytest.Config) -> list[str]:
    """Return, for each applied role, the hosts for which no test of its module passed."""
    passed = config.stash[PASSED]
    return [
        f"{role}: no test of tests/testinfra/test_{role}.py passed for {hostname}"
        for role, hosts in current_site().applied_roles.items()
        for hostname in hosts
        if not passed & {(role, None), (role, hostname)}
    ]


def whole_suite(config: pytest.Config) -> bool:
    """Whether all modules were asked for, as `molecule verify` does, and not some by a person at work."""
    given = {Path(argument).resolve() for argument in config.args}
    return not config.option.keyword and (TESTS in given or given >= set(TESTS.glob("test_*.py")))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if whole_suite(session.config) and untested(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if whole_suite(config):
        for line in untested(config):
            terminalreporter.write_line(f"UNTESTED {line}", red=True)
