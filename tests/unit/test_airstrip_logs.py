"""The program airstrip-logs: what it finds in real journals, what it shows, and what it removes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

PROGRAM = PROJECT / "roles" / "journal_remote" / "files" / "airstrip_logs.py"
REMOTE = Path("/usr/lib/systemd/systemd-journal-remote")
logs = load(PROGRAM)
NOTHING = dict.fromkeys(
    ("text", "since", "until", "component", "host", "dag", "task", "run", "queue", "state", "level"), ""
)
AIRFLOW = {"event": "it broke", "level": "error", "dag_id": "sales", "task_id": "load", "run_id": "manual__1"}


def entry(message: Any, unit: str = "airflow-scheduler.service", **more: Any) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"MESSAGE": text, "PRIORITY": "6", "_SYSTEMD_UNIT": unit, "__REALTIME_TIMESTAMP": "1000000", **more}


def fits(message: Any, **asked: str) -> bool:
    found: bool = logs.fits(entry(message), NOTHING | asked)
    return found


@pytest.mark.parametrize(
    "asked",
    [{"dag": "sales"}, {"task": "load"}, {"run": "manual__1"}, {"level": "warning"}, {"text": "IT BROKE"}, {}],
)
def test_a_line_of_airflows_is_found_by_its_fields(asked: dict[str, str]) -> None:
    assert fits(AIRFLOW, **asked)
    other = {"event": "other", "level": "debug", "dag_id": "x", "task_id": "x", "run_id": "x"}
    assert fits(other, **asked) is not bool(asked)


def test_a_field_is_not_found_by_a_part_of_it() -> None:
    assert not fits(AIRFLOW, dag="sale")
    assert not fits("DagRun of sales_daily", dag="sales")
    assert fits("DagRun of sales failed", dag="sales")


def test_a_state_is_found_where_a_line_tells_it() -> None:
    assert fits({"event": "Task finished", "final_state": "failed"}, state="failed")
    assert fits("TaskInstance Finished: dag_id=sales, state=failed, executor=x", state="failed")
    assert not fits({"event": "failed to connect", "level": "info"}, state="failed")


def test_the_level_is_airflows_own_and_else_the_journals() -> None:
    assert logs.level_of(entry(AIRFLOW), AIRFLOW) == "error"
    assert logs.level_of({"PRIORITY": "4"}, {}) == "warning"
    assert logs.level_of({"PRIORITY": "9"}, {"level": "loud"}) == "info"


def test_what_would_steer_a_terminal_is_not_shown() -> None:
    line = logs.shown("worker-1", entry("a\x1b[2Jb\nc\u202ed"))
    assert line.startswith("1970-01-01T00:00:01.000Z worker-1 airflow-scheduler INFO a")
    assert not set("\x1b\n\u202e") & set(line)


def test_bytes_and_broken_lines_are_shown_as_they_can_be() -> None:
    assert logs.text_of([104, 105, 255]) == "hi\ufffd"
    assert logs.text_of(None) == ""
    assert logs.said('{"event": ') == {} == logs.said("[1]")


def test_a_line_of_systemds_is_that_of_its_unit_and_nobody_else_can_say_so() -> None:
    assert logs.unit_of({"_SYSTEMD_UNIT": "init.scope", "UNIT": "redis.service"}) == "redis"
    assert logs.unit_of({"_SYSTEMD_UNIT": "airflow-worker@a.service", "UNIT": "redis.service"}) == "airflow-worker@a"


def test_a_queue_stands_for_the_workers_that_serve_it() -> None:
    sets = {"default": ["default"], "mixed": ["reports", "default"]}
    asked = NOTHING | {"queue": "default"}
    found = logs.units(asked, sets)
    assert [name for name in found if "*" not in name] == [
        "airflow-worker@default.service",
        "airflow-worker@mixed.service",
    ]
    # The instances of a set that follows the load, and of no other one.
    for unit, wanted in {"default-2": True, "mixed-12": True, "reports-1": False, "default-slow": False}.items():
        assert any(fnmatch(f"airflow-worker@{unit}.service", name) for name in found) == wanted, unit
    for refused in ({"queue": "none"}, {"queue": "default", "component": "scheduler"}, {"component": "--file=/x"}):
        with pytest.raises(logs.RefusedError):
            logs.units(NOTHING | refused, sets)


@pytest.mark.parametrize("given", ["--limit=0", "--limit=x", "--limit=9999999", "--level=loud", "--host=../x"])
def test_what_has_no_meaning_is_refused(tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"host": "here", "directory": str(tmp_path / "none"), "sets": {}}))
    assert logs.main([str(settings), given]) == 2
    assert "airstrip-logs: " in capsys.readouterr().err


def journal(directory: Path, name: str, *lines: dict[str, Any]) -> None:
    """Write a journal by the distribution's own program."""
    directory.mkdir(parents=True, exist_ok=True)
    texts = []
    for number, line in enumerate(lines, start=1):
        fields = {
            "__REALTIME_TIMESTAMP": str(1_700_000_000_000_000 + number),
            "__MONOTONIC_TIMESTAMP": str(number),
            "_BOOT_ID": "0123456789abcdef0123456789abcdef",
            **line,
        }
        texts.append("".join(f"{key}={value}\n" for key, value in fields.items()))
    given = "\n".join(texts) + "\n"
    target = f"--output={directory / name}"
    subprocess.run([REMOTE, "--split-mode=none", target, "-"], input=given, text=True, check=True, capture_output=True)


