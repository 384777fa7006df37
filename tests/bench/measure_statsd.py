"""The measure `statsd`: what Airflow's metrics cost, as a part of what a task costs on the same host."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import bench_dags
from bench_play import BenchError
from bench_result import Result
from bench_site import Site
from bench_variants import Host, Ours
from measure_load import LOADS, once

_DIRECTORY = "/root/airstrip-bench-statsd"
_PROGRAM = "bench_statsd.py"
_PYTHON = "/opt/airflow/current/bin/python"
_UNIT = "/etc/systemd/system/airstrip-statsd-exporter.service"
# Beside the receiver of the site.
_PORTS = {"statsd-port": 18125, "metrics-port": 19102}


def receiver(unit: str) -> list[str]:
    """Return the command of a unit with other ports; raise BenchError if it is not of our own program."""
    found = re.search(r"^ExecStart=(.*--statsd-port=.*)$", unit.replace("\\\n", ""), re.MULTILINE)
    if not found:
        raise BenchError(f"{_UNIT} does not start airstrip-statsd-exporter")
    command = found[1]
    for name, port in _PORTS.items():
        command = re.sub(rf"--{name}=\d+", f"--{name}={port}", command)
    return shlex.split(command)


def costs(host: Host) -> dict[str, Any]:
    """Measure both ends on a host."""
    program = Path(__file__).with_name(_PROGRAM).read_text(encoding="utf-8")
    host.site.lab.put(host.name, _DIRECTORY, {_PROGRAM: program})
    path = f"{_DIRECTORY}/{_PROGRAM}"
    command = receiver(host.run("cat", _UNIT))
    return {
        "receiver": json.loads(host.run("python3", path, "receiver", *command)),
        # As a task has it, and not with what is root's.
        "client": json.loads(host.run("env", "AIRFLOW_HOME=/nonexistent", _PYTHON, path, "client")),
    }


def pair(ends: Mapping[str, Mapping[str, float]], task: Mapping[str, float]) -> dict[str, Any]:
    """Return one run: the processor seconds of both ends for one task, and those of the task by component."""
    metrics = sum(end["cpu_seconds_per_task"] for end in ends.values())
    whole = sum(task.values())
    return {"ratio": metrics / whole, "metrics_cpu_seconds": metrics, "task_cpu_seconds": whole, **ends}


def measure(site: Site, runs: int) -> Result:
    """Compare what the metrics of a task cost with a task of `throughput`, on the one host of an installed site."""
    host = Host(site, next(iter(site.groups)))
    bench_dags.install(host)
    airflow = host.login()
    bench_dags.wait_for_dags(airflow)
    # The first run warms up.
    tasks = [once(LOADS["throughput"], host, airflow, Ours(host)) for _ in range(1 + runs)][1:]
    return result([pair(costs(host), task["cpu_seconds_per_task"]) for task in tasks])


def result(pairs: Sequence[Mapping[str, Any]]) -> Result:
    """Return the result of all runs; lines that were lost are a problem."""
    lost = sum(one["receiver"]["lines_lost"] for one in pairs)
    problems = [f"{lost:.0f} lines were lost"] if lost else []
    memory = median(one["receiver"]["memory_mb"] for one in pairs)
    return Result("statsd", pairs, {"receiver_memory_mb": memory, "problems": problems})
