"""FreshPoC from end to end: its services do their work, and what goes wrong ends as its document says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import Site

COMPANY = "https://company.airstrip.test:8443"
REPO = f"{COMPANY}/jaffle-shop-classic.git"
TASKS = ["ingestion_trigger", "miner_run", "analyzer_run", "writer_apply", "report_generate"]
# Names by their layer and kind; and who reads whom.
NODES = {
    "0|seed": ["raw_customers", "raw_orders", "raw_payments"],
    "1|model": ["stg_customers", "stg_orders", "stg_payments"],
    "2|model": ["customers", "orders"],
}
EDGES = {
    "customers": ["stg_customers", "stg_orders", "stg_payments"],
    "orders": ["stg_orders", "stg_payments"],
    **{f"stg_{name}": [f"raw_{name}"] for name in ("customers", "orders", "payments")},
}
TRIES, FIRST_WAIT = 30, 10


def until(found: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float) -> Any:
    """Ask again and again; return the first answer that is wanted."""
    limit = time.monotonic() + seconds
    while not wanted(answer := found()):
        assert time.monotonic() < limit, f"after {seconds} s still {answer!r}"
        time.sleep(1)
    return answer


def tasks(airflow: Airflow, dag: str, run: str) -> dict[str, dict[str, Any]]:
    return {task["task_id"]: task for task in airflow.tasks(dag, run)}


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def stopped(node: Any, service: str) -> Iterator[Callable[[], None]]:
    """A service that is away; what is given brings it back, and so does the end."""

    def start() -> None:
        node.check_output(f"systemctl start app-worker-{service}@1.service")

    node.check_output(f"systemctl stop app-worker-{service}@1.service")
    try:
        yield start
    finally:
        start()


def test_each_task_begins_when_the_one_before_has_ended(airflow: Airflow, deployed: str, green: str) -> None:
    found = tasks(airflow, deployed, green)
    assert {name: (task["state"], task["try_number"]) for name, task in found.items()} == dict.fromkeys(
        TASKS, ("success", 1)
    )
    for before, after in pairwise(TASKS):
        assert moment(found[after]["start_date"]) >= moment(found[before]["end_date"])


@pytest.mark.usefixtures("green")
def test_the_graph_is_that_of_the_repository(node: Any, services: Any) -> None:
    statement = "SELECT {} WHERE {} LIKE '%/jaffle-shop-classic.git' ORDER BY 2, 1"
    nodes = sql(node, statement.format("name, layer, kind FROM node", "repository"), "graph")
    assert nodes.split() == [f"{name}|{kind}" for kind, names in NODES.items() for name in names]
    edges = sql(node, statement.format("parent, child FROM edge", "repository"), "graph")
    assert edges.split() == [f"{parent}|{child}" for child, parents in EDGES.items() for parent in parents]
    commit = services.check_output("git -C /srv/git/jaffle-shop-classic.git rev-parse main")
    assert sql(node, statement.format("url, commit FROM repository", "url"), "graph") == f"{REPO}|{commit}"


@pytest.mark.usefixtures("green")
def test_all_events_came_through_the_bus(bus: Any) -> None:
    def last(stream: str, number: int) -> list[dict[str, Any]]:
        return [json.loads(fields["event"]) for _, fields in bus.xrevrange(stream, count=number)]

    names = {name for found in NODES.values() for name in found}
    assert {Path(event["path"]).stem for event in last("files", len(names))} == names
    assert {event["name"] for event in last("models", len(names))} == names
    (graph,) = last("graphs", 1)
    assert (graph["repo"], {node["name"] for node in graph["nodes"]}) == (REPO, names)
    for stream, service in {"files": "miner", "models": "analyzer", "graphs": "writer"}.items():
        (group,) = bus.xinfo_groups(stream)
        assert (group["name"], group["pending"], group["lag"]) == (service, 0, 0)


@pytest.mark.usefixtures("green")
def test_the_report_is_in_the_object_store(store: Any, services: Any) -> None:
    commit = services.check_output("git -C /srv/git/jaffle-shop-classic.git rev-parse main")
    key = f"production/company.airstrip.test/jaffle-shop-classic/{commit}.json"
    report = json.load(store.get_object(Bucket="freshpoc", Key=key)["Body"])
    staged = ["orders", "payments"]
    assert report == {
        "repo": REPO,
        "commit": commit,
        "counts": {"model": 5, "seed": 3},
        "layers": 3,
        "ends": {
            "customers": sorted(f"{kind}_{name}" for kind in ("raw", "stg") for name in ["customers", *staged]),
            "orders": sorted(f"{kind}_{name}" for kind in ("raw", "stg") for name in staged),
        },
    }


@pytest.mark.usefixtures("green")
def test_the_query_api_answers_who_is_on_the_host(site: Site) -> None:
    with site.tunnel("node-1", 8015) as port:
        answer = requests.get(
            f"http://127.0.0.1:{port}/upstream", params={"repo": REPO, "name": "stg_orders"}, timeout=30
        )
    assert (answer.status_code, answer.json()) == (200, ["raw_orders"])


@pytest.mark.usefixtures("green")
def test_a_second_run_changes_nothing(airflow: Airflow, deployed: str, node: Any, store: Any) -> None:
    def made() -> tuple[str, ...]:
        keys = [row["Key"] for row in store.list_objects_v2(Bucket="freshpoc")["Contents"]]
        counts = "SELECT (SELECT count(*) FROM node), (SELECT count(*) FROM edge), (SELECT count(*) FROM repository)"
        return (sql(node, counts, "graph"), *keys)

    before = made()
    assert airflow.wait(deployed, airflow.start(deployed, repo=REPO), 300) == "success"
    assert made() == before


def test_a_service_that_is_away_for_seconds_is_waited_for(airflow: Airflow, deployed: str, node: Any) -> None:
    with stopped(node, "miner") as start:
        run = airflow.start(deployed, repo=REPO)
        until(lambda: tasks(airflow, deployed, run)["miner_run"]["state"], lambda state: state == "running", 120)
        time.sleep(5)
        assert tasks(airflow, deployed, run)["miner_run"]["state"] == "running"
        start()
        assert airflow.wait(deployed, run, 300) == "success"
    assert tasks(airflow, deployed, run)["miner_run"]["try_number"] == 1


def test_a_task_is_tried_again_after_waits_that_grow_and_no_other_run_begins(
    airflow: Airflow, deployed: str, node: Any
) -> None:
    def tries() -> list[dict[str, Any]]:
        return airflow.tries(deployed, run, tasks(airflow, deployed, run)["writer_apply"])

    with stopped(node, "writer") as start:
        run = airflow.start(deployed, repo=REPO)
        until(lambda: tasks(airflow, deployed, run)["writer_apply"]["state"], lambda state: state == "running", 120)
        other = airflow.start(deployed, repo=REPO)
        until(
            lambda: tasks(airflow, deployed, run)["writer_apply"],
            lambda task: (task["try_number"], task["state"]) == (3, "running"),
            300,
        )
        assert airflow.state(deployed, other) == "queued"
        start()
        assert airflow.wait(deployed, run, 300) == "success"
    found = sorted(tries(), key=lambda one: one["try_number"])
    assert [one["state"] for one in found] == ["failed", "failed", "success"] or [one["state"] for one in found] == [
        "up_for_retry",
        "up_for_retry",
        "success",
    ], found
    for one in found[:2]:
        assert TRIES - 1 <= moment(one["end_date"]) - moment(one["start_date"]) <= 4 * TRIES + 30
    first, second = (moment(after["start_date"]) - moment(before["end_date"]) for before, after in pairwise(found))
    assert first >= FIRST_WAIT
    assert second >= 2 * FIRST_WAIT
    assert airflow.wait(deployed, other, 300) == "success"


def test_what_cannot_be_is_refused_at_once_and_the_next_commit_mends_it(
    airflow: Airflow, deployed: str, node: Any, services: Any
) -> None:
    def commit(text: str) -> str:
        services.check_output(
            "cd /srv/work/circle && echo %s >models/b.sql && git commit --quiet --all --allow-empty --message=More "
            "&& git push --quiet origin HEAD:main",
            text,
        )
        return str(services.check_output("git -C /srv/git/circle.git rev-parse main"))

    def written() -> str:
        return sql(node, "SELECT commit FROM repository WHERE url LIKE '%/circle.git'", "graph")

    repo = f"{COMPANY}/circle.git"
    bad = commit("select * from {{ ref('a') }}")
    run = airflow.start(deployed, repo=repo)
    assert airflow.wait(deployed, run, 300) == "failed"
    found = tasks(airflow, deployed, run)
    assert [found[name]["state"] for name in TASKS] == [
        "success", "success", "failed", "upstream_failed", "upstream_failed",
    ]  # fmt: skip
    assert found["analyzer_run"]["try_number"] == 1
    assert "a circle: " in airflow.log(deployed, run, found["analyzer_run"])
    assert written() != bad
    good = commit("select 1")
    assert airflow.wait(deployed, airflow.start(deployed, repo=repo), 300) == "success"
    assert written() == good


@pytest.mark.parametrize("repo", ["http://example.com/a.git", "file:///etc", "https://u:p@example.com/a.git"])
def test_a_url_that_leads_elsewhere_is_refused(site: Site, repo: str) -> None:
    with site.tunnel("node-1", 8011) as port:
        answer = requests.get(f"http://127.0.0.1:{port}/trigger", params={"repo": repo}, timeout=30)
    assert answer.status_code == 422, answer.text
