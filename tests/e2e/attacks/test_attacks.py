"""What code of users can do to a site: the table of docs/security.md, tried from each place where such code runs."""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import PROJECT, Site

FILES = Path(__file__).parent / "files"
PLUGINS = ("airstrip_attacks.py", "airstrip_attack_trigger.py")
PLACES = {"task": "a task", "file": "a DAG file", "trigger": "a trigger", "command": "a command"}


def documented() -> dict[str, dict[str, str]]:
    """Return the outcomes that docs/security.md promises, by place and attack."""
    text = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
    table = re.search(r"^\| Attack \|.*?(?=\n\n)", text, flags=re.MULTILINE | re.DOTALL)
    assert table is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()]
    assert rows[0] == ["Attack", *(f"from {words}" for words in PLACES.values())]
    return {place: {row[0]: row[number] for row in rows[2:]} for number, place in enumerate(PLACES, start=1)}


def write(host: Any, path: str, content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    host.check_output(f"echo {shlex.quote(encoded)} | base64 -d >{shlex.quote(path)} && chmod 0644 {shlex.quote(path)}")


@pytest.fixture(scope="module")
def airflow(site: Site) -> Airflow:
    return site.airflow()


@pytest.fixture(scope="module")
def planted(site: Site, airflow: Airflow) -> Iterator[None]:
    """Put the attackers' files where users put theirs."""
    hosts = [testinfra.get_host(site.connection(name)) for name in site.group("airflow")]
    paths = [*(f"/srv/airflow/plugins/{name}" for name in PLUGINS), "/srv/airflow/dags/airstrip_attack_dags.py"]
    for host in hosts:
        for path in paths:
            write(host, path, (FILES / Path(path).name).read_bytes())
        write(host, "/srv/airflow/dags/airstrip_attack_dags.url", site.edge_url.encode())
    airflow.request("POST", "/api/v2/variables", {"key": "airstrip_attack", "value": "seen"})
    yield
    for host in hosts:
        host.check_output(f"rm -f {' '.join(paths)} /srv/airflow/dags/airstrip_attack_dags.url")
    airflow.request("DELETE", "/api/v2/variables/airstrip_attack")
    for dag_id in ("airstrip_attack", "airstrip_attack_cli", "airstrip_attack_dag-processor"):
        with suppress(requests.HTTPError):
            airflow.request("DELETE", f"/api/v2/dags/{dag_id}")


def told(airflow: Airflow, reader: str) -> dict[str, str]:
    """Return what a reader of the DAG file has found out; wait for that reader."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        try:
            details = airflow.request("GET", f"/api/v2/dags/airstrip_attack_{reader}/details")
        except requests.HTTPError:
            time.sleep(1)
        else:
            found: dict[str, str] = json.loads(details["doc_md"])
            return found
    raise TimeoutError(f"no {reader} has read the DAG file within two minutes")


@pytest.fixture(scope="module")
def run(site: Site, airflow: Airflow, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What came of the attacks, by place, and the host on which the task ran."""
    request.getfixturevalue("planted")
    processor = testinfra.get_host(site.connection(site.group("airflow_dag_processor")[0]))
    processor.check_output("airflow dags reserialize --bundle-name dags-folder")
    command = told(airflow, "cli")
    run_id = airflow.start("airstrip_attack")
    # It looks for new files when it starts, and then every five minutes.
    processor.check_output("systemctl restart airflow-dag-processor")
    file = told(airflow, "dag-processor")
    assert airflow.wait("airstrip_attack", run_id, 180) == "success"
    tasks = {task["task_id"]: task for task in airflow.tasks("airstrip_attack", run_id)}
    return {
        "command": command,
        "file": file,
        "task": airflow.result("airstrip_attack", run_id, "attack"),
        "trigger": airflow.result("airstrip_attack", run_id, "trigger"),
        "worker": tasks["attack"]["hostname"],
    }


@pytest.mark.parametrize("place", PLACES)
def test_attacks_end_as_documented(place: str, run: dict[str, Any], site: Site) -> None:
    expected = documented()[place]
    alone = place == "task" and run["worker"] not in site.group("airflow_scheduler")
    # Where workers have hosts of their own, there is nothing else to send a signal to.
    expected = {
        attack: "refused" if alone and said == "possible, one VM" else said for attack, said in expected.items()
    }
    expected = {attack: said.removesuffix(", one VM") for attack, said in expected.items()}
    assert run[place] == expected


@pytest.mark.usefixtures("run")
def test_schedulers_read_no_more_than_states_of_planted_results(airflow: Airflow, site: Site) -> None:
    schedulers = [testinfra.get_host(site.connection(name)) for name in site.group("airflow_scheduler")]
    show = "systemctl show --value --property MainPID airflow-scheduler"
    before = [host.check_output(show) for host in schedulers]
    run_id = airflow.start("airstrip_attack", plant=True)
    assert airflow.wait("airstrip_attack", run_id, 180) == "success"
    assert airflow.result("airstrip_attack", run_id, "plant") >= 1
    assert [host.check_output(show) for host in schedulers] == before
    assert [host.file("/var/lib/airflow/scheduler/airstrip-attack").exists for host in schedulers] == [False] * len(
        before
    )
