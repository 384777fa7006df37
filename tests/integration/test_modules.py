"""The module airflow_dag_run in a process of its own, against a server that speaks HTTP."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from airstrip_http import Server, serving
from airstrip_module import run_module

PASSWORD = "not-in-any-output-4711"  # noqa: S105
TOKEN = {"POST /auth/token": (201, {"access_token": "abc"})}


def run(tmp_path: Path, module: str, arguments: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Run a module in a process of its own; return its result, which must not contain the password."""
    found = run_module(tmp_path, module, arguments, check=check)
    # Ansible itself hides what a module says it was called with.
    assert PASSWORD not in json.dumps({name: value for name, value in found.items() if name != "invocation"})
    return found


def api(server: Server, **arguments: Any) -> dict[str, Any]:
    return {"api_url": server.url, "api_username": "admin", "api_password": PASSWORD, **arguments}


def changes(server: Server) -> list[tuple[str, Any]]:
    """Return the requests that change something, with their bodies."""
    return [
        (request, body) for request, _, body in server.requests if not request.startswith(("GET ", "POST /auth/token"))
    ]


VERSION = {"GET /api/v2/version": (200, {"version": "3.3.2"})}
JOB = {"job_type": "SchedulerJob", "hostname": "vm", "latest_heartbeat": "2026-11-21T00:00:00+00:00"}
LIVING = "is_alive=true&job_state=running&order_by=-latest_heartbeat&limit=100"
JOBS = {f"GET /api/v2/jobs?{LIVING}": (200, {"jobs": [JOB]})}
DAG = {"GET /api/v2/dags/nightly": (200, {"tags": [{"name": "new"}], "is_paused": False})}
RUN = "/api/v2/dags/nightly/dagRuns"
TASK = {"task_id": "one", "map_index": -1, "try_number": 1, "state": "success", "hostname": "vm"}
STARTED = {f"POST {RUN}": (200, {"dag_run_id": "r1"}), f"GET {RUN}/r1/taskInstances": (200, {"task_instances": [TASK]})}
FAILED = {f"GET {RUN}/r1": (200, {"state": "failed", "duration": 1.0})}
OLD_DAG = {"GET /api/v2/dags/nightly": (200, {"tags": [], "is_paused": False})}
ENDED = {f"GET {RUN}/r1": (200, {"state": "success", "duration": 4.5})}
LOG = f"GET {RUN}/r1/taskInstances/one/logs/1?map_index=-1&full_content=true"


def test_run_ends_with_the_logs(tmp_path: Path) -> None:
    lines = [{"event": "::group::"}, {"event": "hello", "timestamp": "2026-11-21T00:00:00Z"}]
    with serving({**TOKEN, **VERSION, **JOBS, **DAG, **STARTED, **ENDED, LOG: (200, {"content": lines})}) as server:
        result = run(tmp_path, "airflow_dag_run", api(server, dag_id="nightly", tag="new", conf={"a": 1}))
    assert (result["failed"], result["changed"], result["stage"]) == (False, True, "done")
    assert (result["version"], result["seconds"], result["run_id"]) == ("3.3.2", 4.5, "r1")
    assert result["task_instances"][0]["log_lines"] == 1
    assert result["jobs"][0]["heartbeat_age"] > 0
    ((request, body),) = changes(server)
    assert request == f"POST {RUN}"
    assert body == {"dag_run_id": body["dag_run_id"], "logical_date": None, "conf": {"a": 1}}


PLACE = "s3://logs/x/one.log"


