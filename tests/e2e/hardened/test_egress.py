"""Firewall: from a host and its tasks, what the inventory lists is reached, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_outsider import LIVES, Outsider, outside
from airstrip_site import Site

DAG = Path(__file__).with_name("airstrip_ways.py")
LISTED, UNLISTED = 7007, 7008
PROHIBITED = "No route to host"
CHAIN = "nft list chain inet airstrip output"
LISTEN = """
import socketserver, sys, threading
class Reflect(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(9):
            self.request.sendall(data)
for port in sys.argv[1:]:
    server = socketserver.ThreadingTCPServer(("", int(port)), Reflect)
    threading.Thread(target=server.serve_forever).start()
print("listening", flush=True)
"""


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Outsider]:
    """A host of which the inventory knows nothing, at whose ports somebody listens."""
    with outside(site.scenario) as found, found.running(["python3", "-c", LISTEN, str(LISTED), str(UNLISTED)]) as said:
        assert said.readline() == "listening\n"
        yield found


@pytest.fixture(scope="module")
def ways(put: Callable[[str, str], None], airflow: Airflow) -> str:
    put(DAG.name, DAG.read_text())
    airflow.wait_for_dag("airstrip_ways")
    return "airstrip_ways"


def run_firewall(site: Site, *, let_out_to: str = "", **variables: Any) -> int:
    """Run the role alone; return how many changes it made. With an address, that is listed, too."""
    listed = site.variable(site.hosts[0], "firewall_egress_destinations")
    more = [{"comment": "test", "port": LISTED, "destinations": [let_out_to]}] if let_out_to else []
    given = {"firewall_egress_destinations": listed + more} | variables
    result = site.command("ansible-playbook", "site.yml", "--tags", "firewall", "-e", json.dumps(given))
    assert result.returncode == 0, result.stdout[-4000:]
    return int(result.stdout.rpartition("changed=")[2].split()[0])


def connect(airflow: Airflow, dag_id: str, *targets: tuple[str, int]) -> list[tuple[str, float]]:
    """Return what comes of a task's connections."""
    run = airflow.start_new(dag_id, targets=targets)
    assert airflow.wait(dag_id, run) == "success"
    return [(told, seconds) for told, seconds in airflow.result(dag_id, run, "connect")]


def test_a_task_reaches_what_is_listed_and_nothing_else(
    site: Site, airflow: Airflow, ways: str, server: Outsider
) -> None:
    own, database = site.address(site.hosts[0]), site.variable(site.hosts[0], "site_database_port")
    targets = [(server.address, LISTED), (server.address, UNLISTED), (server.address, 22), ("192.0.2.1", 8080)]
    inside = [(own, 8080), ("127.0.0.1", database)]
    before = connect(airflow, ways, *targets, *inside)
    assert [told for told, _ in before] == [PROHIBITED] * 4 + ["open"] * 2
    assert run_firewall(site, let_out_to=server.address) > 0
    after = connect(airflow, ways, *targets, *inside)
    assert [told for told, _ in after] == ["open"] + [PROHIBITED] * 3 + ["open"] * 2
    # Nobody waits for what is not let out.
    assert max(seconds for _, seconds in [*before, *after]) < 2


def test_what_is_listed_no_more_is_cut_off(site: Site, node: Any, server: Outsider) -> None:
    run_firewall(site, let_out_to=server.address)
    said = "/run/airstrip-lives"
    start = f"systemd-run --quiet --collect --unit=airstrip-lives --uid=data-platform -p StandardOutput=truncate:{said}"
    node.check_output(f"{start} python3 -c %s {server.address} {LISTED}", LIVES)
    try:
        time.sleep(2)
        assert node.check_output(f"tail -n 1 {said}") == "lives"
        assert run_firewall(site) > 0
        node.check_output(f"timeout 20 sh -c 'until grep -q dead {said}; do sleep 0.5; done'")
    finally:
        node.run(f"systemctl stop airstrip-lives; rm {said}")


def test_what_goes_out_is_free_again_where_it_is_not_wanted(site: Site, node: Any, server: Outsider) -> None:
    before = node.check_output("nft --stateless list table inet airstrip")
    try:
        # What an interrupted run leaves, the next one completes.
        node.check_output("nft flush chain inet airstrip destinations")
        assert run_firewall(site) > 0
        assert node.check_output("nft --stateless list table inet airstrip") == before
        assert run_firewall(site, firewall_egress_enabled=False) > 0
        assert node.run(CHAIN).rc != 0
        look = f"runuser -u data-platform -- python3 -c %s {server.address} {UNLISTED}"
        node.check_output(look, "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)")
    finally:
        run_firewall(site)
    assert node.check_output("nft --stateless list table inet airstrip") == before


def test_a_host_is_not_kept_from_the_package_index(site: Site) -> None:
    given = json.dumps({"firewall_egress_destinations": [{"comment": "db", "port": 1, "destinations": ["192.0.2.1"]}]})
    result = site.command("ansible-playbook", "site.yml", "--tags", "validate", "-e", given)
    assert result.returncode != 0
    told = " ".join(result.stdout.split())
    assert "nothing lets the host out to pypi.org, port 443 (airflow_release_package_index_url)" in told
