"""Filters: what a run of the smoke test says about the components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

_COLUMNS = ("component", "host", "version", "health", "latency")
_STAGE_COMPONENTS = {"api": "api_server", "parse": "dag_processor", "schedule": "scheduler"}


def _seconds(start: str | None, end: str | None) -> float | None:
    """Return the seconds between two ISO 8601 times, None if one is missing."""
    if not start or not end:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _jobs(components: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the components that beat, by the types of their jobs."""
    return {str(entry["job"]): name for name, entry in components.items() if entry["job"] and entry["hosts"]}


def _dead(run: Mapping[str, Any], components: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the first component that has jobs, but no living one; '' if there is none."""
    living = {job["job_type"] for job in run["jobs"]}
    return next((component for kind, component in _jobs(components).items() if kind not in living), "")


def smoke_test_failing(run: Mapping[str, Any], components: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the component that kept `run`, the result of airflow_dag_run, from being done; '' if it is done.

    Example: `run | smoke_test_failing(site.components)`. `components` have by name the type of their `job`, if any,
    and their `hosts`.

    A run whose tasks wait in the queue lacks a worker, one that waits deferred a triggerer, and one whose logs
    cannot be read a log server, which belongs to the worker. A run can also succeed although nothing lives that
    would read a changed DAG: each kind of component that has jobs must have a living one. A run that waits because all
    slots are busy lacks nobody.
    """
    stage = run["stage"]
    if stage in ("done", "busy"):
        return _dead(run, components)
    if stage in _STAGE_COMPONENTS:
        return _STAGE_COMPONENTS[stage]
    states = {instance["state"] for instance in run["task_instances"]}
    if states & {"failed", "queued", "running"}:
        return "worker"
    return "triggerer" if "deferred" in states else "worker" if stage == "logs" else "scheduler"


def _job_rows(run: Mapping[str, Any], components: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    by_job = _jobs(components)
    return [
        {
            "component": by_job[job["job_type"]],
            "host": job["hostname"],
            "version": run["version"],
            "health": "healthy",
            "latency": f"{job['heartbeat_age']:.1f} s",
        }
        for job in run["jobs"]
        if job["job_type"] in by_job
    ]


def _worker_rows(run: Mapping[str, Any]) -> list[dict[str, str]]:
    waits: dict[tuple[str, str], list[float]] = {}
    for instance in (task for task in run["task_instances"] if task.get("start_date")):
        wait = _seconds(instance.get("queued_when"), instance.get("start_date"))
        waits.setdefault((instance["hostname"], instance["queue"]), []).append(wait or 0.0)
    return [
        {
            "component": f"worker ({queue})",
            "host": host,
            "version": run["version"],
            "health": "healthy",
            "latency": f"{max(seconds):.1f} s",
        }
        for (host, queue), seconds in sorted(waits.items())
    ]


def _busy_rows(run: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "component": f"worker ({queue})",
            "host": "all of them",
            "version": run["version"],
            "health": "BUSY",
            "latency": f"{row['running']} of {row['slots']} slots taken, {row['queued']} tasks queued",
        }
        for queue, row in run["busy"].items()
    ]


def _table(rows: list[dict[str, str]]) -> list[str]:
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in _COLUMNS}
    lines = [{column: column for column in _COLUMNS}, {column: "-" * widths[column] for column in _COLUMNS}, *rows]
    return ["  ".join(line[column].ljust(widths[column]) for column in _COLUMNS).rstrip() for line in lines]


def smoke_test_table(run: Mapping[str, Any], components: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table about `run`, a successful result of airflow_dag_run.

    Example: `run | smoke_test_table(site.components)`, see smoke_test_failing.

    A row per component and host: version, health and latency. The latency of an API server is the time of one request,
    that of a worker the longest time from queued to running among the tasks of a queue, and that of the others the
    age of their heartbeat. Of a run that waits because all slots are busy, there is a row for each queue where it does.
    """
    api = {
        "component": "api_server",
        "host": run["api_host"],
        "version": run["version"],
        "health": "healthy",
        "latency": f"{run['api_seconds'] * 1000:.0f} ms",
    }
    tasks = run["task_instances"]
    rows = [api, *_job_rows(run, components), *_worker_rows(run)]
    if run["stage"] == "busy":
        done = sum(task["state"] == "success" for task in tasks)
        summary = (
            f"All slots are busy with tasks that progress: {done} of {len(tasks)} tasks of the test succeeded yet."
        )
        return [*_table([*rows, *_busy_rows(run)]), summary]
    return [*_table(rows), f"{len(tasks)} tasks succeeded in {run['seconds']:.1f} s; a log of each was read back."]


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"smoke_test_failing": smoke_test_failing, "smoke_test_table": smoke_test_table}
