"""What roles/airflow_exporter/files/airflow_exporter.py counts and shows, and what it does without a database."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_module import load
from airstrip_render import Role, written
from airstrip_tree import PROJECT

PROGRAM = PROJECT / "roles" / "airflow_exporter" / "files" / "airflow_exporter.py"
SCRIPT = PROJECT / "roles" / "postgresql" / "files" / "airflow_metrics.sql"
QUERIES = PROJECT / "roles" / "exporters" / "files" / "postgres_queries.yml"
HEALER = PROJECT / "roles" / "airflow_heal" / "files" / "airflow_heal.py"
exporter = load(PROGRAM)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
# Names as an author of DAGs may choose them.
HOSTILE = ['a"} 1\nup{job="node"} 0 # ', "back\\slash", "\\", "\\n", "tab\tbell\x07", "émoji 🦊", " ", "x" * 5000]
# The text format, as strict as Prometheus reads it: nothing but \\, \" and \n is escaped.
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
SAMPLE = re.compile(rf"([a-z_]+)(?:\{{((?:{LABEL.pattern}(?:,|(?=\}})))*)\}})? (\+Inf|-?[0-9.e+-]+)")


def plain(value: str) -> str:
    """Return the value of a label without its backslashes."""
    return re.sub(r'\\([\\"n])', lambda pair: "\n" if pair[1] == "n" else pair[1], value)


def read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the series of a text, which has to be well-formed and to name each of them once."""
    assert text.endswith(b"\n")
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    # Not by splitlines, for which there are more ends of a line than for Prometheus.
    for line in text.decode()[:-1].split("\n"):
        if line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        labels = tuple((label[1], plain(label[2])) for label in LABEL.finditer(match[2] or ""))
        assert (match[1], labels) not in found, line
        found[match[1], labels] = float(match[5])
    return found


