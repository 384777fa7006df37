"""What a run of the smoke test says about the components."""

from typing import Any

import pytest
from airstrip_registry import registry
from smoke_test import smoke_test_failing, smoke_test_table

COMPONENTS = {name: {"job": entry.probe.job, "hosts": ["c1"]} for name, entry in registry().items()}

JOBS = [
    {"job_type": "SchedulerJob", "hostname": "c1", "heartbeat_age": 1.24},
    {"job_type": "DagProcessorJob", "hostname": "c1", "heartbeat_age": 3.0},
    {"job_type": "TriggererJob", "hostname": "c2", "heartbeat_age": 0.5},
    {"job_type": "LocalTaskJob", "hostname": "c3", "heartbeat_age": 0.1},
]


def run(stage: str = "done", *states: str | None, **other: Any) -> dict[str, Any]:
    return {"stage": stage, "task_instances": [{"state": state} for state in states], "jobs": JOBS, **other}


@pytest.mark.parametrize(
    ("result", "failing"),
    [
        pytest.param(run(), "", id="done"),
        pytest.param(run("busy", "success", "queued"), "", id="busy"),
        pytest.param(run("busy", "queued", jobs=JOBS[:2]), "triggerer", id="busy, and no triggerer lives"),
        pytest.param(run("api", jobs=[]), "api_server", id="no answer"),
        pytest.param(run("parse"), "dag_processor", id="not parsed"),
        pytest.param(run("schedule"), "scheduler", id="not scheduled"),
        pytest.param(run("run", None, "scheduled"), "scheduler", id="never queued"),
        pytest.param(run("run", "success", "queued"), "worker", id="waits in the queue"),
        pytest.param(run("run", "success", "running"), "worker", id="never ends"),
        pytest.param(run("run", "success", "failed", "upstream_failed"), "worker", id="failed"),
        pytest.param(run("run", "success", "deferred"), "triggerer", id="never resumed"),
        pytest.param(run("run", "queued", "deferred"), "worker", id="queued before deferred"),
        pytest.param(run("logs", "success", "success"), "worker", id="no log"),
        pytest.param(run(jobs=JOBS[1:]), "scheduler", id="no scheduler lives"),
        pytest.param(run(jobs=JOBS[:1] + JOBS[2:]), "dag_processor", id="no DAG processor lives"),
        pytest.param(run(jobs=JOBS[:2]), "triggerer", id="no triggerer lives"),
    ],
)
def test_the_failing_component_is_named(result: dict[str, Any], failing: str) -> None:
    assert smoke_test_failing(result, COMPONENTS) == failing


def instance(queue: str, queued: str | None, started: str | None, hostname: str = "w1") -> dict[str, Any]:
    day = "2026-11-21T12:00:"
    return {
        "state": "success", "queue": queue, "hostname": hostname,
        "queued_when": queued and f"{day}{queued}+00:00", "start_date": started and f"{day}{started}+00:00",
    }  # fmt: skip


def test_table() -> None:
    tasks = [
        instance("default", "01.5", "02.75"),
        instance("default", "03.0", "03.5"),
        instance("gpu", "01.0", "03.0", "w2"),
        instance("gpu", None, "03.0", "w2"),
    ]
    result = {
        "stage": "done", "version": "3.3.2", "api_host": "10.0.0.1", "api_seconds": 0.0123, "seconds": 9.96,
        "jobs": JOBS, "task_instances": tasks,
    }  # fmt: skip
    assert smoke_test_table(result, COMPONENTS) == [
        "component         host      version  health   latency",
        "----------------  --------  -------  -------  -------",
        "api_server        10.0.0.1  3.3.2    healthy  12 ms",
        "scheduler         c1        3.3.2    healthy  1.2 s",
        "dag_processor     c1        3.3.2    healthy  3.0 s",
        "triggerer         c2        3.3.2    healthy  0.5 s",
        "worker (default)  w1        3.3.2    healthy  1.2 s",
        "worker (gpu)      w2        3.3.2    healthy  2.0 s",
        "4 tasks succeeded in 10.0 s; a log of each was read back.",
    ]


def test_table_of_a_busy_site() -> None:
    tasks = [instance("default", "01.5", "02.75"), instance("mail", "01.5", None) | {"state": "queued"}]
    result = {
        "stage": "busy", "version": "3.3.2", "api_host": "vm", "api_seconds": 0.1, "jobs": [], "task_instances": tasks,
        "busy": {"mail": {"slots": 16, "running": 16, "queued": 40, "begun": 3}},
    }  # fmt: skip
    lines = smoke_test_table(result, COMPONENTS)
    assert [" ".join(line.split()) for line in lines[3:]] == [
        "worker (default) w1 3.3.2 healthy 1.2 s",
        "worker (mail) all of them 3.3.2 BUSY 16 of 16 slots taken, 40 tasks queued",
        "All slots are busy with tasks that progress: 1 of 2 tasks of the test succeeded yet.",
    ]


def test_table_of_times_in_different_zones() -> None:
    task = instance("default", None, None) | {
        "queued_when": "2026-11-21T12:00:00Z", "start_date": "2026-11-21T13:00:04+01:00",
    }  # fmt: skip
    result = {
        "stage": "done", "version": "3.3.2", "api_host": "vm", "api_seconds": 0.1, "seconds": 1.0, "jobs": [],
        "task_instances": [task],
    }  # fmt: skip
    assert smoke_test_table(result, COMPONENTS)[3].endswith("4.0 s")
