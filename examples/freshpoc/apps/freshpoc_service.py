"""What FreshPoC's services have in common: HTTP with health and metrics, and work that can be asked for again."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from prometheus_client import Counter, Histogram, generate_latest

# Seconds that a request waits for its work. The DAG gives a try 3 s: what takes longer, the next try asks for again.
PATIENCE = 2.0
# Seconds that what has ended meanwhile is kept for that next try, which comes after one.
KEPT = 10.0
REQUESTS = Counter("freshpoc_requests_total", "Requests that were answered", ["path", "status"])
DURATION = Histogram("freshpoc_work_duration_seconds", "Seconds that a piece of work took", ["path"])

Work = Callable[[Mapping[str, str]], Any]


class RefusedError(Exception):
    """What was asked for, or the data, cannot be right: to ask again is of no use."""


class BusyError(Exception):
    """The work is under way: ask again."""


def secret(name: str) -> str:
    """Return a secret that systemd has handed over."""
    return Path(os.environ["CREDENTIALS_DIRECTORY"], name).read_text(encoding="utf-8").strip()


class Piece:
    """A piece of work, and when it ended."""

    def __init__(self, future: Future[Any]) -> None:
        self.future = future
        self._ended = math.inf
        future.add_done_callback(self._end)

    def _end(self, _: Future[Any]) -> None:
        self._ended = time.monotonic()

    @property
    def is_old(self) -> bool:
        """Whether it ended so long ago that nobody waits for it any more."""
        return time.monotonic() - self._ended > KEPT


class Jobs:
    """Work under way, one piece at a time. Whoever asks for the same again waits for it, and begins nothing anew."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._lock = threading.Lock()
        self._pieces: dict[str, Piece] = {}

    def ask(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what the work of this name gives; raise BusyError if it has not ended by now."""
        with self._lock:
            self._pieces = {other: piece for other, piece in self._pieces.items() if not piece.is_old}
            piece = self._pieces.get(name)
            if piece is None:
                piece = self._pieces[name] = Piece(self._pool.submit(work))
        if wait([piece.future], PATIENCE).not_done:
            raise BusyError
        with self._lock:
            if self._pieces.get(name) is piece:
                del self._pieces[name]
        return piece.future.result()

    def end(self) -> None:
        """Let what has begun end."""
        self._pool.shutdown(wait=True)


def _answer(url: str, routes: Mapping[str, Work], jobs: Jobs) -> tuple[int, Any]:
    parts = urlsplit(url)
    if parts.path == "/health":
        return 200, {"status": "ok"}
    if (work := routes.get(parts.path)) is None:
        return 404, {"error": f"there is no {parts.path}"}

    def timed() -> Any:
        with DURATION.labels(parts.path).time():
            return work(dict(parse_qsl(parts.query)))

    try:
        return 200, jobs.ask(url, timed)
    except BusyError:
        return 503, {"error": "under way"}
    except RefusedError as error:
        return 422, {"error": str(error)}
    except Exception as error:  # bus, database or store may be away
        sys.stderr.write(f"{parts.path}: {error!r}\n")
        return 500, {"error": type(error).__name__}


def serve(routes: Mapping[str, Work]) -> None:
    """Answer until systemd says stop; what has begun is ended."""
    jobs = Jobs()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, generate_latest(), "text/plain; version=0.0.4")
                return
            status, found = _answer(self.path, routes, jobs)
            path = urlsplit(self.path).path
            REQUESTS.labels(path if path in routes else "other", status).inc()
            self._send(status, json.dumps(found).encode(), "application/json")

        def _send(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class's name
            """Leave health checks and scrapes out of the journal."""

    server = ThreadingHTTPServer((os.environ.get("LISTEN", "127.0.0.1"), int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    jobs.end()
