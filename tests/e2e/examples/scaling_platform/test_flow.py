"""Runs of orders_etl by the README's own commands: rows, a report, pools and queues, and what the journals say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_postgresql import sql

DAG = "orders_etl"
# What the DAG's source gives: 40 orders on each of ten days, each day's larger by a dollar than those before.
ROWS = "\n".join(f"{day}|40|{40 * (1000 + 100 * day)}" for day in range(10))
TOTAL, AHEAD = 580_000, 80_000
PLACES = {
    "prepare": ("etl", "etl_pool", 1),
    "load": ("etl", "etl_pool", 4),
    "check": ("etl", "dq_pool", 3),
    "add_up": ("etl", "etl_pool", 1),
    "look_ahead": ("ml", "default_pool", 1),
    "report": ("light", "default_pool", 1),
}
FIELDS = {"timestamp", "logger", "level", "event", "task_id", "dag_id", "run_id", "queue", "duration_ms", "retry_count"}
ERRORS = {"error_type", "error_message", "logical_date"}


@dataclass(frozen=True)
class Run:
    """A run that has ended, its tasks, and the lines that the workers' journals have of it, each with its unit."""

    run_id: str
    state: str
    tasks: list[dict[str, Any]]
    lines: list[tuple[str, dict[str, Any]]]


def lines_of(hosts: dict[str, Any], run_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Return unit and content of each line about a run, as Loki would have them, in their order."""
    found = []
    for name in ("worker-1", "worker-2"):
        text = hosts[name].check_output("journalctl --quiet --identifier=airflow-task --output=json --since=-1h")
        entries = [json.loads(line) for line in text.splitlines()]
        found += [(entry["_SYSTEMD_UNIT"], json.loads(entry["MESSAGE"])) for entry in entries]
    about = [(unit, line) for unit, line in found if line["run_id"] == run_id]
    return sorted(about, key=lambda each: each[1]["timestamp"])


@pytest.fixture(scope="module")
def run(airflow: Airflow, start: Callable[..., str], hosts: dict[str, Any]) -> Run:
    run_id = start(DAG)
    state = airflow.wait(DAG, run_id, 300)
    return Run(run_id, state, airflow.tasks(DAG, run_id), lines_of(hosts, run_id))


@pytest.fixture(scope="module")
def spoilt(airflow: Airflow, start: Callable[..., str], hosts: dict[str, Any]) -> Run:
    """A run that has an order without an amount."""
    run_id = start(DAG, '{"spoil": true}')
    state = airflow.wait(DAG, run_id, 300)
    return Run(run_id, state, airflow.tasks(DAG, run_id), lines_of(hosts, run_id))


def test_the_run_is_green(run: Run, airflow: Airflow) -> None:
    logs = {task["task_id"]: airflow.log(DAG, run.run_id, task) for task in run.tasks if task["state"] != "success"}
    assert run.state == "success", logs


def test_each_task_has_its_queue_and_its_pool(run: Run) -> None:
    found = {name: {(task["queue"], task["pool"]) for task in run.tasks if task["task_id"] == name} for name in PLACES}
    assert found == {name: {(queue, pool)} for name, (queue, pool, _) in PLACES.items()}
    counts = {name: sum(task["task_id"] == name for task in run.tasks) for name in PLACES}
    assert counts == {name: number for name, (_, _, number) in PLACES.items()}


def rows(control: Any, run: Run, statement: str) -> str:
    """Return the rows of a statement, in which RUN is the id of a run."""
    return sql(control, statement.replace("RUN", f"'{run.run_id}'"), "analytics")


def test_orders_became_rows(run: Run, control: Any) -> None:
    assert rows(control, run, "SELECT count(*) FROM orders WHERE run_id = RUN") == "400"
    assert rows(control, run, "SELECT day, orders, cents FROM revenue WHERE run_id = RUN ORDER BY day") == ROWS
    assert rows(control, run, "SELECT day, cents FROM forecast WHERE run_id = RUN") == f"10|{AHEAD}"


def test_the_worker_of_node_js_has_the_report(run: Run, airflow: Airflow, ask: Any) -> None:
    answer = airflow.result(DAG, run.run_id, "report")
    assert answer["words"] == len(f"revenue {TOTAL} cents and {AHEAD} expected".split())
    job = ask("worker-1", "GET", f"http://worker-2:8140/jobs/{answer['job']}")
    assert (job["state"], job["result"]) == ("completed", {"words": answer["words"]})


def test_each_try_is_a_line_of_json_in_the_journal_of_its_queue_s_worker(run: Run) -> None:
    assert len(run.lines) == len(run.tasks)
    for unit, line in run.lines:
        assert set(line) >= FIELDS
        assert (line["event"], line["state"], line["level"]) == ("Task processed", "success", "info")
        queue, pool, _ = PLACES[line["task_id"]]
        assert (line["queue"], line["pool"]) == (queue, pool)
        assert 0 < line["duration_ms"] < 300_000
        assert unit.startswith(f"airflow-worker@{queue}")


def test_the_task_s_own_log_has_the_fields_too(run: Run, airflow: Airflow) -> None:
    path = f"/api/v2/dags/{DAG}/dagRuns/{run.run_id}/taskInstances/add_up/logs/1"
    content = airflow.request("GET", path, full_content="true")["content"]
    (line,) = [line for line in content if isinstance(line, dict) and line.get("event") == "Task processed"]
    assert line["queue"] == "etl"
    assert line["duration_ms"] > 0


def test_a_spoilt_order_fails_its_check_and_stops_the_rest(spoilt: Run, control: Any) -> None:
    assert spoilt.state == "failed"
    states = {(task["task_id"], task["map_index"]): task["state"] for task in spoilt.tasks}
    assert states["check", 0] == "failed"
    assert {states["check", 1], states["check", 2]} == {"success"}
    assert states["add_up", -1] == "upstream_failed"
    assert rows(control, spoilt, "SELECT count(*) FROM revenue WHERE run_id = RUN") == "0"


def test_a_failure_is_told_with_its_error_and_its_tries(spoilt: Run) -> None:
    failed = [line for _, line in spoilt.lines if line["level"] == "error"]
    assert all(set(line) >= FIELDS | ERRORS for line in failed)
    assert [(line["event"], line["state"], line["retry_count"]) for line in failed] == [
        ("Task failed", "up_for_retry", 0),
        ("Task failed", "up_for_retry", 1),
        ("Task failed", "failed", 2),
    ]
    assert {line["error_type"] for line in failed} == {"ValueError"}
    assert {line["error_message"] for line in failed} == {"an order without an amount: 1"}
    assert {line["queue"] for line in failed} == {"etl"}


@pytest.mark.parametrize("more", ["-e state=failed", "-e queue=etl -e level=error"])
def test_the_lines_of_all_hosts_are_searched_by_one_command(
    spoilt: Run, readme: Callable[..., str], wait_until: Callable[..., Any], more: str
) -> None:
    def found() -> str:
        return readme("ansible-playbook", f"playbooks/logs.yml -e dag=orders_etl {more}")

    wait_until(found, lambda said: "Task failed" in said and spoilt.run_id in said, 60)
