"""One line of JSON for each try of a task that has ended: in the task's log, and in the journal of its worker.

DAGs take it by `default_args=task_log.CALLBACKS`. The journal is what Airstrip collects and sends on, so the line is
found by `playbooks/logs.yml`, and in Loki by `| json`.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
from datetime import UTC, datetime
from typing import Any

import structlog

# The names are those of Airflow's own lines: `event` is the message, `logger` the name, `timestamp` asctime.
_LOGGER = "platform.tasks"
_LONGEST = 1000


def fields(context: Any, state: str) -> dict[str, Any]:
    """Return what every line has."""
    ti, task = context["ti"], context["task"]
    now, date = datetime.now(UTC), context.get("logical_date")
    began = getattr(ti, "start_date", None) or now
    return {
        "task_id": ti.task_id,
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "map_index": ti.map_index,
        "logical_date": date.isoformat() if date else None,
        "state": state,
        "queue": task.queue,
        "pool": task.pool,
        "duration_ms": round((now - began).total_seconds() * 1000),
        "retry_count": max(ti.try_number - 1, 0),
    }


def write(level: str, event: str, found: dict[str, Any]) -> None:
    """Write a line to both places. A host without a journal has the task's log alone."""
    getattr(structlog.get_logger(_LOGGER), level)(event, **found)
    line = {"timestamp": datetime.now(UTC).isoformat(), "level": level, "logger": _LOGGER, "event": event, **found}
    record = logging.LogRecord(_LOGGER, getattr(logging, level.upper()), "", 0, json.dumps(line), None, None)
    try:
        handler = logging.handlers.SysLogHandler("/dev/log")
    except OSError:
        return
    handler.ident, handler.append_nul = "airflow-task: ", False
    handler.emit(record)
    handler.close()


def _failed(context: Any, state: str) -> None:
    error = context.get("exception")
    more = {"error_type": type(error).__name__, "error_message": str(error)[:_LONGEST]}
    write("error", "Task failed", fields(context, state) | more)


def succeeded(context: Any) -> None:
    """Tell of a try that has succeeded."""
    write("info", "Task processed", fields(context, "success"))


def failed(context: Any) -> None:
    """Tell of a task that has failed for good."""
    _failed(context, "failed")


def retried(context: Any) -> None:
    """Tell of a try that has failed, and will be repeated."""
    _failed(context, "up_for_retry")


CALLBACKS = {"on_success_callback": succeeded, "on_failure_callback": failed, "on_retry_callback": retried}
