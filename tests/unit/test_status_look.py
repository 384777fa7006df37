"""What roles/status/files/look.py tells of the host that it runs on."""

import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

LOOK = PROJECT / "roles" / "status" / "files" / "look.py"
# As systemd 252 shows it.
SHOWN = """Type=exec
MainPID={process}
NRestarts=2
Result=success
Id=airflow-scheduler.service
LoadState=loaded
ActiveState=active
SubState=running
StateChangeTimestampMonotonic={changed}
"""
# Maps a file into memory, as the loader does with a library, says so, and waits to be ended.
MAPS = """
import mmap, sys
with open(sys.argv[1]) as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
print(flush=True)
sys.stdin.read()
"""


look = load(LOOK)


@contextmanager
def process(*argv: str) -> Iterator[str]:
    """Run Python with arguments until the end of the block, from when it has said something; give its id."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, *argv], stdin=pipe, stdout=pipe) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdout.readline()
        yield str(started.pid)
        started.stdin.close()


def test_the_release_is_that_of_the_libraries_not_that_of_the_link(tmp_path: Path) -> None:
    for name in ("1.0-old", "2.0-new"):
        library = tmp_path / "releases" / name / "lib" / "x.so"
        library.parent.mkdir(parents=True)
        library.write_text("x")
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "1.0-old")
    with process("-c", MAPS, str(tmp_path / "current" / "lib" / "x.so")) as pid:
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to(tmp_path / "releases" / "2.0-new")
        assert look.release_of(pid, str(tmp_path)) == "1.0-old"
        assert look.release_of(pid, "/elsewhere") == ""


def test_the_release_of_a_process_that_has_just_begun_is_that_of_its_command() -> None:
    with process(
        "-c", "import sys; print(flush=True); sys.stdin.read()", "/opt/airflow/releases/3.3.2-abc/bin/airflow"
    ) as pid:
        assert look.release_of(pid, "/opt/airflow") == "3.3.2-abc"


def test_a_process_that_is_gone_has_no_release() -> None:
    with process(
        "-c", "import sys; print(flush=True); sys.stdin.read()", "/opt/airflow/releases/3.3.2-abc/bin/airflow"
    ) as pid:
        pass
    assert look.release_of(pid, "/opt/airflow") == ""


def test_a_unit_is_described_by_the_age_of_its_state() -> None:
    changed = round((time.monotonic() - 90) * 1e6)
    unit = look.described(SHOWN.format(process=0, changed=changed), "/opt/airflow")
    assert unit.pop("age") == pytest.approx(90, abs=5)
    assert unit.pop("since") == pytest.approx(time.time() - 90, abs=5)
    assert unit == {
        "unit": "airflow-scheduler.service", "active": "active", "sub": "running", "result": "success", "restarts": 2,
        "release": "", "loaded": True,
    }  # fmt: skip


def test_a_unit_that_has_never_run_has_no_age() -> None:
    unit = look.described(SHOWN.format(process=0, changed=0), "/opt/airflow")
    assert (unit["age"], unit["since"]) == (None, None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            '{"since": "2026-11-24T12:00:00Z", "reason": "disk", "x": 1}',
            {"since": "2026-11-24T12:00:00Z", "reason": "disk"},
        ),
        ('{"since": null}', {"since": "", "reason": ""}),
        ("", {"since": "", "reason": ""}),
        ("[]", {"since": "", "reason": ""}),
    ],
)
def test_a_drained_host_says_since_when_and_why(content: str, expected: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "drained").write_text(content)
    assert look.drained(str(tmp_path / "drained")) == expected
    assert look.drained(str(tmp_path / "nothing")) is None


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 200 for one path, and 500 for all others."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 500)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name is that of the base class
        pass


def test_a_server_answers_or_not() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert 0 <= look.seconds_to_answer(f"{url}/well") < look.PATIENCE
        assert look.seconds_to_answer(f"{url}/ill") is None
        server.shutdown()
    assert look.seconds_to_answer(f"{url}/well") is None
