"""DAGs that are deployed from the controller: seen soon, tried before, gone back from, and read to the end by a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_site import Site

ON = ["-e", '{"site_dags_deployed": true}']
DIRECTORY = "/usr/local/share/airflow/dags"
GATE = "airstrip_go"
# Its first task waits until it may go on, and then reads a file beside it for the first time.
LONG = f'''
from airflow.sdk import DAG, Variable, task

with DAG("airstrip_long", schedule=None, is_paused_upon_creation=False):

    @task
    def first():
        import time

        while Variable.get("{GATE}", default="") != "go":
            time.sleep(0.5)
        import airstrip_what

        return airstrip_what.WHAT

    @task
    def second(seen):
        import airstrip_what

        return [seen, airstrip_what.WHAT]

    second(first())
'''
SHORT = """
from airflow.sdk import DAG, task

with DAG("{0}", schedule=None, is_paused_upon_creation=False):

    @task
    def only():
        return "{1}"

    only()
"""


class Repository:
    """A Git repository of DAGs on the controller, whose files a test chooses for each commit."""

    def __init__(self, site: Site, directory: Path) -> None:
        self._site = site
        self._directory = directory
        self._git("init", "--quiet", "--initial-branch=main")

    def _git(self, *arguments: str) -> str:
        argv = [
            "git",
            "-C",
            str(self._directory),
            "-c",
            "user.name=ada",
            "-c",
            "user.email=ada@example.com",
            *arguments,
        ]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, **files: str) -> str:
        """Make a commit that has these Python files and no others; return it."""
        for path in self._directory.glob("*.*"):
            if path.is_file():
                path.unlink()
        for name, text in files.items():
            (self._directory / name.replace("__", ".")).write_text(text, encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message=a version")
        return self._git("rev-parse", "HEAD")

    def arguments(self, commit: str, *more: str) -> list[str]:
        return [
            "playbooks/deploy_dags.yml", *ON, "-e", f"dags_source={commit}", "-e", f"dags_repository={self._directory}",
            *more,
        ]  # fmt: skip

    def start(self, commit: str) -> subprocess.Popen[str]:
        """Begin to run the playbook."""
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        return subprocess.Popen(
            [program, *self._site.inventory_sources, *self.arguments(commit)],
            cwd=self._site.root,
            env=os.environ | {"ANSIBLE_CONFIG": str(self._site.root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def deploy(self, commit: str, *more: str) -> Any:
        """Run the playbook; return what came of it."""
        return self._site.command("ansible-playbook", *self.arguments(commit, *more))


def said(run: Any) -> str:
    return " ".join((run.stdout + run.stderr).split()).replace("\\n", " ")


def files(what: str, **more: str) -> dict[str, str]:
    return {"long__py": LONG, "airstrip_what__py": f'WHAT = "{what}"\n', **more}


def current(host: Any) -> str:
    return str(host.check_output(f"basename $(readlink {DIRECTORY}/current)"))


@pytest.fixture(scope="module")
def repository(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(site, tmp_path_factory.mktemp("dags"))


@pytest.fixture(scope="module", autouse=True)
def deployed(site: Site, repository: Repository) -> Iterator[str]:
    """The first version, with which the site turns to deployed DAGs; afterwards it turns back."""
    first = repository.commit(**files("one"))
    run = repository.deploy(first)
    assert run.returncode == 0, run.stdout
    run = site.command("ansible-playbook", "site.yml", *ON)
    assert run.returncode == 0, run.stdout
    yield first
    run = site.command("ansible-playbook", "site.yml")
    assert run.returncode == 0, run.stdout


@pytest.fixture(scope="module")
def airflow(site: Site) -> Airflow:
    found = site.airflow()
    found.wait_for_dag("airstrip_long")
    return found


@pytest.fixture
def begun(airflow: Airflow) -> Iterator[str]:
    """A run whose first task waits for its gate."""
    run_id = airflow.start_new("airstrip_long")
    limit = time.monotonic() + 90
    while [task["state"] for task in airflow.tasks("airstrip_long", run_id) if task["task_id"] == "first"] != [
        "running"
    ]:
        assert time.monotonic() < limit
        time.sleep(0.5)
    yield run_id
    open_gate(airflow)
    airflow.wait("airstrip_long", run_id)
    airflow.request("DELETE", f"/api/v2/variables/{GATE}")


def open_gate(airflow: Airflow) -> None:
    known = airflow.request("GET", "/api/v2/variables")["variables"]
    if GATE not in [variable["key"] for variable in known]:
        airflow.request("POST", "/api/v2/variables", {"key": GATE, "value": "go"})


def test_a_version_is_seen_soon(airflow: Airflow, repository: Repository, node: Any) -> None:
    version = repository.commit(**files("one", new__py=SHORT.format("airstrip_new", "a")))
    began = time.monotonic()
    run = repository.deploy(version)
    took = time.monotonic() - began
    assert run.returncode == 0, run.stdout
    assert airflow.has_dag("airstrip_new")
    assert "added: airstrip_new" in said(run)
    assert current(node) == version
    assert took <= 30


def test_what_is_deployed_changes_nothing(repository: Repository, node: Any) -> None:
    run = repository.deploy(current(node))
    assert run.returncode == 0, run.stdout
    assert " changed=0 " in run.stdout


def test_check_mode_tells_what_would_differ(repository: Repository, node: Any) -> None:
    before = current(node)
    run = repository.deploy(repository.commit(**files("one", other__py=SHORT.format("airstrip_other", "a"))), "--check")
    assert run.returncode == 0, run.stdout
    assert "+other.py" in run.stdout
    assert "-new.py" in run.stdout
    assert current(node) == before


def test_an_import_error_stops_it(repository: Repository, node: Any) -> None:
    before = current(node)
    run = repository.deploy(
        repository.commit(**files("one", broken__py="from airflow.sdk import DAG\nimport nowhere\n"))
    )
    assert run.returncode != 0
    assert "broken.py cannot be imported: ModuleNotFoundError: No module named 'nowhere'" in said(run)
    assert current(node) == before


def test_a_requirement_that_is_not_met_stops_it(repository: Repository, node: Any) -> None:
    before = current(node)
    run = repository.deploy(repository.commit(**files("one", requirements__txt="no-such-package==1\n")))
    assert run.returncode != 0
    assert "requirements.txt wants no-such-package==1" in said(run)
    assert current(node) == before


def test_files_are_imported_without_network_and_secrets(repository: Repository) -> None:
    """Neither the database nor what a unit is handed can be reached by a file that is only tried."""
    text = """
