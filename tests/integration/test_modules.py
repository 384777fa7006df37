"""The modules airflow_user and airflow_dag_run, each in a process of its own, against a server that speaks HTTP."""

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
USER = "/auth/fab/v1/users/ada"
ADA = {
    "username": "ada", "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace",
    "roles": [{"name": "Viewer"}], "active": True, "login_count": 3,
}  # fmt: skip
WANTED = {
    "username": "ada", "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "roles": ["Viewer"],
}  # fmt: skip


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


def test_user_that_is_missing_is_created(tmp_path: Path) -> None:
    with serving({**TOKEN, "POST /auth/fab/v1/users": (200, ADA)}) as server:
        result = run(tmp_path, "airflow_user", api(server, **WANTED, password=PASSWORD))
    assert (result["failed"], result["changed"]) == (False, True)
    assert changes(server) == [
        ("POST /auth/fab/v1/users", {**WANTED, "roles": [{"name": "Viewer"}], "password": PASSWORD})
    ]


def test_user_without_password_is_not_created(tmp_path: Path) -> None:
    with serving(TOKEN) as server:
        result = run(tmp_path, "airflow_user", api(server, **WANTED))
    assert result["failed"]
    assert result["msg"] == "user ada does not exist: its creation needs a password"
    assert changes(server) == []


def test_user_that_is_as_wanted_is_left_alone(tmp_path: Path) -> None:
    with serving({**TOKEN, f"GET {USER}": (200, ADA)}) as server:
        result = run(tmp_path, "airflow_user", api(server, **WANTED, password=PASSWORD))
    assert (result["failed"], result["changed"]) == (False, False)
    assert changes(server) == []


def test_only_what_differs_is_changed(tmp_path: Path) -> None:
    answers = {**TOKEN, f"GET {USER}": (200, ADA), f"PATCH {USER}?update_mask=email%2Croles": (200, ADA)}
    wanted = WANTED | {"email": "new@example.com", "roles": ["User", "Op"]}
    with serving(answers) as server:
        result = run(tmp_path, "airflow_user", api(server, **wanted))
    assert (result["failed"], result["changed"]) == (False, True)
    ((request, body),) = changes(server)
    assert request == f"PATCH {USER}?update_mask=email%2Croles"
    assert body["roles"] == [{"name": "Op"}, {"name": "User"}]
    assert "password" not in body
    assert result["diff"]["before"]["roles"] == ["Viewer"]
    assert result["diff"]["after"]["email"] == "new@example.com"


def test_check_mode_changes_nothing(tmp_path: Path) -> None:
    with serving({**TOKEN, f"GET {USER}": (200, ADA)}) as server:
        result = run(tmp_path, "airflow_user", api(server, username="ada", state="absent"), check=True)
    assert (result["failed"], result["changed"]) == (False, True)
    assert changes(server) == []


def test_user_is_deleted_once(tmp_path: Path) -> None:
    answers = {**TOKEN, f"GET {USER}": (200, ADA), f"DELETE {USER}": (204, "")}
    with serving(answers) as server:
        first = run(tmp_path, "airflow_user", api(server, username="ada", state="absent"))
        del server.answers[f"GET {USER}"]
        second = run(tmp_path, "airflow_user", api(server, username="ada", state="absent"))
    assert (first["changed"], second["changed"]) == (True, False)
    assert changes(server) == [(f"DELETE {USER}", None)]


# As curl and Airflow's own client write them.
ODD_NAMES = {
    "ada@example.com": "ada%40example.com",
    "Ada Müller": "Ada%20M%C3%BCller",
    "100% ada": "100%25%20ada",
    "ada+test?#": "ada%2Btest%3F%23",
}


@pytest.mark.parametrize(("name", "quoted"), ODD_NAMES.items())
def test_names_are_quoted_once(name: str, quoted: str, tmp_path: Path) -> None:
    path = f"/auth/fab/v1/users/{quoted}"
    answers = {**TOKEN, f"GET {path}": (200, ADA | {"username": name}), f"DELETE {path}": (204, "")}
    with serving(answers) as server:
        present = run(tmp_path, "airflow_user", api(server, **WANTED | {"username": name}))
        absent = run(tmp_path, "airflow_user", api(server, username=name, state="absent"))
    assert (present["failed"], present["changed"]) == (False, False)
    assert absent["changed"]
    assert changes(server) == [(f"DELETE {path}", None)]


@pytest.mark.parametrize("name", ["a/b", ""])
def test_name_that_the_api_cannot_find_is_refused(name: str, tmp_path: Path) -> None:
    with serving(TOKEN) as server:
        result = run(tmp_path, "airflow_user", api(server, **WANTED | {"username": name}, password=PASSWORD))
    assert result["failed"]
    assert "no user whose name is empty or has a slash" in result["msg"]
    assert server.requests == []


def test_password_is_set_anew_only_on_demand(tmp_path: Path) -> None:
    answers = {**TOKEN, f"GET {USER}": (200, ADA), f"PATCH {USER}?update_mask=password": (200, ADA)}
    with serving(answers) as server:
        arguments = api(server, **WANTED, password=PASSWORD, update_password="always")  # noqa: S106
        result = run(tmp_path, "airflow_user", arguments)
    assert (result["failed"], result["changed"]) == (False, True)
    assert changes(server)[0][1]["password"] == PASSWORD


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"username": "ada"}, "state is present but all of the following are missing"),
        ({"username": "ada", "state": "gone"}, "value of state must be one of"),
        ({}, "missing required arguments: username"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with serving(TOKEN) as server:
        result = run(tmp_path, "airflow_user", api(server, **arguments))
    assert result["failed"]
    assert message in result["msg"]
    assert server.requests == []


def test_refusal_of_airflow_is_handed_on(tmp_path: Path) -> None:
    answers = {**TOKEN, "POST /auth/fab/v1/users": (400, {"detail": "Unknown roles: 'Nobody'"})}
    with serving(answers) as server:
        result = run(tmp_path, "airflow_user", api(server, **WANTED | {"roles": ["Nobody"]}, password=PASSWORD))
    assert result["failed"]
    assert "user ada: POST /auth/fab/v1/users: HTTP 400" in result["msg"]
    assert "Unknown roles: 'Nobody'" in result["msg"]


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
