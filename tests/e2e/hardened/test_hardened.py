"""A host as a security guide leaves it, with nothing where it is by default: it is a site like any other.

And what a site at work has to bear: slots that are all taken, new files, API servers that are replaced.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_outsider import Outsider, outside
from airstrip_postgresql import sql
from airstrip_site import PROJECT, Site
from airstrip_units import processes

PROBES = PROJECT / "tests" / "testinfra" / "dags"
PLACES = (
    "/opt/airflow",
    "/etc/airflow",
    "/var/lib/airflow",
    "/srv/airflow",
    "/var/log/airflow",
    "/var/backups/airflow",
)
PORTS = (80, 443, 8443, 8405, 8793, 8794, 5432, 6379)


@pytest.fixture(scope="module")
def crowd(put: Callable[[str, str], None], airflow: Airflow) -> str:
    """A DAG with as many tasks as one likes; how soon it is known, another test asks."""
    put("airstrip_probe.py", (PROBES / "airstrip_probe.py").read_text())
    airflow.wait_for_dag("airstrip_crowd")
    return "airstrip_crowd"


def test_the_host_is_what_the_scenario_says(node: Any) -> None:
    assert node.check_output("umask") == "0077"
    assert "noexec" in node.check_output("findmnt --noheadings --output OPTIONS /tmp")
    assert node.check_output("getent hosts $(hostname)").startswith("127.0.1.1 ")


def test_nothing_is_where_it_is_by_default(node: Any) -> None:
    assert [path for path in PLACES if node.file(path).exists] == []
    listening = set(map(int, re.findall(r":(\d+) ", node.check_output("ss --listening --tcp --numeric --no-header"))))
    assert listening & set(PORTS) == set()
    # The first and the last are those of the example's inventory.
    assert {8080, 8881, 8882, 8883, 8887, 8888, 8081} <= listening
    assert node.user("data-platform").uid == 4711
    assert not node.user("airflow").exists


def test_the_release_can_be_read_by_those_who_run_it(node: Any) -> None:
    release = node.check_output("readlink /srv/app/airflow/current")
    look = f"find {release}/bin {release}/lib -not -type l -not -readable"
    assert node.check_output(f"cd / && runuser -u data-platform -- {look}") == ""


def test_the_server_speaks_german(node: Any) -> None:
    assert sql(node, "SHOW lc_messages", "postgres") == "de_DE.UTF-8"
    refused = node.run("cd / && runuser -u postgres -- psql -d postgres -c 'SELECT * FROM nothing'")
    assert "existiert nicht" in refused.stderr


def test_every_queue_has_run_its_task(airflow: Airflow) -> None:
    last = airflow.request("GET", "/api/v2/dags/airstrip_smoke_test/dagRuns", order_by="-start_date", limit="1")
    run = last["dag_runs"][0]["dag_run_id"]
    tasks = {task["queue"]: task for task in airflow.tasks("airstrip_smoke_test", run) if "queue_" in task["task_id"]}
    assert set(tasks) == {"default", "team:a", "Reports.Daily", "mail_1-high"}
    assert {task["state"] for task in tasks.values()} == {"success"}
    for queue, task in tasks.items():
        assert f"airstrip: queue {queue}" in airflow.log("airstrip_smoke_test", run, task)


def test_the_site_calls_itself_well(node: Any) -> None:
    assert node.check_output("airstrip-status").splitlines()[0].startswith("OK")


def test_a_second_run_and_a_check_change_nothing(site: Site) -> None:
    result = site.command("ansible-playbook", "site.yml", "--check", "--diff")
    assert result.returncode == 0, result.stdout[-4000:]
    assert re.findall(r"changed=(\d+)", result.stdout) == ["0"]


def test_a_new_dag_is_there_within_30_seconds(put: Callable[[str, str], None], airflow: Airflow) -> None:
    text = "from airflow.sdk import DAG\nwith DAG(dag_id='airstrip_new', schedule=None):\n    pass"
    for number in range(3):
        name = f"airstrip_new_{number}"
        put(f"{name}.py", text.replace("airstrip_new", name))
        airflow.wait_for_dag(name, 30)


@contextmanager
def taken(airflow: Airflow, dag_id: str, tasks: int, seconds: int) -> Iterator[str]:
    """Have all slots of the queue `default` taken for as long as the context lasts."""
    limit, run = time.monotonic() + 60, airflow.start_new(dag_id, tasks=tasks, seconds=seconds)
    while sum(task["state"] == "running" for task in airflow.tasks(dag_id, run)) < 2:
        assert time.monotonic() < limit
        time.sleep(0.5)
    try:
        yield run
    finally:
        airflow.request("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run}", {"state": "failed"})


@pytest.mark.parametrize(
    ("load", "variables"),
    [
        pytest.param((60, 10), {"smoke_test_busy_timeout": 20}, id="short tasks"),
        pytest.param(
            (4, 600), {"smoke_test_run_timeout": 20, "smoke_test_busy_timeout": 10}, id="tasks of ten minutes"
        ),
    ],
)
def test_a_full_site_is_busy_and_no_failure(
    site: Site, airflow: Airflow, crowd: str, load: tuple[int, int], variables: dict[str, int]
) -> None:
    given = [text for name, value in variables.items() for text in ("-e", f"{name}={value}")]
    with taken(airflow, crowd, *load):
        result = site.command("ansible-playbook", "site.yml", "--tags", "verify", *given)
    assert result.returncode == 0, result.stdout[-4000:]
    # Without the line breaks of the output.
    told = " ".join(result.stdout.split())
    assert "All slots are busy with tasks that progress" in told, result.stdout[-4000:]
    assert re.search(r"worker \(default\) all of them \S+ BUSY 2 of 2 slots taken, \d+ tasks queued", told)
    assert "All slots are busy with tasks that progress" in result.stdout


def test_api_servers_are_replaced_without_a_failed_request(node: Any, airflow: Airflow) -> None:
    unit, drop_in = "airflow-api-server.service", "/run/systemd/system/airflow-api-server.service.d/test.conf"
    few = "GUNICORN_CMD_ARGS=--max-requests 200 --max-requests-jitter 200"
    node.check_output(
        f"mkdir -p $(dirname {drop_in}) && echo '{few}' >/run/airstrip-test.env"
        f" && printf '[Service]\nEnvironmentFile=/run/airstrip-test.env\n' >{drop_in}"
        f" && systemctl daemon-reload && systemctl restart {unit}"
    )
    airflow.wait_until_healthy()
    before, answers, end = set(processes(node, unit)), [], threading.Event()

    def ask() -> None:
        while not end.is_set():
            try:
                airflow.request("GET", "/api/v2/dags", limit="5")
                answers.append("")
            except requests.RequestException as error:
                answers.append(str(error))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    limit = time.monotonic() + 150
    # Its main process stays.
    while len(before & set(processes(node, unit))) > 1 and time.monotonic() < limit:
        time.sleep(1)
    end.set()
    for thread in asking:
        thread.join()
    left = before & set(processes(node, unit))
    node.check_output(f"rm {drop_in} /run/airstrip-test.env && systemctl daemon-reload && systemctl restart {unit}")
    airflow.wait_until_healthy()
    assert len(left) <= 1
    assert [answer for answer in answers if answer] == []


HOLD = "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(75)"


def test_a_run_waits_for_another_user_of_apt(site: Site, node: Any) -> None:
    # Ansible itself gives up after 60 s.
    node.check_output("apt-get -qq purge -y sl || true")
    node.check_output(f'systemd-run --quiet --collect --unit=airstrip-holder python3 -c "{HOLD}"')
    more = '{"base_extra_packages": ["sl"]}'
    result = site.command("ansible-playbook", "site.yml", "--tags", "base", "-e", more)
    assert result.returncode == 0, result.stdout[-4000:]
    assert node.package("sl").is_installed
    assert not node.service("airstrip-holder").is_running


@pytest.fixture
def proxy(site: Site) -> Iterator[Outsider]:
    """A host with a proxy, as companies have one: it lets nobody connect to ports but 443."""
    with outside(site.scenario) as found:
        found.check_output(["apt-get", "-qq", "update"])
        found.check_output(["apt-get", "-qq", "install", "-y", "--no-install-recommends", "tinyproxy-bin"])
        lines = ["Port 3128", "Listen 0.0.0.0", 'LogFile "/root/proxy.log"', "LogLevel Connect", "ConnectPort 443"]
        found.check_output(["tee", "/root/proxy.conf"], given="\n".join(lines) + "\n")
        found.check_output(["tinyproxy", "-c", "/root/proxy.conf"])
        yield found


ASK = """
import http.client, sys
proxy = http.client.HTTPConnection(sys.argv[1], 3128)
proxy.request("GET", "http://else.invalid/")
proxy.getresponse()
"""


def test_nothing_of_the_sites_goes_through_the_proxy(
    site: Site, node: Any, airflow: Airflow, crowd: str, proxy: Outsider
) -> None:
    url = f"http://{proxy.address}:3128"
    given = ["-e", f"site_http_proxy={url}", "-e", f"site_https_proxy={url}"]
    try:
        result = site.command("ansible-playbook", "site.yml", "--tags", "firewall,airflow,verify", *given)
        assert result.returncode == 0, result.stdout[-4000:]
        # A log that is read while its task runs comes from the worker's log server.
        with taken(airflow, crowd, 2, 60) as run:
            task = next(task for task in airflow.tasks(crowd, run) if task["state"] == "running")
            airflow.log(crowd, run, task)
        node.check_output(f"python3 -c %s {proxy.address}", ASK)
        asked = re.findall("Request .*", proxy.check_output(["cat", "/root/proxy.log"]))
    finally:
        result = site.command("ansible-playbook", "site.yml", "--tags", "firewall,airflow")
    assert result.returncode == 0, result.stdout[-4000:]
    # It is open to the host, and tells what it is asked.
    assert [line for line in asked if "else.invalid" in line], asked
    own = [site.address(site.hosts[0]), *site.hosts, "127.0.0.1", "localhost"]
    told = "\n".join(asked)
    assert [name for name in own if re.search(rf"\b{re.escape(name)}\b", told, re.IGNORECASE)] == [], told
