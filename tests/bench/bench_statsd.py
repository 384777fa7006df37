"""Runs on a host: tells what the metrics of a task cost by StatsD, in processor seconds.

    receiver PROGRAM ARGUMENT...   what the receiver takes for those of one task, started with these arguments
    client                         what a task's process takes to send them, by Airflow's own code, for which it has to
                                   be run by the Python of a release

Each prints one JSON object. Tasks are forked from a process that has imported what workers import for them.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from importlib import import_module
from statistics import median
from typing import Any

# Of a task in Airflow 3.3: those of its own process, and those of the scheduler that are about it.
TASK = [
    "airflow.ti.queued,queue=default,dag_id=bench_wide,task_id=work:1.0|g",
    "airflow.task.scheduled_duration,queue=default,dag_id=bench_wide,task_id=work:12.345678|ms",
    "airflow.task.queued_duration,queue=default,dag_id=bench_wide,task_id=work:123.456789|ms",
    "airflow.ti.running,queue=default,dag_id=bench_wide,task_id=work:1.0|g",
    "airflow.ti.start,dag_id=bench_wide,task_id=work:1|c",
    "airflow.ti.finish,dag_id=bench_wide,task_id=work,state=success:1|c",
    "airflow.operator_successes,dag_id=bench_wide,task_id=work,operator_name=_PythonDecoratedOperator:1|c",
    "airflow.ti_successes,dag_id=bench_wide,task_id=work:1|c",
    "airflow.task.duration,dag_id=bench_wide,task_id=work:56.789012|ms",
]
TASKS = 400
# As eight cores do, and one line after the other: nothing wakes the receiver for several at once.
TASKS_PER_SECOND = 40
FORKS = 21

METRICS = {
    "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
    "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
    "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
}
# By the first release that has them. The last is what an HTTP client has imported.
SENDERS = (
    "airflow.sdk.observability.metrics.statsd_logger",
    "airflow.metrics.statsd_logger",
    "statsd",
    "encodings.idna",
)


def read(port: int) -> str:
    """Return what Prometheus would read."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def value(text: str, name: str) -> float:
    """Return the value of a series without labels; 0 if it is not there."""
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_for(port: int, name: str, least: float) -> str:
    """Return what is read once a series has a value."""
    end = time.monotonic() + 60
    while True:
        try:
            text = read(port)
        except OSError:
            text = ""
        if value(text, name) >= least:
            return text
        if time.monotonic() > end:
            raise TimeoutError(name)
        time.sleep(0.1)


def receiver(argv: list[str]) -> dict[str, float]:
    """Start the receiver with its arguments, and send it the lines of many tasks."""
    ports = {name: int(re.search(rf"--{name}=(\d+)", " ".join(argv))[1]) for name in ("statsd-port", "metrics-port")}  # type: ignore[index]
    process = subprocess.Popen(argv)
    try:
        before = wait_for(ports["metrics-port"], "process_start_time_seconds", 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            start = time.monotonic()
            for task in range(TASKS):
                for number, line in enumerate(TASK):
                    # Not all at once: a task has a beginning and an end.
                    at = (task + number / len(TASK)) / TASKS_PER_SECOND
                    time.sleep(max(0.0, start + at - time.monotonic()))
                    link.sendto(line.encode(), ("127.0.0.1", ports["statsd-port"]))
        sent = TASKS * len(TASK)
        after = wait_for(ports["metrics-port"], "statsd_exporter_lines_total", sent)
    finally:
        process.terminate()
        process.wait()
    used = value(after, "process_cpu_seconds_total") - value(before, "process_cpu_seconds_total")
    return {
        "cpu_seconds_per_task": used / TASKS,
        "cpu_microseconds_per_line": used / sent * 1e6,
        "lines_per_task": len(TASK),
        "lines_lost": sent - value(after, "statsd_exporter_lines_total"),
        "memory_mb": value(after, "process_resident_memory_bytes") / 2**20,
    }


def used() -> float:
    """Return the processor seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def send_as_a_task(runner: Any) -> None:
    """Do what Airflow's task runner does for metrics, in the order in which it does."""
    stats = getattr(runner, "stats", None) or runner.Stats
    factory = getattr(getattr(runner, "stats_utils", None), "get_stats_factory", None)
    if hasattr(runner, "stats"):
        stats.initialize(factory=factory(), export_legacy_names=runner.conf.getboolean("metrics", "legacy_names_on"))  # type: ignore[misc]
    elif factory:
        stats.initialize(factory=factory(stats))
    tags = {"dag_id": "bench_wide", "task_id": "work"}
    stats.incr("ti.start", tags=tags)
    stats.incr("ti.finish", tags={**tags, "state": "success"})
    stats.incr("operator_successes", tags={**tags, "operator_name": "_PythonDecoratedOperator"})
    stats.incr("ti_successes", tags=tags)
    stats.timing("task.duration", 56.789012, tags=tags)


def forked(runner: Any) -> float:
    """Return the processor seconds for the metrics of a task, in a process of its own."""
    seconds, told = os.pipe()
    if os.fork() == 0:
        try:
            before = used()
            send_as_a_task(runner)
            os.write(told, str(used() - before).encode())
        finally:
            os._exit(0)
    os.close(told)
    os.wait()
    with os.fdopen(seconds) as pipe:
        return float(pipe.read())


def costs(switch: str, port: str) -> float:
    """Return the median of what tasks pay, with metrics on or off."""
    os.environ |= METRICS | {"AIRFLOW__METRICS__STATSD_ON": switch, "AIRFLOW__METRICS__STATSD_PORT": port}
    import_module("airflow.sdk.execution_time.supervisor")
    runner = import_module("airflow.sdk.execution_time.task_runner")
    for name in SENDERS:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if not name.startswith(str(error.name)):
                raise
    return median(forked(runner) for _ in range(FORKS))


def client() -> dict[str, float]:
    """Compare tasks with and without metrics, each in a process that has read its own configuration."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", 0))
        for switch in ("True", "False"):
            argv = [sys.executable, __file__, "costs", switch, str(link.getsockname()[1])]
            ended = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
            found[switch] = float(ended.stdout.split()[-1])
        link.setblocking(False)
        # Raises BlockingIOError if nothing was sent.
        link.recv(1)
    return {"cpu_seconds_per_task": found["True"] - found["False"], "without_metrics": found["False"]}


def main(argv: list[str]) -> None:
    """Print what was asked for."""
    if argv[0] == "receiver":
        answer = json.dumps(receiver(argv[1:]))
    elif argv[0] == "client":
        answer = json.dumps(client())
    else:
        answer = str(costs(argv[1], argv[2]))
    sys.stdout.write(f"{answer}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