@pytest.mark.parametrize(
    "head",
    [
        [{"event": "::group::Log message source details", "sources": [PLACE]}, {"event": "::endgroup::"}],
        [{"event": "::group::Log message source details"}, {"event": PLACE}, {"event": "::endgroup::"}],
    ],
    ids=["3.1", "3.2"],
)
@pytest.mark.parametrize(("wanted", "stage"), [("s3://logs/", "done"), ("s3://other/", "logs"), ("", "done")])
def test_logs_have_to_come_from_where_they_are_kept(
    tmp_path: Path, head: list[dict[str, Any]], wanted: str, stage: str
) -> None:
    content = {"content": [*head, {"event": wanted, "timestamp": "2026-11-21T00:00:00Z"}]}
    with serving({**TOKEN, **VERSION, **JOBS, **DAG, **STARTED, **ENDED, LOG: (200, content)}) as server:
        given = api(server, dag_id="nightly", log_source=wanted, log_timeout=1)
        result = run(tmp_path, "airflow_dag_run", given)
    assert (result["failed"], result["stage"]) == (stage != "done", stage)
    assert result["task_instances"][0]["log_sources"] == [PLACE]
    if stage == "logs":
        assert f"its log comes from {PLACE}, and not from s3://other/" in result["msg"]


def test_what_cloudwatch_says_in_place_of_a_log_is_none(tmp_path: Path) -> None:
    source = "Reading remote log from Cloudwatch log_group: /a log_stream: b"
    notice = {"event": "No log stream found in CloudWatch (log_group=/a)", "timestamp": "2026-11-21T00:00:00Z"}
    content = {"content": [{"event": "::group::Log message source details"}, {"event": source}, notice]}
    with serving({**TOKEN, **VERSION, **JOBS, **DAG, **STARTED, **ENDED, LOG: (200, content)}) as server:
        given = api(server, dag_id="nightly", log_source="Reading remote log from Cloudwatch", log_timeout=1)
        result = run(tmp_path, "airflow_dag_run", given)
    assert (result["failed"], result["stage"]) == (True, "logs")


@pytest.mark.parametrize(
    ("answers", "stage", "message"),
    [
        ({}, "api", "GET /api/v2/version: HTTP 404"),
        ({**TOKEN, **VERSION, **JOBS}, "parse", "DAG nightly was not parsed within 1 s"),
        (
            {**TOKEN, **VERSION, **JOBS, **STARTED, **OLD_DAG},
            "parse",
            "DAG nightly was not parsed within 1 s",
        ),
        (
            {**TOKEN, **VERSION, **JOBS, **DAG, **STARTED, f"GET {RUN}/r1": (200, {"state": "running"})},
            "run",
            "DAG nightly did not end within 1 s",
        ),
        (
            {**TOKEN, **VERSION, **JOBS, **DAG, **STARTED, **FAILED},
            "run",
            "the run ended in state failed",
        ),
        (
            {**TOKEN, **VERSION, **JOBS, **DAG, **STARTED, **ENDED, LOG: (200, {"content": ["403 Forbidden"]})},
            "logs",
            "task one on vm: no log",
        ),
        (
            {**TOKEN, **VERSION, **JOBS, "GET /api/v2/dags/nightly": (503, {"detail": "no database"})},
            "parse",
            "GET /api/v2/dags/nightly: HTTP 503",
        ),
    ],
    ids=["no api", "no dag", "old dag", "runs too long", "failed", "no log", "server error"],
)  # fmt: skip
def test_failure_tells_how_far_it_came(tmp_path: Path, answers: Any, stage: str, message: str) -> None:
    with serving(answers) as server:
        arguments = api(server, dag_id="nightly", tag="new", parse_timeout=1, run_timeout=1)
        result = run(tmp_path, "airflow_dag_run", arguments)
    assert result["failed"]
    assert result["stage"] == stage
    assert message in result["msg"]


ALL_TASKS = "GET /api/v2/dags/~/dagRuns/~/taskInstances?queue=default&queue=mail&limit=1"
WORKERS = [{"queues": ["default", "mail"], "slots": 2}, {"queues": ["reports"], "slots": 8}]
WAITS = {f"GET {RUN}/r1/taskInstances": (200, {"task_instances": [TASK | {"state": "queued", "queue": "default"}]})}


def counts(**number: int) -> dict[str, Any]:
    """Return what the API says of the tasks of the first worker's queues."""
    queries = {"running": "state=running", "queued": "state=queued", "begun": "start_date_gte=*"}
    return {
        f"{ALL_TASKS}&{query}": (200, {"task_instances": [], "total_entries": number[name]})
        for name, query in queries.items()
    }


