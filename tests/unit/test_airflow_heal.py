"""What roles/airflow_heal/files/airflow_heal.py takes for a hang, and what it does about it."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

heal = load(PROJECT / "roles" / "airflow_heal" / "files" / "airflow_heal.py")

KEY = "k" * 64
LIMITS = heal.Limits()
SCHEDULER = heal.Seen("airflow-scheduler.service", "scheduler", "active", 10, 1000.0, beat=3.0)
PROCESSOR = heal.Seen("airflow-dag-processor.service", "dag_processor", "active", 11, 1000.0, beat=3.0)
TRIGGERER = heal.Seen("airflow-triggerer.service", "triggerer", "active", 12, 1000.0, beat=3.0)
API = heal.Seen("airflow-api-server.service", "api_server", "active", 13, 1000.0, answers=True)
WORKER = heal.Seen("airflow-worker@default.service", "worker", "active", 14, 1000.0, received=0.3)
FINE = heal.Around(beats=(3.0, 3.0, 3.0), parsed=20.0)
HANGS = {
    "a scheduler is stopped": (replace(SCHEDULER, stopped=True), FINE, "stopped", "restart"),
    "a scheduler does not beat": (replace(SCHEDULER, beat=60.0), FINE, "no-heartbeat", "restart"),
    "a scheduler that runs tasks does not beat": (
        replace(SCHEDULER, beat=60.0, tasks=2), FINE, "no-heartbeat", "warm",
    ),
    "a DAG processor is stopped": (replace(PROCESSOR, stopped=True), FINE, "stopped", "restart"),
    "a DAG processor parses nothing": (PROCESSOR, replace(FINE, parsed=300.0), "parses-nothing", "restart"),
    "a triggerer is stopped": (replace(TRIGGERER, stopped=True), FINE, "stopped", "restart"),
    "a triggerer runs no trigger": (TRIGGERER, replace(FINE, trigger=90.0), "runs-no-trigger", "restart"),
    "an API server does not answer": (replace(API, answers=False), FINE, "no-answer", "restart"),
    "a process of an API server is stopped": (replace(API, stopped=True), FINE, "stopped", "restart"),
    "a worker is stopped": (replace(WORKER, stopped=True, tasks=3), FINE, "stopped", "continue"),
    "a worker gets nothing": (replace(WORKER, received=90.0), FINE, "broker-silent", "warm"),
    "a worker has no connection": (replace(WORKER, received=float("inf")), FINE, "broker-silent", "warm"),
    "a worker takes no task": (replace(WORKER, waits=90.0), FINE, "takes-no-task", "warm"),
    "a worker's logs cannot be read": (replace(WORKER, reads=False), FINE, "serves-no-log", "warm"),
    "logs of a worker that runs tasks cannot be read": (
        replace(WORKER, reads=False, tasks=1), FINE, "serves-no-log", "",
    ),
}  # fmt: skip


def looks(
    seen: Any, around: Any, seconds: float = 180, memories: dict[str, Any] | None = None, began: float = 0.0
) -> list[tuple[float, Any]]:
    """Return what is decided, with its moment, if all looks of some time see the same."""
    kept = {} if memories is None else memories
    found: list[tuple[float, Any]] = []
    for moment in range(0, int(seconds) + 1, 15):
        units = list(seen) if isinstance(seen, (list, tuple)) else [seen]
        found += [(moment, one) for one in heal.decide(units, around, kept, (began + moment, LIMITS))]
    return found


@pytest.mark.parametrize(("seen", "around", "reason", "action"), HANGS.values(), ids=HANGS)
def test_what_hangs_is_named_and_healed(seen: Any, around: Any, reason: str, action: str) -> None:
    moment, first = looks(seen, around)[0]
    assert (first.reason, first.action) == (reason, action)
    assert moment <= 45


@pytest.mark.parametrize("seen", [SCHEDULER, PROCESSOR, TRIGGERER, API, WORKER], ids=lambda seen: seen.component)
def test_what_works_is_left_alone(seen: Any) -> None:
    assert looks(seen, FINE) == []


@pytest.mark.parametrize(("seen", "around", "_reason", "_action"), HANGS.values(), ids=HANGS)
def test_one_look_is_no_proof(seen: Any, around: Any, _reason: str, _action: str) -> None:
    assert looks(seen, around, seconds=0) == []


@pytest.mark.parametrize(("seen", "around", "_reason", "_action"), HANGS.values(), ids=HANGS)
@pytest.mark.parametrize("state", ["inactive", "activating", "deactivating", "failed", "reloading"])
def test_what_systemd_does_not_call_active_is_somebodys_work(
    seen: Any, around: Any, _reason: str, _action: str, state: str
) -> None:
    assert looks(replace(seen, state=state), around) == []


@pytest.mark.parametrize(("seen", "around", "_reason", "_action"), HANGS.values(), ids=HANGS)
def test_what_was_just_started_has_time(seen: Any, around: Any, _reason: str, _action: str) -> None:
    assert looks(replace(seen, age=60.0), around) == []


@pytest.mark.parametrize(("seen", "around", "reason", "_action"), HANGS.values(), ids=HANGS)
@pytest.mark.parametrize("why", ["the host is drained", "a playbook works on the host"])
def test_nothing_is_done_beside_somebodys_work(seen: Any, around: Any, reason: str, _action: str, why: str) -> None:
    found = {(one.reason, one.action, one.held) for _, one in looks(seen, replace(around, busy=why))}
    assert found == {(reason, "", why)}


@pytest.mark.parametrize(
    "seen", [replace(SCHEDULER, beat=None), replace(PROCESSOR, beat=None), replace(TRIGGERER, beat=None)]
)
def test_a_database_that_is_away_is_no_hang(seen: Any) -> None:
    memories: dict[str, Any] = {}
    assert looks(replace(seen, beat=3.0), FINE, 60, memories) == []
    assert looks(seen, replace(FINE, database=False, beats=(), parsed=None), 180, memories, 60) == []


def test_a_broker_that_is_away_is_no_hang() -> None:
    for seen in (replace(WORKER, received=float("inf")), replace(WORKER, received=90.0), replace(WORKER, waits=90.0)):
        assert looks(seen, replace(FINE, broker=False)) == []


def test_a_lock_in_the_database_is_named_and_no_restart_helps() -> None:
    found = looks(replace(SCHEDULER, beat=90.0), replace(FINE, lock=40.0))
    assert {(one.reason, one.action) for _, one in found} == {("no-heartbeat", "")}
    assert "lock" in found[0][1].held


def test_a_lock_on_the_heartbeats_themselves_is_named_too() -> None:
    found = looks(replace(SCHEDULER, beat=None), replace(FINE, database=False, lock=float("inf"), beats=()))
    assert {(one.reason, one.action) for _, one in found} == {("no-heartbeat", "")}
    assert 45 <= found[0][0] <= 60


def test_if_nobody_beats_there_is_another_cause() -> None:
    all_silent = [replace(seen, beat=90.0) for seen in (SCHEDULER, PROCESSOR, TRIGGERER)]
    found = looks(all_silent, replace(FINE, beats=(90.0, 91.0, 92.0)))
    assert {one.action for _, one in found} == {""}
    assert {one.unit for _, one in found} == {seen.unit for seen in all_silent}
    # One of them that is stopped is no case of it.
    assert next(one.action for _, one in looks(replace(SCHEDULER, stopped=True), replace(FINE, beats=(90.0, 91.0))))


def test_who_has_beaten_and_was_declared_dead_hangs() -> None:
    memories: dict[str, Any] = {}
    assert looks(replace(SCHEDULER, beat=None), FINE, 180, memories) == []
    assert looks(SCHEDULER, FINE, 15, memories, 200) == []
    assert looks(replace(SCHEDULER, beat=None), FINE, 60, memories, 300)[0][1].reason == "no-heartbeat"


def test_a_unit_is_restarted_three_times_in_an_hour_at_most() -> None:
    memories: dict[str, Any] = {}
    actions = []
    for turn in range(8):
        # Each restart has another process.
        found = looks(replace(SCHEDULER, main=100 + turn, beat=90.0), FINE, 30, memories, turn * 200)
        actions += [one.action for _, one in found if one.action]
    assert actions == ["restart"] * 3
    found = looks(replace(SCHEDULER, main=200, beat=90.0), FINE, 30, memories, 1700)
    assert "3 times" in found[0][1].held
    # After the hour, again.
    assert looks(replace(SCHEDULER, main=300, beat=90.0), FINE, 30, memories, 5400)[0][1].action == "restart"


def test_a_stopped_worker_that_is_stopped_again_and_again_is_bounded_too() -> None:
    found = looks(replace(WORKER, stopped=True), FINE, 1800)
    assert [one.action for _, one in found if one.action] == ["continue"] * 3


def test_a_worker_with_tasks_gets_one_signal_and_is_left() -> None:
    found = looks(replace(WORKER, received=90.0, tasks=2), FINE, 3600)
    assert [one.action for _, one in found if one.action] == ["warm"]
    assert found[-1][1].held == "it ends when its tasks have ended"


def test_a_worker_without_tasks_that_does_not_end_is_ended() -> None:
    found = looks(replace(WORKER, received=90.0), FINE, 120)
    assert [(moment, one.action) for moment, one in found if one.action] == [(15, "warm"), (75, "kill")]


def test_a_scheduler_that_does_not_end_is_ended() -> None:
    memories: dict[str, Any] = {}
    assert looks(replace(SCHEDULER, beat=90.0), FINE, 15, memories)[-1][1].action == "restart"
    ending = replace(SCHEDULER, state="deactivating", beat=90.0)
    found = looks(ending, FINE, 60, memories, 30)
    assert [one.action for _, one in found if one.action] == ["kill"]
    # What somebody else stops takes its time.
    assert looks(ending, FINE, 300) == []


def test_healing_counts_for_the_unit_alone() -> None:
    memories: dict[str, Any] = {}
    for turn in range(3):
        looks(replace(SCHEDULER, main=100 + turn, beat=90.0), FINE, 30, memories, turn * 200)
    assert looks(replace(TRIGGERER, stopped=True), FINE, 30, memories, 700)[0][1].action == "restart"


@pytest.fixture(name="sleeper")
def fixture_sleeper() -> Iterator[int]:
    code = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        until = time.monotonic() + 10
        while not [*heal.below(process.pid, heal.parents())] and time.monotonic() < until:
            time.sleep(0.05)
        yield process.pid
        os.killpg(process.pid, signal.SIGKILL)


def test_a_stopped_process_is_seen_by_what_it_is_of(sleeper: int) -> None:
    tree = heal.parents()
    (child,) = heal.below(sleeper, tree)
    assert not any(heal.is_stopped(component, sleeper, tree) for component in heal.COMPONENTS)
    os.kill(child, signal.SIGSTOP)
    time.sleep(0.1)
    # What runs code of tasks and DAG files may stop itself.
    stopped = {component for component in heal.COMPONENTS if heal.is_stopped(component, sleeper, tree)}
    assert stopped == {"api_server", "triggerer"}
    os.kill(sleeper, signal.SIGSTOP)
    time.sleep(0.1)
    assert all(heal.is_stopped(component, sleeper, tree) for component in heal.COMPONENTS)


def test_tasks_are_known_by_the_names_of_their_processes() -> None:
    assert heal._SUPERVISOR.match("airflow supervisor: 01a22b9d-51e7-7d3b-a86a-b92b1228e692")
    assert heal._TASK.match("airflow worker -- 01a22b9d-51e7-7d3b-a86a-b92b1228e692")
    assert not heal._TASK.match("airflow serve-logs")
    assert heal._ANSIBLE.search("/bin/sh -c /usr/bin/python3 && sleep 0")
    assert not heal._ANSIBLE.search("sleep 0")


def test_a_supervisor_without_a_task_is_none(tmp_path: Path) -> None:
    # As Airflow's processes do: each has a title, and a task is a child of its supervisor.
    (tmp_path / "sleep.py").write_text("import time\ntime.sleep(60)\n")
    start = "import subprocess, sys, time\nfor name, file in {}:\n    subprocess.Popen([name, file], executable={!r})\n"
    task = [("airflow worker -- 2", str(tmp_path / "sleep.py"))]
    (tmp_path / "busy.py").write_text(start.format(task, sys.executable) + "time.sleep(60)\n")
    both = [("airflow supervisor: 1", task[0][1]), ("airflow supervisor: 2", str(tmp_path / "busy.py"))]
    (tmp_path / "main.py").write_text(start.format(both, sys.executable) + "time.sleep(60)\n")
    with subprocess.Popen([sys.executable, str(tmp_path / "main.py")], start_new_session=True) as process:
        try:
            until = time.monotonic() + 20
            while len([*heal.below(process.pid, heal.parents())]) < 3 and time.monotonic() < until:
                time.sleep(0.05)
            time.sleep(0.2)
            assert heal.running_tasks(process.pid, heal.parents()) == 2
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_signal_goes_to_a_unit_s_own_process_alone(sleeper: int) -> None:
    heal.signal_main(sleeper, "airflow-nobody.service", signal.SIGSTOP)
    time.sleep(0.1)
    assert heal.state_of(sleeper) != "T"


def test_connections_tell_when_something_came() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.sendall(b"x")
            time.sleep(0.2)
            table = heal.command("ss", "-tinpH", "state", "established")
            accepted.close()
    found = heal.received(table, os.getpid(), port)
    assert found is not None
    assert 0.1 < found < 5
    assert heal.received(table, os.getpid(), 1) is None
    assert heal.received(table, 1, port) is None


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(1)
        self.send_response(200 if self.path != "/bad" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        pass


def test_an_api_server_answers_in_time_or_not() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    assert heal.answers(f"{url}/good", "", 2)
    assert not heal.answers(f"{url}/bad", "", 2)
    assert not heal.answers(f"{url}/slow", "", 0.2)
    server.shutdown()
    server.server_close()
    assert not heal.answers(f"{url}/good", "", 2)


class _Logs(BaseHTTPRequestHandler):
    """One log for who has its token; another one is empty."""

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path).removeprefix("/log/")
        token = self.headers["Authorization"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(token[1] + "=="))
        self.send_response(200 if claims["filename"] == path else 403)
        self.end_headers()
        self.wfile.write(b"" if path.endswith("empty.log") else b"a line")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        pass


def test_a_token_is_as_airflow_makes_it() -> None:
    # By PyJWT 2.14.0, which Airflow uses, of the same claims and key.
    assert heal.log_token(KEY, "a=b/c.log", 1000.9) == (
        "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJ0YXNrLWluc3RhbmNlLWxvZ3MiLCJmaWxlbmFtZSI6ImE9Yi9jLmxvZyIsImlhd"
        "CI6MTAwMCwibmJmIjoxMDAwLCJleHAiOjEwNjB9.2xeyktOtxazdvUBgWXRKEEKr5sqhiNqO44qe91-hXQWvOTGBWr4wYFGictdszqXtX0ZfTx"
        "wF0s8XBeLuP4enVQ"
    )


def test_a_log_is_read_with_a_token_for_it_alone() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Logs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = "dag_id=airstrip_canary/run_id=scheduled__2026-11-30T22:02:22.38+00:00/task_id=queue_a b/attempt=1.log"
    assert heal.reads_log(server.server_port, path, KEY, 2)
    assert not heal.reads_log(server.server_port, "empty.log", KEY, 2)
    server.shutdown()
    server.server_close()
    assert not heal.reads_log(server.server_port, path, KEY, 2)


def test_who_serves_logs_is_known_by_the_port_and_the_group_of_its_processes() -> None:
    table = 'LISTEN 0 2048 *:8793 *:* users:(("airflow serve-l",pid=3112,fd=17))\n'
    assert heal.listener(table) == 3112
    assert heal.listener("") == 0
    assert (
        heal.unit_of("0::/system.slice/system-airflow.slice/airflow-worker@a.service\n") == "airflow-worker@a.service"
    )
    assert heal.unit_of("0::/user.slice/session-1.scope\n") == ""


def test_logs_are_asked_for_where_they_are_new_and_on_this_host(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("a line", encoding="utf-8")
    (tmp_path / "b.log").write_text("a line", encoding="utf-8")
    healer = heal.Healer(heal.Settings("h", "d", "u", state=str(tmp_path / "state")))
    healer._record = {"host": "here"}
    assert healer._last_log([("here", "a.log", 30.0), ("here", "b.log", 20.0)], tmp_path) == "b.log"
    assert healer._last_log([("here", "a.log", 300.0)], tmp_path) == ""
    assert healer._last_log([("here", "gone.log", 30.0)], tmp_path) == ""
    assert healer._last_log([("another", "a.log", 30.0)], tmp_path) == ""
    assert healer._last_log([], tmp_path) == ""


def test_queues_are_those_that_the_unit_serves() -> None:
    start = (
        "{ path=/x ; argv[]=/x celery worker --queues a,b --celery-hostname a@h --concurrency 2 ; ignore_errors=no }"
    )
    assert heal.queues(start) == ("a", "b")
    assert heal.queues("") == ()


def test_bounds_outlive_the_program(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    settings = heal.Settings("h", "d", "u", state=str(state))
    healer = heal.Healer(settings)
    healer._memories["a.service"] = heal.Memory(main=3, heals=[1.0, 2.0])
    healer._counts["a.service", "stopped"] = 2
    healer._keep()
    again = heal.Healer(settings)
    assert again._memories["a.service"].heals == [1.0, 2.0]
    assert again._counts == {("a.service", "stopped"): 2}
    state.write_text("{")
    assert heal.Healer(settings)._memories == {}


def test_metrics_name_what_hangs_and_count_what_was_healed() -> None:
    verdicts = [heal.Verdict("a.service", "stopped", "restart"), heal.Verdict("b.service", "no-answer", "", "why")]
    assert [*heal.samples(verdicts, {("a.service", "stopped"): 2}, {"a.service": 1, "b.service": 0}, 5.0)] == [
        "# TYPE airstrip_hang gauge",
        'airstrip_hang{unit="a.service",reason="stopped",healing="true"} 1',
        'airstrip_hang{unit="b.service",reason="no-answer",healing="false"} 1',
        "# TYPE airstrip_heals_total counter",
        'airstrip_heals_total{unit="a.service",reason="stopped"} 2',
        "# TYPE airstrip_heals_last_hour gauge",
        'airstrip_heals_last_hour{unit="a.service"} 1',
        'airstrip_heals_last_hour{unit="b.service"} 0',
        "# TYPE airstrip_heal_timestamp_seconds gauge",
        "airstrip_heal_timestamp_seconds 5",
    ]


def test_the_canary_is_well_silent_or_busy() -> None:
    fine = heal.Canary("queue_a", "a", 30.0, 4.5, None, 0)
    found = [
        *heal.canary_samples(
            [
                fine,
                replace(fine, queue='b"', success_age=300.0, waits=250.0),
                replace(fine, queue="c", success_age=None, seconds=None, waits=250.0, others=4),
            ],
            60,
        )
    ]
    assert found == [
        "# TYPE airstrip_canary_ok gauge",
        'airstrip_canary_ok{task="queue_a",queue="a"} 1',
        'airstrip_canary_ok{task="queue_a",queue="b\\""} 0',
        'airstrip_canary_ok{task="queue_a",queue="c"} 0',
        "# TYPE airstrip_canary_busy gauge",
        'airstrip_canary_busy{task="queue_a",queue="a"} 0',
        'airstrip_canary_busy{task="queue_a",queue="b\\""} 0',
        'airstrip_canary_busy{task="queue_a",queue="c"} 1',
        "# TYPE airstrip_canary_seconds gauge",
        'airstrip_canary_seconds{task="queue_a",queue="a"} 4.5',
        'airstrip_canary_seconds{task="queue_a",queue="b\\""} 4.5',
    ]


def test_a_canary_that_is_never_seen_is_not_well() -> None:
    assert 'airstrip_canary_ok{task="",queue=""} 0' in heal.canary_samples([], 60)


def test_the_interval_between_parses_is_the_configurations(tmp_path: Path) -> None:
    file = tmp_path / "airflow.cfg"
    healer = heal.Healer(heal.Settings("h", "d", "u", configuration=str(file), state=str(tmp_path / "s")))
    assert healer._parse_limit() == 120
    file.write_text("[dag_processor]\nmin_file_process_interval = 3600\n")
    assert healer._parse_limit() == 10800
    file.write_text("[dag_processor]\nmin_file_process_interval = never\n")
    assert healer._parse_limit() == float("inf")
