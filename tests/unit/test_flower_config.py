"""What Flower may show: the configuration that it runs before it begins, as far as it needs no Flower."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "roles/airflow/files/flower_config.py"
TOKEN = "secret-token"  # noqa: S105 - a made-up one


@pytest.fixture(scope="module")
def config() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flower_config", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# As they stand in flower/urls.py of 2.0.1 and 2.1.0; tornado ends the patterns of named ones with `$`.
PAGES = ["/$", "/workers$", "/worker/(.+)$", "/task/(.+)$", "/tasks$", "/tasks/datatable$", "/broker$"]
NEVER = [
    *("/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length", "/api/task/info/(.*)", "/metrics"),
    *("/api/task/apply/(.+)", "/api/task/async-apply/(.+)", "/api/task/send-task/(.+)", "/api/task/result/(.+)"),
    *("/api/task/abort/(.+)", "/login"),
]
CONTROL = [
    *("/api/worker/shutdown/(.+)", "/api/worker/pool/restart/(.+)", "/api/worker/queue/add-consumer/(.+)"),
    *("/api/task/timeout/(.+)", "/api/task/rate-limit/(.+)", "/api/task/revoke/(.+)"),
]


@pytest.mark.parametrize("read_only", [True, False])
def test_pages_are_served_and_tasks_are_never_sent(config: ModuleType, *, read_only: bool) -> None:
    shown = [*PAGES, "/healthcheck", "/static/(.*)", ".*"]
    assert [route for route in shown if not config.is_served(route, read_only=read_only)] == []
    assert [route for route in NEVER if config.is_served(route, read_only=read_only)] == []
    assert [route for route in CONTROL if config.is_served(route, read_only=read_only)] == (
        [] if read_only else CONTROL
    )


def test_an_event_tells_of_no_arguments_and_of_nothing_that_went_wrong(config: ModuleType) -> None:
    hidden = {"args": TOKEN, "kwargs": TOKEN, "result": TOKEN, "exception": TOKEN, "traceback": TOKEN, "new": TOKEN}
    event = {"type": "task-received", "uuid": "1-2", "name": "execute_workload", "timestamp": 1.5, "hostname": "a@vm"}
    assert config.told(event | hidden) == event


TASK = {"id": "1", "name": "execute_workload", "args": [TOKEN], "kwargs": {"a": TOKEN}, "new": TOKEN}
BROKER = {"hostname": "vm", "port": 6379, "password": TOKEN, "transport_options": {"sentinel": TOKEN}}


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("active", [TASK]),
        ("reserved", [TASK]),
        ("scheduled", [{"eta": "now", "priority": 6, "request": TASK}]),
        ("stats", {"broker": BROKER, "pid": 1}),
        ("stats", {"consumer": {"broker": BROKER}}),
        ("conf", {"broker_transport_options": {"password": TOKEN}}),
        ("new", {"secret": TOKEN}),
    ],
)
def test_an_answer_tells_of_no_arguments_and_of_no_passwords(config: ModuleType, method: str, answer: Any) -> None:
    said = json.dumps(config.answered(method, answer))
    assert TOKEN not in said
    assert ("execute_workload" in said) == (method in ("active", "reserved", "scheduled"))


def test_what_a_task_makes_up_is_no_markup(config: ModuleType) -> None:
    event = config.told({"type": "task-received", "name": "<img src=x onerror='a&b'>", "queue": "q" * 1000})
    assert event["name"] == "?img src=x onerror=?a?b??"
    assert len(event["queue"]) == 300
    rows = config.answered("registered", ["<b>", {"<i>": '"'}])
    assert rows == ["?b?", {"?i?": "?"}]


@pytest.mark.parametrize(
    ("method", "origin", "foreign"),
    [
        ("POST", "https://evil.example", True),
        ("POST", "null", True),
        ("POST", "https://air.example:8443", True),
        ("POST", "https://air.example", False),
        ("POST", "", False),
        ("GET", "https://evil.example", False),
    ],
)
def test_no_other_site_changes_something(config: ModuleType, method: str, origin: str, *, foreign: bool) -> None:
    assert config.is_foreign(method, origin, "air.example") is foreign


def test_nobody_is_let_in_without_a_login(config: ModuleType, tmp_path: Path) -> None:
    assert config._logins('{"ada": "s", "bob": "t"}') == ["ada:s", "bob:t"]
    for text in ("{}", '{"ada": ""}'):
        with pytest.raises(ValueError, match="nobody may look"):
            config._logins(text)
    # As it is run: where it cannot keep Flower within bounds, Flower does not begin.
    (tmp_path / "flower_logins").write_text('{"ada": "s"}')
    (tmp_path / "flower").mkdir()
    (tmp_path / "tornado").mkdir()
    (tmp_path / "tornado/__init__.py").write_text("")
    (tmp_path / "tornado/web.py").write_text("class HTTPError(Exception): pass\n")
    (tmp_path / "flower/__init__.py").write_text(
        "__version__ = '9.9'\napi = events = inspector = urls = views = None\n"
    )
    run = subprocess.run(
        [sys.executable, str(FILE)],
        env={"CREDENTIALS_DIRECTORY": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "was made for Flower 2.0.1 and 2.1.0, and this is 9.9" in run.stderr
