"""What the role status sees of imagined sites, for the tests of its filters."""

from __future__ import annotations

import copy
from typing import Any

from airstrip_registry import registry
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import filled

_ENGINE = {"site_redis_engine": "valkey"}
NOW = 1_800_000_000.0
OLD, NEW = "3.2.2-0123456789ab", "3.3.2-ba9876543210"

COMPONENTS = {
    "api_server": {"unit": "airflow-api-server", "job": ""},
    "scheduler": {"unit": "airflow-scheduler", "job": "SchedulerJob"},
    "dag_processor": {"unit": "airflow-dag-processor", "job": "DagProcessorJob"},
    "triggerer": {"unit": "airflow-triggerer", "job": "TriggererJob"},
    "worker": {"unit": "airflow-worker", "job": ""},
}
WORKERS = [{"name": "default", "queues": ["default"]}, {"name": "big", "queues": ["big"], "concurrency": 2}]


def unit(name: str, **other: Any) -> dict[str, Any]:
    """Return a unit that has been active for an hour, but for what is given."""
    release = NEW if name.startswith("airflow-") else ""
    running = {"active": "active", "sub": "running", "result": "success", "restarts": 0, "release": release}
    return {"unit": f"{name}.service", **running, "age": 3600.0, "since": NOW - 3600, **other}


def host(name: str, components: list[str], *units: dict[str, Any], **other: Any) -> dict[str, Any]:
    """Return what has been seen of a host that answers."""
    look: dict[str, Any] = {"units": list(units), "current": NEW, "drained": None}
    look["answers"] = [0.01] if "api_server" in components else []
    return {
        "placed": {component: {"units": filled(registry()[component].units, _ENGINE)} for component in components},
        "workers": copy.deepcopy(WORKERS), "concurrency": 16,
        "names": [f"{name}.example.com", name], "node": name,
        "certificates": {}, "look": look, "unreachable": False, "error": "", **other,
    }  # fmt: skip


_CONTROL = ["api_server", "scheduler", "dag_processor", "triggerer"]
_SEEN = {
    "name": "production", "now": NOW, "executor": "CeleryExecutor", "uses_celery": True, "parallelism": 0,
    "muted": {}, "renew_days": 30, "authority": "", "components": COMPONENTS,
    "hosts": {
        "data": host("data", ["postgresql", "redis"], unit("postgresql@17-main"), unit("valkey-server")),
        "control": host("control", _CONTROL, *(unit(COMPONENTS[name]["unit"]) for name in _CONTROL)),
        "worker": host("worker", ["worker"], unit("airflow-worker@default"), unit("airflow-worker@big")),
    },
    "database": {
        "error": "",
        "jobs": [
            {"job_type": kind, "hostname": "control.example.com", "age": age}
            for kind, age in (("SchedulerJob", 1.4), ("DagProcessorJob", 3.0), ("TriggererJob", 0.2))
        ],
        "running": [{"hostname": "worker.example.com", "queue": "default", "tasks": 5}],
        "queued": [{"queue": "default", "tasks": 3}],
    },
    "broker": {
        "error": "", "asked": True, "queues": {"default": 2, "big": 0}, "answers": ["default@worker", "big@worker"],
    },
}  # fmt: skip


def seen(**other: Any) -> dict[str, Any]:
    """Return what is seen of a site of three hosts in which all is well, with keys of one's own."""
    return {**copy.deepcopy(_SEEN), **other}