@pytest.mark.parametrize(
    ("counted", "workers", "busy"),
    [
        ({"running": 2, "begun": 1}, WORKERS, True),
        # Tasks of a worker that is gone, maybe; not if Airflow has not missed their heartbeats by then.
        ({"running": 2, "begun": 0}, WORKERS, True),
        ({"running": 1, "begun": 1}, WORKERS, False),
        ({"running": 2, "begun": 1}, [], False),
        ({"running": 2, "begun": 1}, WORKERS[1:], False),
    ],
    ids=["progress", "long tasks", "a free slot", "no workers", "no worker for it"],
)
def test_a_run_without_a_slot_is_no_failure(tmp_path: Path, counted: dict[str, int], workers: Any, busy: bool) -> None:
    answers = {**TOKEN, **VERSION, **JOBS, **DAG, **STARTED, **WAITS, f"GET {RUN}/r1": (200, {"state": "running"})}
    with serving({**answers, **counts(queued=7, **counted)}) as server:
        given = api(server, dag_id="nightly", run_timeout=3, busy_timeout=1, slots=workers)
        result = run(tmp_path, "airflow_dag_run", given)
    assert result["failed"] is not busy, result
    assert result["stage"] == ("busy" if busy else "run")
    if busy:
        assert result["busy"] == {"default": {"slots": 2, "queued": 7, **counted}}


def test_error_of_the_server_that_passes_is_no_failure(tmp_path: Path) -> None:
    lines = [{"event": "hello", "timestamp": "2026-11-21T00:00:00Z"}]
    answers = {**TOKEN, **VERSION, **JOBS, **STARTED, **ENDED, LOG: (200, {"content": lines})}
    with serving({**answers, "GET /api/v2/dags/nightly": (500, {"detail": "connection lost"})}) as server:
        recovery = threading.Timer(2, server.answers.update, [DAG])
        recovery.start()
        result = run(tmp_path, "airflow_dag_run", api(server, dag_id="nightly", parse_timeout=60))
        recovery.join()
    assert (result["failed"], result["stage"]) == (False, "done"), result
    assert server.asked().count("GET /api/v2/dags/nightly") > 1


def test_dag_without_its_serialized_form_is_waited_for(tmp_path: Path) -> None:
    lines = [{"event": "hello", "timestamp": "2026-11-21T00:00:00Z"}]
    answers = {**TOKEN, **VERSION, **JOBS, **DAG, **STARTED, **ENDED, LOG: (200, {"content": lines})}
    with serving({**answers, f"POST {RUN}": (404, {"detail": "not found"})}) as server:
        recovery = threading.Timer(2, server.answers.update, [STARTED])
        recovery.start()
        result = run(tmp_path, "airflow_dag_run", api(server, dag_id="nightly", parse_timeout=60))
        recovery.join()
    assert (result["failed"], result["stage"]) == (False, "done"), result


def test_run_whose_answer_was_lost_is_not_made_twice(tmp_path: Path) -> None:
    answers = {**TOKEN, **VERSION, **JOBS, **DAG, f"POST {RUN}": (409, {"detail": "it exists"})}
    with serving(answers) as server:
        result = run(tmp_path, "airflow_dag_run", api(server, dag_id="nightly", run_timeout=1))
    ((_, body),) = changes(server)
    assert result["run_id"] == body["dag_run_id"]


def test_paused_dag_is_released(tmp_path: Path) -> None:
    dag = {
        "GET /api/v2/dags/nightly": (200, {"tags": [], "is_paused": True}),
        "PATCH /api/v2/dags/nightly": (200, {}),
    }
    with serving({**TOKEN, **VERSION, **JOBS, **dag, **STARTED, **ENDED}) as server:
        run(tmp_path, "airflow_dag_run", api(server, dag_id="nightly", run_timeout=1))
    assert ("PATCH /api/v2/dags/nightly", {"is_paused": False}) in changes(server)
