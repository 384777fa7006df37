"""Runs of the benchmarks' DAGs, and what Airflow tells about them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from airstrip_airflow import Airflow
from bench_play import BenchError
from bench_result import percentile
from bench_variants import Host

WIDE, CHAIN, SLEEP = "bench_wide", "bench_chain", "bench_sleep"
WIDE_TASKS, CHAIN_TASKS = 200, 20
_FILE = Path(__file__).parent / "dags" / "airstrip_bench.py"
_DIRECTORY = "/srv/airflow/dags"
# As long as it is there, the tasks of the sleeping DAG hold their slots.
_HOLD = f"{_DIRECTORY}/bench_hold"
_PAGE = 100


@dataclass(frozen=True)
class Run:
    """A finished run: seconds from its creation to its end, and those of its tasks in the order of their start."""

    seconds: float
    first_queued_to_last_end: float
    waits: list[float]

    @property
    def wait_p50(self) -> float:
        """Seconds from queued to started, of the median task."""
        return percentile(self.waits, 50)

    @property
    def wait_p95(self) -> float:
        """Seconds from queued to started, which 95 % of the tasks keep to."""
        return percentile(self.waits, 95)


def install(host: Host) -> None:
    """Put the DAGs where Airflow looks for DAGs."""
    host.site.lab.put(host.name, _DIRECTORY, {_FILE.name: _FILE.read_text(encoding="utf-8")})


def wait_for_dags(airflow: Airflow) -> None:
    """Wait until Airflow knows the DAGs."""
    end = time.monotonic() + 120
    while not all(airflow.has_dag(dag) for dag in (WIDE, CHAIN, SLEEP)):
        if time.monotonic() > end:
            raise BenchError(f"Airflow does not know the DAGs of {_FILE} after 120 s")
        time.sleep(1)


def tasks(airflow: Airflow, dag: str, run: str) -> list[dict[str, Any]]:
    """Return all task instances of a run."""
    path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances"
    found: list[dict[str, Any]] = []
    while True:
        page = airflow.request("GET", path, limit=str(_PAGE), offset=str(len(found)))
        found += page["task_instances"]
        if not page["task_instances"] or len(found) >= page["total_entries"]:
            return found


def finish(airflow: Airflow, dag: str, expected: int) -> Run:
    """Run a DAG to its end; raise BenchError unless all its tasks succeed."""
    run = airflow.start(dag)
    state = airflow.wait(dag, run, seconds=600)
    instances = tasks(airflow, dag, run)
    if state != "success" or len(instances) != expected or any(task["state"] != "success" for task in instances):
        states = sorted({str(task["state"]) for task in instances})
        raise BenchError(f"{dag}: {state}, {len(instances)} tasks, {', '.join(states)}")
    about = airflow.request("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")
    queued = [moment(task["queued_when"]) for task in instances]
    return Run(
        seconds=moment(about["end_date"]) - moment(about["queued_at"]),
        first_queued_to_last_end=max(moment(task["end_date"]) for task in instances) - min(queued),
        waits=[moment(task["start_date"]) - then for task, then in zip(instances, queued, strict=True)],
    )


def moment(text: str) -> float:
    """Return a time of the REST API as seconds."""
    return datetime.fromisoformat(text).timestamp()


def busy_slots(airflow: Airflow, run: str) -> int:
    """Return how many tasks of a run of the sleeping DAG hold a slot."""
    return sum(task["state"] == "running" for task in tasks(airflow, SLEEP, run))


def fill_slots(host: Host, airflow: Airflow) -> tuple[str, int]:
    """Start tasks that hold their slots; return their run and how many run at once, when no more start."""
    host.run("touch", _HOLD)
    run, running, since = airflow.start(SLEEP), 0, time.monotonic()
    end = since + 150
    while time.monotonic() < end:
        now = busy_slots(airflow, run)
        if now != running:
            running, since = now, time.monotonic()
        elif running and time.monotonic() - since > 10:
            return run, running
        time.sleep(1)
    raise BenchError(f"the number of running tasks does not settle: {running} now")


def empty_slots(host: Host, airflow: Airflow, run: str) -> None:
    """Let the tasks that hold the slots end, and those that wait for one run through."""
    host.run("rm", _HOLD)
    airflow.wait(SLEEP, run, seconds=240)
