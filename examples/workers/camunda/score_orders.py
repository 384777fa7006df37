"""A worker on Camunda's external-task protocol: scores orders, as a process of Camunda 7 asks for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from camunda.external_task.external_task import ExternalTask, TaskResult
from camunda.external_task.external_task_worker import ExternalTaskWorker, NoExternalTaskFound
from prometheus_client import Counter, Histogram, start_http_server

TOPIC = "score-order"
LARGE = 1000
PROCESSED = Counter("worker_tasks_processed_total", "Tasks that have ended", ["topic", "result"])
DURATION = Histogram("worker_task_duration_seconds", "Seconds that a task took", ["topic"])

stopping = threading.Event()


def score(task: ExternalTask) -> TaskResult:
    """Say how an order is looked at: a large one by a person."""
    with DURATION.labels(TOPIC).time():
        try:
            amount = float(task.get_variable("amount"))
        except (TypeError, ValueError):
            PROCESSED.labels(TOPIC, "error").inc()
            return task.bpmn_error("NO_AMOUNT", "the order has no amount")
        PROCESSED.labels(TOPIC, "done").inc()
        return task.complete({"score": round(min(amount / LARGE, 1.0), 3), "by_hand": amount >= LARGE})


def main() -> None:
    """Work until systemd says stop; what has begun is ended."""
    password = Path(os.environ["CREDENTIALS_DIRECTORY"], "camunda_password").read_text(encoding="utf-8").strip()
    worker = ExternalTaskWorker(
        worker_id=f"airstrip-{os.environ['INSTANCE']}",
        base_url=os.environ["CAMUNDA_URL"],
        config={
            "auth_basic": {"username": os.environ["CAMUNDA_USER"], "password": password},
            "maxTasks": 1,
            "lockDuration": 30000,
            "asyncResponseTimeout": 5000,
            "retries": 3,
            "retryTimeout": 5000,
        },
    )
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    start_http_server(int(os.environ["PORT"]), os.environ.get("LISTEN", "127.0.0.1"))
    while not stopping.is_set():
        try:
            worker.fetch_and_execute([TOPIC], score)
        except NoExternalTaskFound:
            continue
        except Exception as error:  # the engine may be away for any time
            sys.stderr.write(f"the engine: {error!r}\n")
            stopping.wait(2)


if __name__ == "__main__":
    main()
