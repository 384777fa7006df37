"""What the platform's document says in numbers, looked up on the hosts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from airstrip_airflow import Airflow
from airstrip_prometheus import Prometheus

MIB = 1024 * 1024
LIGHT = {"MemoryLow": 256 * MIB, "MemoryMax": 512 * MIB, "CPUWeight": 10, "CPUQuotaPerSecUSec": "500ms"}
# A limit that there is not is written so.
NONE = "infinity"
LIMITS = {
    ("worker-1", "airflow-worker@etl-1"):
        {"MemoryLow": 1024 * MIB, "MemoryMax": 4096 * MIB, "CPUWeight": 50, "CPUQuotaPerSecUSec": "2s"},
    ("worker-1", "airflow-worker@light"):
        {"MemoryLow": 256 * MIB, "MemoryMax": 2048 * MIB, "CPUWeight": 10, "CPUQuotaPerSecUSec": "2s"},
    ("worker-2", "airflow-worker@ml"):
        {"MemoryLow": 4096 * MIB, "CPUWeight": 200, "CPUQuotaPerSecUSec": NONE},
    ("worker-1", "app-worker-camunda@1"): LIGHT,
    ("worker-1", "app-worker-zeebe@1"): LIGHT,
    ("worker-2", "app-worker-nodejs@1"): LIGHT,
}  # fmt: skip
SLOTS = {"etl-1": 16, "light": 4, "ml": 1}
QUEUES = {"etl-1": {"default", "etl"}, "light": {"light"}, "ml": {"ml"}}
RULES = "/etc/airstrip/prometheus/rules"


def celery(control: Any, question: str) -> dict[str, Any]:
    """Ask all workers; return their answers by name. Each set of them is asked by itself, and has a line of its own."""
    text = control.check_output(f"airflow-celery inspect {question} --json --timeout=20")
    answers = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {name: answer for found in answers for name, answer in found.items()}


def test_parallelism_is_64(control: Any) -> None:
    assert "parallelism = 64" in control.file("/etc/airflow/airflow.cfg").content_string.splitlines()


@pytest.mark.parametrize(("pool", "slots"), [("etl_pool", 24), ("dq_pool", 8)])
def test_pools_have_their_slots(airflow: Airflow, pool: str, slots: int) -> None:
    assert airflow.request("GET", f"/api/v2/pools/{pool}")["slots"] == slots


def test_each_host_has_a_worker_of_each_size(control: Any) -> None:
    stats = celery(control, "stats")
    for host in ("worker-1", "worker-2"):
        for name, slots in SLOTS.items():
            assert stats[f"{name}@{host}"]["pool"]["max-concurrency"] == slots
    queues = celery(control, "active_queues")
    found = {name: {queue["name"] for queue in given} for name, given in queues.items()}
    assert all(found[f"{name}@worker-1"] == QUEUES[name] for name in QUEUES)


@pytest.mark.parametrize(("host", "unit"), LIMITS)
def test_requests_and_limits_are_those_of_the_unit(hosts: dict[str, Any], host: str, unit: str) -> None:
    wanted = {name: str(value) for name, value in LIMITS[host, unit].items()}
    shown = hosts[host].check_output(f"systemctl show --property={','.join(wanted)} {unit}.service")
    assert dict(line.split("=", 1) for line in shown.splitlines()) == wanted


def rules(control: Any, file: str) -> list[dict[str, Any]]:
    """Return the rules of a file of Prometheus."""
    content = yaml.safe_load(control.file(f"{RULES}/{file}.yml").content_string)
    return [rule for group in content["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    ("name", "target", "bounds"), [("etl", "/ 10)", "2, 10)"), ("app-camunda", "/ 0.06)", "1, 5)")]
)
def test_sets_have_their_bounds_and_targets(control: Any, name: str, target: str, bounds: str) -> None:
    found = {rule["record"]: rule["expr"] for rule in rules(control, "scale") if rule["labels"].get("set") == name}
    assert target in found["airstrip:worker_instances_raw"]
    assert bounds in found["airstrip:worker_instances_raw"]
    assert "[300s]" in found["airstrip:worker_instances_stable"]
    assert "offset 60s" in found["airstrip:worker_instances_limit_down"]
    assert "offset 30s" in found["airstrip:worker_instances_limit_up"]
    if name == "etl":
        # 50 percent, and no fixed number; doubled, or by two.
        assert re.search(r"\* 0\.5\b", found["airstrip:worker_instances_limit_down"])
        assert re.search(r"\) - 0, ", found["airstrip:worker_instances_limit_down"])
        assert re.search(r"\* 2\.0\b", found["airstrip:worker_instances_limit_up"])
        assert re.search(r"\) \+ 2, ", found["airstrip:worker_instances_limit_up"])


@pytest.mark.parametrize(
    ("alert", "limit", "lasting"), [("HighWorkerFailureRate", "> 0.1", "5m"), ("WorkerQueueBacklog", "> 100", "10m")]
)
def test_alerts_have_their_limits(control: Any, alert: str, limit: str, lasting: str) -> None:
    (rule,) = [rule for rule in rules(control, "tasks") if rule.get("alert") == alert]
    assert limit in rule["expr"]
    assert rule["for"] == lasting


def test_prometheus_asks_every_30_seconds_and_keeps_15_days(control: Any, prometheus: Prometheus) -> None:
    assert prometheus.scrape_seconds == 30
    pid = control.check_output("systemctl show --property=MainPID --value prometheus.service")
    given = control.check_output(f"tr '\\0' '\\n' </proc/{pid}/cmdline").splitlines()
    assert "--storage.tsdb.retention.time=15d" in given
