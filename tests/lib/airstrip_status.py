"""What the role status sees of imagined sites, for the tests of its filters."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from airstrip_imagined import inventory
from airstrip_registry import declared, registry
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact

NOW = 1_800_000_000.0
OLD, NEW = "3.2.2-0123456789ab", "3.3.2-ba9876543210"
DAY = 86400.0

WORKERS = [
    {"name": "default", "queues": ["default"], "concurrency": 16},
    {"name": "big", "queues": ["big"], "concurrency": 2},
]
_CONTROL = ("api_server", "scheduler", "dag_processor", "triggerer")
THREE: dict[str, Sequence[str]] = {
    "postgresql": ["data"],
    "redis": ["data"],
    **{f"airflow_{name}": ["control"] for name in _CONTROL},
    "airflow_worker": ["worker"],
}
# Five hosts, with TLS and two load balancers.
FIVE: dict[str, Sequence[str]] = {
    "postgresql": ["data-1"],
    "redis": ["data-1"],
    "load_balancer": ["control-1", "control-2"],
    **{f"airflow_{name}": ["control-1", "control-2"] for name in _CONTROL},
    "airflow_worker": ["worker-1", "worker-2"],
}


@cache
def _model(placed: tuple[tuple[str, tuple[str, ...]], ...], variables: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    values = {f"site_{name}": value for name, value in variables} | {"site_workers": WORKERS}
    given = inventory({group: list(hosts) for group, hosts in placed}, values)
    model = fact(given.site(registry(), declared()))
    return model | {"facts": given.facts, "silent": []}


def model(placed: Mapping[str, Sequence[str]] = THREE, **variables: Any) -> dict[str, Any]:
    """Return the model of a site, as the action site_model gives it, with variables without their prefix."""
    groups = tuple((group, tuple(hosts)) for group, hosts in placed.items())
    return copy.deepcopy(_model(groups, tuple(sorted(variables.items()))))


def unit(name: str, **other: Any) -> dict[str, Any]:
    """Return a unit that has been active for an hour, but for what is given."""
    release = NEW if name.startswith("airflow-") else ""
    running = {"active": "active", "sub": "running", "result": "success", "enabled": "enabled", "restarts": 0}
    return {"unit": f"{name}.service", **running, "release": release, "age": 3600.0, "since": NOW - 3600, **other}


def _unit_of(part: Mapping[str, Any]) -> dict[str, Any]:
    return unit(part["units"][0].removesuffix(".service").replace("*", "17"))


def well(site: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Return what the module host_status says of a host on which all is as it should be."""
    record = site["hosts"][host]["status"]
    certificates = [
        {
            "part": part["name"],
            "name": part["name"] if len(part["certificates"]) == 1 else path,
            "ends": NOW + 300 * DAY,
        }
        for part in record["parts"]
        for path in part["certificates"]
    ]
    if record["authority"]:
        certificates.insert(0, {"part": "", "name": "authority", "ends": NOW + 3000 * DAY})
    asked = [
        (part["name"], what)
        for part in record["parts"]
        for what in [*(f"{service} {port}" for service, port in part["ports"].items()), part["url"]]
        if what
    ]
    servers = [
        {"backend": backend, "server": server, "status": "UP", "check": "L7OK"}
        for part in record["parts"]
        for backend in (("airflow_api", "airflow_execution") if part["socket"] else ())
        for server in site["placed"]["api_server"]
    ]
    facts = {
        "now": NOW,
        "current": NEW if site["hosts"][host]["is_airflow"] else "",
        "units": [_unit_of(part) for part in record["parts"] if part["units"]],
        "certificates": certificates,
        "disks": [{"path": "/", "free": 61.5}],
        "mounts": [],
        "answers": [{"part": part, "what": what, "seconds": 0.01, "error": ""} for part, what in asked],
        "servers": servers,
        "drained": None,
        "synchronized": True,
        "hidden": [],
    }
    return {"changed": False, "facts": facts}


def seen(site: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    """Return what is seen of a site in which all is well, with keys of one's own."""
    site = site or model(tls_enabled="false")
    names = {host: f"{host}.example.com" for host in site["hosts"]}
    jobs = {
        "SchedulerJob": ("scheduler", 1.4),
        "DagProcessorJob": ("dag_processor", 3.0),
        "TriggererJob": ("triggerer", 0.2),
    }
    beats = [
        {"job_type": kind, "hostname": names[host], "age": age}
        for kind, (component, age) in jobs.items()
        for host in site["placed"][component]
    ]
    running = [{"hostname": names[host], "queue": "default", "tasks": 5} for host in site["placed"]["worker"][:1]]
    queued = [{"queue": "default", "tasks": 3}]
    return {
        "site": site,
        "name": "production",
        "now": NOW,
        "muted": {},
        "config": {},
        "transports": {worker["name"]: {"fanout_prefix": f"/0/{worker['name']}."} for worker in WORKERS},
        "answers": {host: well(site, host) for host in site["hosts"]},
        "setups": {host: {} for host in site["hosts"]},
        "database": [{"skipped": True}, {"query_all_results": [beats, running, queued]}],
        "broker": [
            {"skipped": True},
            broker(
                {"default": 2, "big": 0},
                [f"{worker['name']}@{host}" for host in site["placed"]["worker"] for worker in WORKERS],
            ),
        ],
        **other,
    }


def broker(queues: Mapping[str, int], answers: Sequence[str]) -> dict[str, Any]:
    """Return the result of the broker's script."""
    return {"rc": 0, "stdout": json.dumps({"queues": queues, "answers": answers}), "stderr": ""}


def facts(site: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Return what a host has said, to be changed."""
    found: dict[str, Any] = site["answers"][host]["facts"]
    return found


def unit_of(site: Mapping[str, Any], host: str, name: str) -> dict[str, Any]:
    """Return a unit that a host has told of, to be changed."""
    found: dict[str, Any] = next(one for one in facts(site, host)["units"] if one["unit"].startswith(name))
    return found


def rows(site: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """Return what the database has said, to be changed: jobs, running and queued tasks."""
    found: list[list[dict[str, Any]]] = site["database"][1]["query_all_results"]
    return found


def lost(site: dict[str, Any], host: str, reason: str = "No route to host") -> None:
    """Let a host be out of reach."""
    site["answers"][host] = {"skipped": True}
    site["setups"][host] = {"unreachable": True, "msg": reason}
