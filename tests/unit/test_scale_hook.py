"""What roles/scale_hook/files/scale_hook.py calls, and when: with an HTTP server and programs that are real."""

import json
import stat
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

hook = load(PROJECT / "roles" / "scale_hook" / "files" / "scale_hook.py")

SETS = {"elastic": {"min": 1, "max": 4, "per_host": 3, "present": 1}}
PROGRAM = """#!/bin/sh
echo "$* $SET $WANTED $PRESENT $(env | grep -c -i secret)" >> {log}
{body}
"""


class Answers(BaseHTTPRequestHandler):
    """Answers as Prometheus does, with what the test says."""

    rows: ClassVar[dict[str, tuple[float, str]]] = {}
    status = 200
    logins: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.logins.append(str(self.headers["Authorization"]))
        result = [{"metric": {"set": name}, "value": list(value)} for name, value in self.rows.items()]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(name="answers")
def fixture_answers() -> Iterator[type[Answers]]:
    """Run the server, on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Answers,), {"rows": {}, "logins": []}))
    server.RequestHandlerClass.port = server.server_address[1]  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.RequestHandlerClass  # type: ignore[misc]
    server.shutdown()


class Site:
    """The settings of one host, and what its program was called with."""

    def __init__(self, directory: Path, port: int, body: str = "", **more: Any) -> None:
        self.log = directory / "log"
        program = directory / "program"
        program.write_text(PROGRAM.format(log=self.log, body=body))
        program.chmod(0o755)
        self.settings = {
            "program": str(program), "program_user": "", "sets": SETS, "timeout": 20,
            "cooldown": {"up": 100, "down": 500},
            "series": "wanted", "url": f"http://127.0.0.1:{port}", "user": "airstrip", "ca_file": "",
            "state_file": str(directory / "state.json"), "metrics_file": str(directory / "hook.prom"), **more,
        }  # fmt: skip

    def run(self, moment: float | None = None) -> bool:
        found: bool = hook.run(self.settings, "a-secret-word", lambda: time.time() if moment is None else moment)
        return found

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def metrics(self) -> dict[str, float]:
        lines = Path(self.settings["metrics_file"]).read_text().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


STATUS = 'airstrip_scale_hook_exit_status{set="elastic"}'


def test_it_calls_with_the_hosts_that_instances_need(tmp_path: Path, answers: Any) -> None:
    site = Site(tmp_path, answers.port)
    answers.rows = {"elastic": (time.time(), "7"), "foreign": (time.time(), "9")}
    assert site.run()
    # No password is among what it is given.
    assert site.calls == ["elastic 3 1 elastic 3 1 0"]
    assert site.metrics[STATUS] == 0
    assert answers.logins[0].startswith("Basic ")
    assert stat.S_IMODE(Path(site.settings["metrics_file"]).stat().st_mode) == 0o644


@pytest.mark.parametrize(("text", "hosts"), [("999", 4), ("0", 1), ("3", 1), ("3.1", 2)])
def test_it_stays_within_the_bounds_of_the_set(text: str, hosts: int) -> None:
    answer = json.dumps({"data": {"result": [{"metric": {"set": "elastic"}, "value": [1000, text]}]}}).encode()
    assert hook.wanted(answer, SETS, 1010) == {"elastic": hosts}


@pytest.mark.parametrize("value", [[1000, "NaN"], [1000, "+Inf"], [1000, "-1"], [1000, "1e9"], [900, "5"], [1200, "5"]])
def test_it_does_nothing_on_what_is_no_number_or_old(value: list[Any]) -> None:
    answer = json.dumps({"data": {"result": [{"metric": {"set": "elastic"}, "value": value}]}}).encode()
    assert hook.wanted(answer, SETS, 1000) == {}


def test_it_calls_nothing_where_all_is_as_wanted(tmp_path: Path, answers: Any) -> None:
    site = Site(tmp_path, answers.port)
    answers.rows = {"elastic": (time.time(), "2")}
    assert site.run()
    assert site.calls == []


@pytest.mark.parametrize("status", [401, 503])
def test_it_calls_nothing_on_no_answer(tmp_path: Path, answers: Any, status: int) -> None:
    site = Site(tmp_path, answers.port)
    answers.rows, answers.status = {"elastic": (time.time(), "7")}, status
    assert not site.run()
    assert site.calls == []
    assert site.metrics["airstrip_scale_hook_asked"] == 0


def test_it_calls_nothing_where_nobody_listens(tmp_path: Path) -> None:
    site = Site(tmp_path, 1)
    assert not site.run()
    assert site.calls == []


def test_it_waits_between_calls_and_longer_before_it_takes_away(tmp_path: Path, answers: Any) -> None:
    site, now = Site(tmp_path, answers.port), time.time()
    answers.rows = {"elastic": (now, "12")}
    for seconds in (0, 30, 59):
        site.run(now + seconds)
    assert len(site.calls) == 1
    record = {"wanted": 4, "status": 0, "failures": 0, "moment": 1000}
    due = [(4, 1099), (4, 1100), (2, 1100), (2, 1499), (2, 1500)]
    assert [hook.is_due(record, count, site.settings, moment) for count, moment in due] == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_a_program_that_fails_is_told_and_called_ever_less_often(tmp_path: Path, answers: Any) -> None:
    site, now = Site(tmp_path, answers.port, body="exit 7"), time.time()
    answers.rows = {"elastic": (now, "12")}
    site.run(now)
    assert site.metrics[STATUS] == 7
    rest = []
    for failures in (1, 2, 5, 50):
        record = {"wanted": 4, "status": 7, "failures": failures, "moment": 0}
        rest.append(next(second for second in range(0, 10_000, 50) if hook.is_due(record, 4, site.settings, second)))
    assert rest == [100, 200, 1600, 1600]


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path, answers: Any) -> None:
    site = Site(tmp_path, answers.port, body=f"sleep 300 & echo $! > {tmp_path}/child; wait", timeout=1)
    answers.rows = {"elastic": (time.time(), "12")}
    begin = time.monotonic()
    site.run()
    assert time.monotonic() - begin < 5
    assert site.metrics[STATUS] == hook.TIMED_OUT
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    # One whose parent has gone may wait for init a moment.
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_what_is_no_program_is_told(tmp_path: Path, answers: Any) -> None:
    site = Site(tmp_path, answers.port, program=str(tmp_path / "nothing"))
    answers.rows = {"elastic": (time.time(), "12")}
    assert site.run()
    assert site.metrics[STATUS] == hook.NOT_STARTED


def test_a_state_that_was_cut_off_is_as_none(tmp_path: Path, answers: Any) -> None:
    site = Site(tmp_path, answers.port)
    Path(site.settings["state_file"]).write_text('{"elastic": {"wan')
    answers.rows = {"elastic": (time.time(), "12")}
    assert site.run()
    assert len(site.calls) == 1
