"""Whether a program that has just started answers: asked of real servers, in processes of their own."""

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from airstrip_tree import PROJECT

PROGRAM = PROJECT / "roles" / "app_worker" / "files" / "airstrip-app-health"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 200 at /health, a redirect at /moved, and 500 elsewhere."""

    def do_GET(self) -> None:
        status = {"/health": 200, "/moved": 302}.get(self.path, 500)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def free() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def asked(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", str(PROGRAM), *map(str, arguments)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, env=os.environ | environment)


def test_an_answer_counts(port: int) -> None:
    assert asked(5, "http", port, "/health").returncode == 0
    assert asked(5, "tcp", port).returncode == 0
    assert asked(5, "command", "true").returncode == 0
    assert asked(0, "none").returncode == 0


@pytest.mark.parametrize("path", ["/moved", "/broken"])
def test_another_status_does_not(port: int, path: str) -> None:
    result = asked(1, "http", port, path)
    assert result.returncode == 1
    assert "No answer within 1 s" in result.stderr
    assert "status" in result.stderr


def test_nobody_is_no_answer() -> None:
    assert asked(1, "tcp", free()).returncode == 1
    assert asked(1, "http", free(), "/health").returncode == 1
    assert "exit status 1" in asked(1, "command", "false").stderr
    assert asked(1, "command", "/nowhere").returncode == 1


def test_it_waits_for_one_that_comes_late() -> None:
    late = free()
    code = f"""
import http.server, time
time.sleep(1.5)
http.server.HTTPServer(("127.0.0.1", {late}), None).serve_forever()
"""
    with subprocess.Popen([sys.executable, "-c", code]) as server:
        try:
            assert asked(30, "tcp", late).returncode == 0
        finally:
            server.kill()


def test_a_program_that_has_ended_is_not_waited_for() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    result = asked(60, "tcp", free(), MAINPID=str(ended.pid))
    assert result.returncode == 1
    assert "The program has ended" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("a", "tcp"), (1, "smtp"), (1,)])
def test_wrong_arguments_are_told(arguments: tuple[object, ...]) -> None:
    assert asked(*arguments).returncode == 2
