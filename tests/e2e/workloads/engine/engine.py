"""A stand-in for Camunda's engine: it speaks the part of its REST API that workers on external tasks use.

No such server is to be had where the tests run. Tests put tasks in by POST /test/tasks and see what became of them at
GET /test/tasks/ID, which no engine has.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PASSWORD = Path(os.environ["CREDENTIALS_DIRECTORY"], "camunda_password").read_text(encoding="utf-8").strip()
LOGIN = "Basic " + base64.b64encode(f"camunda:{PASSWORD}".encode()).decode()
TASKS: dict[str, dict[str, Any]] = {}
CHANGED = threading.Condition()


def typed(values: dict[str, Any]) -> dict[str, Any]:
    """Return variables as the engine writes them."""
    return {name: {"value": value, "type": type(value).__name__, "valueInfo": {}} for name, value in values.items()}


def lock(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Lock the tasks that a worker may have; wait for some as long as it wants."""
    topics = {topic["topicName"]: topic for topic in given["topics"]}
    limit = time.monotonic() + given.get("asyncResponseTimeout", 0) / 1000
    with CHANGED:
        while True:
            now = time.time()
            free = [row for row in TASKS.values() if row["topicName"] in topics and row["state"] == "waiting"]
            free = [row for row in free if row["locked_until"] < now][: given["maxTasks"]]
            if free or not CHANGED.wait(max(0.0, limit - time.monotonic())):
                break
        for row in free:
            row |= {"workerId": given["workerId"]}
            row["locked_until"] = now + topics[row["topicName"]]["lockDuration"] / 1000
        return [{**row, "variables": typed(row["variables"])} for row in free]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Say what became of a task."""
        if self.path == "/health":
            self.answer(200, {})
            return
        row = TASKS.get(self.path.rpartition("/")[2])
        self.answer(200 if row else 404, row or {})

    def do_POST(self) -> None:
        """Take a task of a test, or do what a worker says."""
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/test/tasks":
            self.answer(200, put(given))
        elif self.headers.get("Authorization") != LOGIN:
            self.answer(401, {"message": "wrong login"})
        elif self.path == "/engine-rest/external-task/fetchAndLock":
            self.answer(200, lock(given))
        else:
            _, _, _, name, verb = self.path.split("/")
            self.answer(*end(name, verb, given))

    def answer(self, status: int, content: Any) -> None:
        """Answer with JSON."""
        text = json.dumps(content).encode() if status != 204 else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Keep the journal short."""


def put(given: dict[str, Any]) -> dict[str, Any]:
    """Add a task."""
    name = str(uuid.uuid4())
    with CHANGED:
        TASKS[name] = {"id": name, "state": "waiting", "locked_until": 0.0, "retries": None, **given}
        TASKS[name] |= {"processInstanceId": name, "tenantId": None, "businessKey": None}
        CHANGED.notify_all()
    return {"id": name}


def end(name: str, verb: str, given: dict[str, Any]) -> tuple[int, Any]:
    """Do what a worker says of a task that it has locked."""
    with CHANGED:
        row = TASKS.get(name)
        if row is None or row.get("workerId") != given["workerId"]:
            return 404, {"message": "no such task of this worker"}
        states = {"complete": "completed", "bpmnError": "error", "failure": "waiting"}
        row |= {"state": states[verb], "said": given, "locked_until": 0.0}
        return 204, None


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