@pytest.mark.skipif(not REMOTE.exists() or not shutil.which("journalctl"), reason="needs systemd-journal-remote")
def test_the_host_is_whose_directory_it_is_and_lines_that_came_twice_are_shown_once(tmp_path: Path) -> None:
    one = {"MESSAGE": json.dumps(AIRFLOW), "_SYSTEMD_UNIT": "airflow-scheduler.service", "_HOSTNAME": "somebody-else"}
    other = {"MESSAGE": "plain", "_SYSTEMD_UNIT": "redis-server.service", "__REALTIME_TIMESTAMP": "1700000000500000"}
    journal(tmp_path / "control-1", "2026-11-30.journal", one)
    journal(tmp_path / "control-1", "2026-12-01.journal", one)
    journal(tmp_path / "store", "2026-11-30.journal", other)
    settings = {"host": "here", "directory": str(tmp_path), "sets": {}}
    found = [logs.search(settings, NOTHING | {"limit": 10, "host": host}) for host in ("control-1", "store")]
    assert [len(lines) for lines in found] == [1, 1]
    assert " control-1 airflow-scheduler ERROR it broke dag_id=sales" in found[0][0]
    unit = NOTHING | {"limit": 10, "host": "store", "component": "redis"}
    assert [line.split()[1:] for line in logs.search(settings, unit)] == [["store", "redis-server", "INFO", "plain"]]


def made(path: Path, days: int, size: int = 8192) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (1_000_000_000 - days * 86400,) * 2)
    return path


def test_old_files_leave_and_then_the_oldest_but_never_a_hosts_last(tmp_path: Path) -> None:
    old, last = made(tmp_path / "a" / "1.journal", 40), made(tmp_path / "a" / "2.journal", 35)
    big = [made(tmp_path / "b" / f"{number}.journal", 9 - number, 600_000) for number in range(3)]
    outside = made(tmp_path / "elsewhere", 99)
    (tmp_path / "b" / "link.journal").symlink_to(outside)
    settings = {"host": "here", "directory": str(tmp_path), "sets": {}, "days": 30, "mb": 1}
    removed = logs.clean(settings, 1_000_000_000.0)
    # Without the second one, 1.2 MB were left.
    assert removed == [str(old), str(big[0]), str(big[1])]
    assert last.exists()
    assert outside.exists()
