"""The topology as text and as a drawing."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from airstrip_imagined import imagined
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact
from topology_drawing import airflow_topology_svg, airflow_topology_text

SVG = "{http://www.w3.org/2000/svg}"
GROUPS = {name: name for name in ("postgresql", "redis", "load_balancer")}
CONTROL = ("api_server", "scheduler", "dag_processor", "triggerer")


def placed(components: Sequence[str], *hosts: str) -> dict[str, list[str]]:
    return {component: list(hosts) for component in components}


def topology(**components: list[str]) -> dict[str, Any]:
    return fact(imagined({GROUPS.get(name, f"airflow_{name}"): hosts for name, hosts in components.items()}))


def site(workers: int) -> dict[str, Any]:
    control = placed(CONTROL, "control")
    names = [f"worker-{number}" for number in range(1, workers + 1)]
    return topology(postgresql=["data"], redis=["data"], **control, worker=names)


def drawn(document: str) -> tuple[list[str], int, int]:
    """Return the texts of a drawing, and the numbers of its boxes and of its arrows."""
    root = ET.fromstring(document)  # noqa: S314 it has just been made here
    classes = [element.get("class") for element in root.iter()]
    return [str(text.text) for text in root.iter(f"{SVG}text")], classes.count("group"), classes.count("way")


def test_the_text_names_each_group_and_what_it_reaches() -> None:
    assert airflow_topology_text(site(2)).splitlines() == [
        "worker-1, worker-2: worker",
        "    to control: Execution API 8080",
        "    to data: PostgreSQL 5432, broker 6379",
        "control: API server, DAG processor, scheduler, triggerer",
        "    open to everybody: API 8080",
        "    to worker-1, worker-2: worker logs 8793",
        "    to data: PostgreSQL 5432, broker 6379",
        "data: PostgreSQL, broker",
    ]


@pytest.mark.parametrize("workers", [1, 3, 40])
def test_a_drawing_has_a_box_for_each_group_and_an_arrow_for_each_way(workers: int) -> None:
    texts, boxes, arrows = drawn(airflow_topology_svg(site(workers)))
    assert (boxes, arrows) == (3, 4)
    assert texts.count("PostgreSQL 5432, broker 6379") == 2
    assert {"Execution API 8080", "worker logs 8793", "control", "data"} <= set(texts)


def test_load_balancers_are_what_everybody_reaches() -> None:
    groups = {"load_balancer": ["edge-1", "edge-2"], "airflow_api_server": ["control"], "airflow_worker": ["worker"]}
    found = fact(imagined(groups, virtual_address="10.0.0.100"))
    assert airflow_topology_text(found).splitlines() == [
        "worker: worker",
        "    to edge-1, edge-2: Execution API 8443",
        "control: API server",
        "    to worker: worker logs 8793",
        "edge-1, edge-2: virtual address, load balancer",
        "    open to everybody: HTTP 80, HTTPS 443",
        "    to control: API 8080",
        "    to edge-1, edge-2: VRRP",
    ]
    # What is too long for a box goes on in the next line.
    texts = drawn(airflow_topology_svg(found))[0]
    assert texts[texts.index("open to everybody: HTTP 80,") + 1] == "HTTPS 443"


def test_many_hosts_are_named_by_the_first_and_the_last() -> None:
    assert airflow_topology_text(site(40)).startswith("worker-1 to worker-40 (40 hosts): worker\n")
    assert "worker-1 to worker-40 (40 hosts)" in drawn(airflow_topology_svg(site(40)))[0]


def test_everything_on_one_host_is_one_box_without_arrows() -> None:
    everything = placed(("postgresql", "redis", *CONTROL, "worker"), "vm")
    assert drawn(airflow_topology_svg(topology(**everything)))[1:] == (1, 0)
    assert airflow_topology_text(topology(**everything)).count("\n") == 2


def test_hosts_of_one_group_that_talk_to_each_other_say_so() -> None:
    control = placed(CONTROL, "control-1", "control-2")
    found = topology(postgresql=["data"], redis=["data"], **control, worker=["worker-1"])
    assert "    to control-1, control-2: triggerer logs 8794" in airflow_topology_text(found).splitlines()
    assert "among them: triggerer logs 8794" in drawn(airflow_topology_svg(found))[0]


def test_a_name_cannot_break_the_drawing() -> None:
    assert "a<b&c" in drawn(airflow_topology_svg(topology(postgresql=["a<b&c"])))[0]


def test_servers_outside_of_the_inventory_are_drawn_where_they_are_needed() -> None:
    groups = {"airflow_scheduler": ["control"], "airflow_worker": ["worker"], "airflow_api_server": ["control"]}
    found = fact(imagined(groups, database_host="db.example.com", broker_host="broker.example.com"))
    assert airflow_topology_text(found).splitlines() == [
        "worker: worker",
        "    to control: Execution API 8080",
        "    to broker.example.com: broker 6379",
        "    to db.example.com: PostgreSQL 5432",
        "control: API server, scheduler",
        "    open to everybody: API 8080",
        "    to worker: worker logs 8793",
        "    to broker.example.com: broker 6379",
        "    to db.example.com: PostgreSQL 5432",
        "broker.example.com: broker, outside of the inventory",
        "db.example.com: PostgreSQL, outside of the inventory",
    ]
    assert drawn(airflow_topology_svg(found))[1] == 4
    one = fact(imagined(groups, database_host="store.example.com", broker_host="store.example.com"))
    assert airflow_topology_text(one).splitlines()[2] == "    to store.example.com: PostgreSQL 5432, broker 6379"


def test_hosts_that_run_nothing_are_not_drawn() -> None:
    idle = fact(imagined({"spare": ["idle"]}))
    assert drawn(airflow_topology_svg(idle)) == ([], 0, 0)
    assert airflow_topology_text(idle) == ""


@pytest.mark.parametrize("draw", [airflow_topology_text, airflow_topology_svg])
@pytest.mark.parametrize("given", [None, [], {}, {"hosts": {}}])
def test_anything_else_is_refused(draw: Any, given: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="give the result of site_model"):
        draw(given)


def test_the_documents_show_the_example_of_several_hosts(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("ansible-playbook")
    inventory, book = PROJECT / "inventory" / "distributed", PROJECT / "playbooks" / "topology.yml"
    argv = [str(program), "--inventory", str(inventory), str(book), "--extra-vars", f"topology_directory={tmp_path}"]
    result = subprocess.run(argv, cwd=PROJECT, capture_output=True, check=False, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert made == {
        name: (PROJECT / "docs" / name).read_text(encoding="utf-8") for name in ("topology.txt", "topology.svg")
    }