def series(text: bytes, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric, by those of its labels."""
    return {tuple(value for _, value in labels): found for (own, labels), found in read(text).items() if own == name}


def settings(**given: Any) -> Any:
    return exporter.Settings(host="127.0.0.1", database="airflow", user="airflow_metrics", **given)


def ended(number: int, **given: Any) -> Any:
    """Return a try of a task that has ended well at noon."""
    values = {
        "id": f"{number:032x}", "dag_id": "sales", "task_id": "load", "queue": "default", "owners": "team",
        "state": "success", "begun": True, "retried": False, "ended": NOON, "seconds": 60.0,
    }  # fmt: skip
    return exporter.Try(**{**values, **given})


def run(number: int, state: str = "running", **given: Any) -> Any:
    end = None if state in ("running", "queued") else NOON
    return exporter.Run(**{"id": number, "dag_id": "sales", "state": state, "ended": end, "seconds": 90.0, **given})


@pytest.fixture(name="counters")
def fixture_counters() -> Any:
    """Counters that have been read once."""
    found = exporter.Counters(settings(queues=["default", "reports"]))
    found.count([], [], NOON - timedelta(minutes=1))
    return found


def shown(counters: Any) -> bytes:
    text: bytes = exporter.render(counters.families())
    return text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_one_label_whatever_it_is(name: str) -> None:
    family = exporter.Family("airflow_dags", "gauge", "DAGs.")
    family.set(1, dag_id=exporter.Names(1).label(name))
    assert series(exporter.render([family]), "airflow_dags") == {(name[:256],): 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.0, "1"), (True, "1"), (0.25, "0.25"), (1e300, str(10**300 // 10**284)), (float("inf"), "+Inf")],
)
def test_numbers_are_what_prometheus_reads(value: float, text: str) -> None:
    assert exporter.number(value).startswith(text)
    assert float(exporter.number(value)) == value


def test_known_names_keep_their_place_and_others_have_a_limit() -> None:
    names = exporter.Names(2, ["default"])
    assert [names.label(name) for name in ("a", "b", "c", "d", "a", "default", None)] == [
        "a", "b", "(others)", "(others)", "a", "default", "(others)",
    ]  # fmt: skip
    assert names.folded == 3
    assert list(names.admitted) == ["default", "a", "b", "(others)"]
    assert exporter.Names(1).label("") == "(none)"


def test_a_histogram_counts_what_is_no_larger_than_a_bound() -> None:
    histogram, family = exporter.Histogram((1, 10)), exporter.Family("airflow_x", "histogram", "X.")
    for value in (0, 1, 1.5, 10, 11):
        histogram.observe(value)
    histogram.show(family, queue="default")
    text = exporter.render([family])
    assert series(text, "airflow_x_bucket") == {("default", "1"): 2, ("default", "10"): 4, ("default", "+Inf"): 5}
    assert series(text, "airflow_x_sum") == {("default",): 23.5}
    assert series(text, "airflow_x_count") == {("default",): 5}


def test_what_ended_before_the_start_is_not_counted() -> None:
    counters = exporter.Counters(settings())
    assert counters.since(NOON) == NOON - exporter.OVERLAP
    counters.count([run(1, "success")], [ended(1)], NOON)
    counters.count([run(1, "success"), run(2, "failed")], [ended(1), ended(2)], NOON + timedelta(seconds=30))
    assert series(shown(counters), "worker_tasks_processed_total") == {("default",): 1}
    assert series(shown(counters), "airflow_dag_runs_finished_total") == {
        ("sales", "success"): 0,
        ("sales", "failed"): 1,
    }


def test_each_try_is_counted_once_in_however_many_readings(counters: Any) -> None:
    # The same rows come in each reading until they are older than the overlap.
    for second in range(0, 400, 10):
        moment = NOON + timedelta(seconds=second)
        since = counters.since(moment)
        rows = [ended(number, ended=NOON) for number in range(3)] if since <= NOON else []
        counters.count([], rows, moment)
    assert series(shown(counters), "worker_tasks_processed_total")["default",] == 3
    assert counters.seen_tries.ends == {}


def test_a_try_that_is_written_down_late_is_counted(counters: Any) -> None:
    counters.count([], [], NOON + timedelta(minutes=3))
    late = ended(1, ended=NOON - timedelta(seconds=30))
    assert counters.since(NOON + timedelta(minutes=4)) <= late.ended
    counters.count([], [late], NOON + timedelta(minutes=4))
    assert series(shown(counters), "worker_tasks_processed_total")["default",] == 1


def test_a_try_that_moves_to_the_history_is_no_other_one(counters: Any) -> None:
    # Somebody has cleared a task that had failed: the row stands in the history now, under the same id.
    counters.count([], [ended(1, state="failed")], NOON)
    counters.count([], [ended(1, state="failed", retried=True)], NOON)
    text = shown(counters)
    assert series(text, "worker_task_failures_total")["default",] == 1
    assert series(text, "airflow_task_retries_total")["default",] == 0


def test_failures_retries_and_what_no_worker_ran(counters: Any) -> None:
    tries = [
        ended(1, queue="reports", state="failed", retried=True, seconds=5.0),
        ended(2, queue="reports", state="failed", begun=False, seconds=0.0),
        ended(3, queue="reports", state="skipped", seconds=1.0),
        ended(4, queue="reports", state="skipped", begun=False),
        ended(5, queue="reports", begun=False),
        ended(6, queue="reports", seconds=None),
        ended(7, queue="reports", seconds=-2.0, owners="ops"),
    ]
    counters.count([], tries, NOON)
    text = shown(counters)
    assert series(text, "worker_tasks_processed_total") == {("default",): 0, ("reports",): 5}
    assert series(text, "worker_task_failures_total") == {("default",): 0, ("reports",): 2}
    assert series(text, "airflow_task_retries_total") == {("default",): 0, ("reports",): 1}
    assert series(text, "worker_task_duration_seconds_count")["reports",] == 3
    assert series(text, "worker_task_duration_seconds_sum")["reports",] == 6
    assert series(text, "airflow_task_run_seconds_total") == {("reports", "team"): 6, ("reports", "ops"): 0}
    assert series(text, "airflow_task_failures_total") == {("sales", "load"): 2}


def test_the_tasks_that_failed_last_are_counted_one_by_one() -> None:
    counters = exporter.Counters(settings(max_failing_tasks=3))
    counters.count([], [], NOON)
    failed = ["a", "b", "c", "a", "d"]
    tries = [ended(number, state="failed", task_id=task) for number, task in enumerate(failed)]
    counters.count([], tries, NOON)
    assert series(shown(counters), "airflow_task_failures_total") == {
        ("sales", "c"): 1,
        ("sales", "a"): 2,
        ("sales", "d"): 1,
    }


def test_a_run_is_counted_when_it_ends_and_again_when_it_was_cleared(counters: Any) -> None:
    counters.count([run(7)], [], NOON)
    assert counters.known == [7]
    assert series(shown(counters), "airflow_dag_runs_finished_total") == {
        ("sales", "success"): 0,
        ("sales", "failed"): 0,
    }
    assert series(shown(counters), "airflow_dag_run_duration_seconds_count") == {}
    for _ in range(2):
        counters.count([run(7, "failed")], [], NOON)
        # Its tries may be written down later.
        assert counters.known == [7]
    counters.count([run(7)], [], NOON)
    counters.count([run(7, "success", ended=NOON + timedelta(seconds=9))], [], NOON)
    text = shown(counters)
    assert series(text, "airflow_dag_runs_finished_total") == {("sales", "success"): 1, ("sales", "failed"): 1}
    assert series(text, "airflow_dag_run_duration_seconds_count") == {("sales",): 2}
    assert series(text, "airflow_dag_run_duration_seconds_bucket")["sales", "60"] == 0
    assert series(text, "airflow_dag_run_duration_seconds_bucket")["sales", "300"] == 2


def test_authors_of_dags_cannot_fill_the_memory() -> None:
    few = {"max_queues": 3, "max_owners": 3, "max_dags": 3, "max_failing_tasks": 3}
    counters = exporter.Counters(settings(queues=["default"], **few))
    counters.count([], [], NOON)
    some = range(200)
    names = [f"{number}-" + "x" * 300 for number in some]
    tries = [ended(i, dag_id=n, task_id=n, queue=n, owners=n, state="failed") for i, n in enumerate(names)]
    counters.count([run(i, "success", dag_id=n) for i, n in enumerate(names)], tries, NOON)
    text = shown(counters)
    assert len(text) < 100_000
    assert sum(series(text, "worker_tasks_processed_total").values()) == 200
    assert series(text, "worker_tasks_processed_total")["(others)",] == 197
    assert series(text, "airflow_dag_runs_finished_total")["(others)", "success"] == 197
    assert len(series(text, "airflow_task_failures_total")) == 3
    assert len(series(text, "airflow_task_run_seconds_total")) <= 16


def test_what_was_counted_is_remembered_within_bounds_and_never_counted_twice() -> None:
    seen = exporter.Seen(100)
    moments = [NOON + timedelta(seconds=number) for number in range(300)]
    for number, moment in enumerate(moments):
        assert seen.take(str(number), moment)
    seen.forget(NOON)
    assert len(seen.ends) == 100
    assert not any(seen.take(str(number), moment) for number, moment in enumerate(moments))
    assert seen.take("300", moments[-1])
    assert len(seen.ends) == 101


def gauges(function: str, rows: list[tuple[Any, ...]], **given: Any) -> bytes:
    """Return the text of what a function of the database gives."""
    own = settings(**given)
    shows = exporter.Gauges(own, exporter.Names(own.max_queues, own.queues))
    text: bytes = exporter.render(exporter.Exporter._gauges(shows)[function](rows))
    return text


TASKS = [
    # state, queue, pool, hostname, tasks, slots, age of the oldest queued one, age of the oldest heartbeat
    ("queued", "default", "small", "", 1, 2, 90.0, None),
    ("queued", "default", "default_pool", "", 3, 3, 40.5, None),
    ("queued", "nobody", "gone", "", 2, 2, None, None),
    ("running", "default", "small", "worker-1", 2, 4, None, 7.0),
    ("running", "reports", "small", "worker-1", 1, 1, None, 12.0),
    ("deferred", "default", "small", "", 5, 5, None, None),
    ("scheduled", "default", "small", "", 6, 12, None, None),
]


def test_tasks_that_have_not_ended() -> None:
    text = gauges("task_states", TASKS, queues=["default", "reports", "idle"])
    found = series(text, "airflow_task_instances")
    assert len(found) == 8 * 4
    assert {labels: value for labels, value in found.items() if value} == {
        ("queued", "default"): 4, ("queued", "nobody"): 2, ("running", "default"): 2, ("running", "reports"): 1,
        ("deferred", "default"): 5, ("scheduled", "default"): 6,
    }  # fmt: skip
    queues = {("default",): 4.0, ("reports",): 0.0, ("idle",): 0.0, ("nobody",): 2.0}
    assert series(text, "celery_queue_length") == queues
    ages = {("default",): 90.0, ("reports",): 0.0, ("idle",): 0.0, ("nobody",): 0.0}
    assert series(text, "airflow_oldest_queued_task_age_seconds") == ages
    assert series(text, "airflow_running_tasks") == {("worker-1",): 3}
    assert series(text, "airflow_task_heartbeat_age_seconds") == {("worker-1",): 12}


def test_pools() -> None:
    own = settings()
    shows = exporter.Gauges(own, exporter.Names(own.max_queues, own.queues))
    list(shows.task_states(TASKS))
    rows = [("default_pool", 128, False), ("small", 8, True), ("endless", -1, False)]
    text = exporter.render(shows.pools_of(rows))
    assert series(text, "airflow_pool_slots") == {("default_pool",): 128, ("small",): 8, ("endless",): float("inf")}
    assert series(text, "airflow_pool_slots_used") == {
        ("default_pool", "running"): 0, ("default_pool", "queued"): 3,
        ("small", "running"): 5, ("small", "queued"): 2, ("small", "deferred"): 5,
        ("endless", "running"): 0, ("endless", "queued"): 0,
    }  # fmt: skip
    waiting = {("default_pool",): 0.0, ("small",): 6.0, ("endless",): 0.0}
    assert series(text, "airflow_pool_tasks_waiting") == waiting


def test_jobs_bundles_runs_and_dags() -> None:
    jobs = [("SchedulerJob", "vm1", 4.5), ("TriggererJob", "vm1", 90000.0), ("LocalTaskJob", "vm1", 1.0)]
    assert series(gauges("jobs", jobs), "airflow_job_heartbeat_age_seconds") == {
        ("scheduler", "vm1"): 4.5,
        ("triggerer", "vm1"): 90000,
    }
    errors = gauges("import_errors", [("dags-folder", 2), ("git", 0)])
    assert series(errors, "airflow_import_errors") == {("dags-folder",): 2, ("git",): 0}
    assert series(gauges("run_states", [("queued", 1), ("running", 0)]), "airflow_dag_runs") == {
        ("queued",): 1,
        ("running",): 0,
    }
    assert series(gauges("dags", [("paused", 3)]), "airflow_dags") == {("active",): 0, ("paused",): 3, ("stale",): 0}


def test_task_code_cannot_make_series_without_end() -> None:
    rows = [("running", f"q{number}", "p", f"host-{number}", 1, 1, None, 1.0) for number in range(300)]
    text = gauges("task_states", rows, max_hosts=5, max_queues=5)
    assert len(series(text, "airflow_running_tasks")) == 6
    assert series(text, "airflow_running_tasks")["(others)",] == 295
    assert len(series(text, "celery_queue_length")) == 7
    pools = [(f"pool-{number}", 1, True) for number in range(300)]
    assert len(series(gauges("pools", pools, max_pools=5), "airflow_pool_slots")) == 6


# Without a database


@pytest.fixture(name="password")
def fixture_password(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text("secret-metrics-password\n", encoding="utf-8")
    return str(path)


@pytest.fixture(name="silent_server")
def fixture_silent_server() -> Iterator[socket.socket]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def without(text: bytes) -> None:
    """Check what is shown of a site whose database does not answer: no gauge of it, but what was counted."""
    names = {name for name, _ in read(text)}
    assert series(text, "airflow_exporter_up") == {(): 0}
    assert "worker_tasks_processed_total" in names
    of_airflow = {name for name in names if name.startswith(("airflow_", "celery_")) and "exporter" not in name}
    assert of_airflow <= {"airflow_task_retries_total", "airflow_task_run_seconds_total"}


def test_without_a_database_there_are_no_gauges(password: str, capsys: pytest.CaptureFixture[str]) -> None:
    own = exporter.Exporter(settings(database_port=free_port(), password_file=password, cache_seconds=0))
    own.counters.count([], [], NOON)
    own.counters.count([], [ended(1)], NOON)
    for _ in range(3):
        own.fresh_until = 0
        text = own.metrics()
        without(text)
        assert series(text, "worker_tasks_processed_total") == {("default",): 1}
        assert series(text, "airflow_exporter_function_up") == {}
    said = capsys.readouterr().err
    assert said.count("the database does not answer") == 1
    assert "secret" not in said


def test_a_server_that_hangs_costs_no_more_than_the_budget(
    password: str, silent_server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "BUDGET", 0.4)
    port = silent_server.getsockname()[1]
    own = exporter.Exporter(settings(database_port=port, password_file=password))
    began = time.monotonic()
    without(own.metrics())
    assert 0.4 <= time.monotonic() - began < 3


def test_an_answer_serves_several_who_ask(
    password: str, silent_server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "BUDGET", 0.1)
    port = silent_server.getsockname()[1]
    own = exporter.Exporter(settings(database_port=port, password_file=password, cache_seconds=1.5))
    asking = [threading.Thread(target=own.metrics) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert connections(silent_server) == 1
    own.metrics()
    assert connections(silent_server) == 0
    time.sleep(1.6)
    own.metrics()
    assert connections(silent_server) == 1


def connections(server: socket.socket) -> int:
    """Return how many have connected since it was asked last."""
    found = 0
    server.settimeout(0.3)
    while True:
        try:
            server.accept()[0].close()
        except TimeoutError:
            return found
        found += 1


@pytest.fixture(name="served")
def fixture_served(password: str) -> Iterator[int]:
    """The port of an exporter without a database."""
    port = free_port()
    server = exporter.Server(exporter.Exporter(settings(database_port=free_port(), password_file=password, port=port)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield port
    server.shutdown()
    server.server_close()
    thread.join()


def get(port: int, path: str = "/metrics") -> Any:
    return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)


def test_metrics_are_served_and_nothing_else(served: int) -> None:
    with get(served) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        without(answer.read())
    for path in ("/", "/metrics/x", "/../../etc/passwd"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(served, path)


def test_who_holds_connections_keeps_nobody_out_and_takes_no_memory(served: int) -> None:
    before = threading.active_count()
    held = []
    for _ in range(200):
        held.append(socket.create_connection(("127.0.0.1", served), timeout=5))
        held[-1].sendall(b"GET /metrics HTTP/1.0\r\nX-Slow: ")
    assert threading.active_count() - before <= 2 * exporter.CONNECTIONS
    with get(served) as answer:
        without(answer.read())
    for connection in held:
        connection.close()


def test_who_asks_while_the_database_hangs_takes_no_thread_more(
    password: str, silent_server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "BUDGET", 2.0)
    port, before = free_port(), threading.active_count()
    own = settings(database_port=silent_server.getsockname()[1], password_file=password, port=port)
    server = exporter.Server(exporter.Exporter(own))
    threading.Thread(target=server.serve_forever).start()
    asking = []
    try:
        for _ in range(100):
            asking.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            asking[-1].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        time.sleep(0.5)
        assert 2 * exporter.CONNECTIONS <= threading.active_count() - before <= 2 * exporter.CONNECTIONS + 1
        # Once the database has been given up, all of them end.
        time.sleep(2.5)
        with get(port) as answer:
            without(answer.read())
    finally:
        server.shutdown()
        server.server_close()
        for connection in asking:
            connection.close()


def test_the_program_runs_alone_and_says_what_is_wrong(tmp_path: Path, password: str) -> None:
    port = free_port()
    path = tmp_path / "settings.json"
    given = {"host": "127.0.0.1", "database_port": free_port(), "database": "a", "user": "b", "port": port}
    path.write_text(json.dumps(given), encoding="utf-8")
    argv = [sys.executable, "-I", str(PROGRAM), str(path)]
    process = subprocess.Popen(
        argv, stderr=subprocess.PIPE, text=True, env={"CREDENTIALS_DIRECTORY": str(Path(password).parent)}
    )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with get(port) as answer:
                    without(answer.read())
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        else:
            pytest.fail("it does not listen")
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=10)[1]
    assert "the database does not answer" in said
    assert "secret" not in said
    for wrong, message in (('{"hosts": 1}', "unknown settings: hosts"), ("{}", "host"), ("[", "Expecting")):
        path.write_text(wrong, encoding="utf-8")
        result = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_the_password_is_the_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("from-systemd\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert settings().password() == "from-systemd"


# The script of the database

# All that it reads. Neither connections, variables, users, tokens, XComs, rendered fields nor logs are among these.
READ = {
    "task_instance",
    "task_instance_history",
    "dag_run",
    "dag",
    "dag_bundle",
    "import_error",
    "slot_pool",
    "job",
    "trigger",
}
# Columns of those tables that have what people wrote into DAGs, runs and errors.
UNREAD = (
    "executor_config", "conf", "context_carrier", "next_kwargs", "stacktrace", "rendered_map_index", "filename",
    "description", "signed_url_template", "template_params", "external_executor_id", "triggering_user_name", "unixname",
)  # fmt: skip


def functions() -> dict[str, str]:
    """Return the text of each function of the script, up to its end."""
    parts = re.split(r"^CREATE FUNCTION airstrip\.(\w+)", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.partition("\n$$;")[0] for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_script_has_the_functions_that_are_asked() -> None:
    program = PROGRAM.read_text(encoding="utf-8")
    own = settings()
    asked = {*exporter.Exporter._gauges(exporter.Gauges(own, exporter.Names(1)))}
    asked |= set(re.findall(r'self\._ask\("(\w+)"', program))
    healer = HEALER.read_text(encoding="utf-8")
    asked |= {*re.findall(r"\bairstrip\.(\w+)\(\)", healer)}
    assert asked == set(functions())


@pytest.mark.parametrize("name", functions())
def test_a_function_runs_as_the_owner_with_a_fixed_path(name: str) -> None:
    text, script = functions()[name], SCRIPT.read_text(encoding="utf-8")
    # One cleans up after the canary; all others change nothing.
    assert f"LANGUAGE plpgsql {'VOLATILE' if name == 'clean_canary' else 'STABLE'} SECURITY DEFINER" in text
    assert "SET search_path = pg_catalog, pg_temp" in text
    assert re.search(rf'^ALTER FUNCTION airstrip\.{name}\([^)]*\) OWNER TO :"owner";$', script, re.MULTILINE)


def test_the_script_reads_no_more_than_it_says() -> None:
    text = re.sub(r"--.*", "", "".join(functions().values()))
    assert set(re.findall(r"\b(?:FROM|JOIN) public\.(\w+)", text)) == READ
    # A table is named with its schema, and nothing is put together at run time.
    assert set(re.findall(r"\bpublic\.(\w+)", text)) == READ
    assert "EXECUTE" not in text
    assert "*" not in text.replace("count(*)", "").replace("* 1000", "")
    assert [column for column in UNREAD if re.search(rf"\b{column}\b", text)] == []


def test_nothing_but_old_runs_of_the_canary_can_be_changed() -> None:
    found = functions()
    writing = re.compile(r"\b(DELETE|UPDATE|INSERT|TRUNCATE|ALTER|DROP|CREATE|GRANT|COPY|CALL)\b")
    assert {name for name, text in found.items() if writing.search(re.sub(r"--.*", "", text))} == {"clean_canary"}
    assert "WHERE r.dag_id = 'airstrip_canary'" in found["clean_canary"]


def test_public_gets_nothing_and_the_exporter_the_functions_alone() -> None:
    script = re.sub(r"--.*", "", SCRIPT.read_text(encoding="utf-8"))
    grants = re.findall(r"^GRANT (.*) TO (.*);$", script, re.MULTILINE)
    assert len(grants) == script.count("GRANT ")
    assert [what for what, whom in grants if ':"metrics"' in whom] == [
        'CONNECT ON DATABASE :"database"',
        "USAGE ON SCHEMA airstrip",
        "EXECUTE ON ALL FUNCTIONS IN SCHEMA airstrip",
    ]
    assert not any("PUBLIC" in whom for _, whom in grants)
    assert script.rindex("REVOKE ALL ON ALL FUNCTIONS") > script.rindex("CREATE FUNCTION")


# The role


PASSWORD = "secret-metrics-password"  # noqa: S105 - it opens nothing


def role(**given: Any) -> Any:
    return Role("airflow_exporter", {"airflow_exporter_database_password": PASSWORD, **given})


def test_the_password_is_in_its_own_file_alone() -> None:
    entries = written("airflow_exporter", "configure", role())
    holds = {entry["path"]: entry for entry in entries if PASSWORD in str(entry.get("content"))}
    assert list(holds) == ["/etc/airstrip/airflow-exporter/password"]
    assert holds.popitem()[1] | {"content": ""} == {
        "path": "/etc/airstrip/airflow-exporter/password", "content": "", "mode": "0600", "secret": True,
    }  # fmt: skip


def test_the_program_reads_the_settings_that_the_role_writes(tmp_path: Path) -> None:
    given = {"airflow_exporter_queues": ["default", 'odd "queue"'], "airflow_exporter_port": "9200"}
    entries = {entry["path"]: entry for entry in written("airflow_exporter", "configure", role(**given))}
    path = tmp_path / "settings.json"
    path.write_text(entries["/etc/airstrip/airflow-exporter/settings.json"]["content"], encoding="utf-8")
    found = exporter.Settings.read(path)
    assert (found.port, list(found.queues)) == (9200, ["default", 'odd "queue"'])
    assert (found.sslmode, found.sslrootcert) == ("verify-full", "/etc/airstrip/airflow-exporter/ca.crt")
    plain = written("airflow_exporter", "configure", role(airflow_exporter_sslmode="disable"))
    assert '"sslrootcert": ""' in next(entry["content"] for entry in plain if entry["path"].endswith("settings.json"))
    code = entries["/usr/local/libexec/airstrip-airflow-exporter"]["content"]
    assert code == PROGRAM.read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_the_unit_is_sound_and_closed(tmp_path: Path) -> None:
    unit = tmp_path / "airstrip-airflow-exporter.service"
    text = role().render("airstrip-airflow-exporter.service.j2")
    assert "LoadCredential=password:/etc/airstrip/airflow-exporter/password" in text
    assert "Environment" not in text
    # systemd looks whether the program is there.
    unit.write_text(text.replace("/usr/bin/python3", sys.executable), encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=13", str(unit)],
        capture_output=True, text=True, check=False, env={**os.environ, "SYSTEMD_COLORS": "0"},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout[-500:]


# The slowest statements, by the exporter of PostgreSQL


def test_statements_are_named_as_the_dashboards_do() -> None:
    queries = yaml.safe_load(QUERIES.read_text(encoding="utf-8"))
    assert list(queries) == ["pg_statements"]
    columns = {name: value["usage"] for column in queries["pg_statements"]["metrics"] for name, value in column.items()}
    assert columns == {
        "queryid": "LABEL", "query": "LABEL", "calls": "COUNTER", "seconds_total": "COUNTER", "rows": "COUNTER",
    }  # fmt: skip
    for name in columns:
        assert re.search(rf"\b{name}\b", queries["pg_statements"]["query"])