import os, socket
from airflow.sdk import DAG
assert "CREDENTIALS_DIRECTORY" not in os.environ
try:
    socket.create_connection(("127.0.0.1", 5432), timeout=2)
except OSError as error:
    raise RuntimeError(f"no network: {error}")
"""
    run = repository.deploy(repository.commit(**files("one", nosy__py=text)))
    assert run.returncode != 0
    assert "RuntimeError: no network" in said(run)


def test_a_run_reads_its_version_to_the_end(airflow: Airflow, repository: Repository, begun: str) -> None:
    run = repository.deploy(repository.commit(**files("two")))
    assert run.returncode == 0, run.stdout
    open_gate(airflow)
    assert airflow.wait("airstrip_long", begun) == "success"
    assert airflow.result("airstrip_long", begun, "second") == ["one", "one"]
    later = airflow.start_new("airstrip_long")
    assert airflow.wait("airstrip_long", later) == "success"
    assert airflow.result("airstrip_long", later, "second") == ["two", "two"]


def test_a_dag_with_a_run_is_not_removed(repository: Repository, node: Any, begun: str) -> None:
    before = current(node)
    version = repository.commit(short__py=SHORT.format("airstrip_short", "a"))
    run = repository.deploy(version)
    assert run.returncode != 0
    assert f"the DAG airstrip_long is removed, and has runs that have not ended: {begun}" in said(run)
    assert current(node) == before


def test_going_back(airflow: Airflow, repository: Repository, site: Site, node: Any) -> None:
    before = current(node)
    assert repository.deploy(repository.commit(**files("three"))).returncode == 0
    assert current(node) != before
    run = site.command("ansible-playbook", "playbooks/rollback_dags.yml", *ON)
    assert run.returncode == 0, run.stdout
    assert current(node) == before
    later = airflow.start_new("airstrip_long")
    open_gate(airflow)
    assert airflow.wait("airstrip_long", later) == "success"
    airflow.request("DELETE", f"/api/v2/variables/{GATE}")
    assert airflow.result("airstrip_long", later, "second") == ["two", "two"]
    run = site.command("ansible-playbook", "playbooks/rollback_dags.yml", *ON, "-e", "dags_version=nothing")
    assert run.returncode != 0
    assert "There is no version nothing of the DAGs" in said(run)


@pytest.mark.parametrize("task", ["Deploy | Bring the archive", "Switch | Make it the current one"])
def test_what_was_killed_goes_on(repository: Repository, node: Any, task: str) -> None:
    version = repository.commit(**files("two", killed__py=SHORT.format("airstrip_killed", task)))
    run = repository.start(version)
    assert run.stdout
    for line in run.stdout:
        if task in line:
            os.killpg(run.pid, signal.SIGKILL)
            break
    run.wait()
    again = repository.deploy(version)
    assert again.returncode == 0, again.stdout
    assert current(node) == version


def test_two_at_once_are_refused(repository: Repository, node: Any) -> None:
    both = [repository.start(current(node)) for _ in range(2)]
    outputs = [run.communicate()[0] for run in both]
    assert sorted(run.returncode == 0 for run in both) == [False, True]
    assert "Another run changes this site" in " ".join(" ".join(outputs).split())


def test_a_part_of_the_hosts_is_refused(repository: Repository, site: Site, node: Any) -> None:
    run = repository.deploy(current(node), "--limit", site.group("airflow_scheduler")[0])
    assert run.returncode != 0
    assert "the DAGs are the same on all hosts" in said(run)


def test_workers_cannot_change_what_they_read(node: Any) -> None:
    written = node.run(f"find {DIRECTORY} -not -user root -o -perm /022 -not -type l")
    assert written.stdout == ""
