"""Two configurations of Airflow on one installed host: ours, and Airflow's own defaults."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests
from airstrip_airflow import Airflow
from bench_play import BenchError, say
from bench_site import Site

COMPONENTS = {
    "api_server": "api-server",
    "scheduler": "scheduler",
    "dag_processor": "dag-processor",
    "triggerer": "triggerer",
    "worker": "celery worker",
}
_DIRECTORY = "/etc/airflow-defaults"
_START_LIMIT = 300

# What Airflow needs to run here at all (a load balancer has its usual port), no example DAGs, and no report to its
# makers. The rest is its defaults.
_CONFIGURATION = f"""[api]
port = 8081

[core]
auth_manager = airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager
dags_folder = /srv/airflow/dags
execution_api_server_url = http://localhost:8081/execution/
executor = CeleryExecutor
load_examples = False

[logging]
base_log_folder = {_DIRECTORY}/logs

[usage_data_collection]
enabled = False
"""

_ENVIRONMENT = f"""AIRFLOW_HOME={_DIRECTORY}/home
AIRFLOW_CONFIG={_DIRECTORY}/airflow.cfg
LANG=C.UTF-8
PATH=/opt/airflow/current/bin:/usr/local/bin:/usr/bin:/bin
"""

_UNIT = """[Unit]
Description=Airflow with its own defaults: {command}

[Service]
User=airflow
Group=airflow
WorkingDirectory={directory}/home
EnvironmentFile={directory}/environment
{credentials}
ExecStart=/opt/airflow/current/bin/airflow {command}
KillMode=mixed
TimeoutStopSec=120
Restart=always
RestartSec=5
"""


@dataclass(frozen=True)
class Host:
    """The one host of a site on which variants are compared."""

    site: Site
    name: str

    def run(self, *argv: str, given: str | None = None) -> str:
        """Return the output of a command on it."""
        return self.site.lab.run(self.name, *argv, given=given)

    def units(self, pattern: str) -> list[str]:
        """Return the active units that match a pattern."""
        listed = self.run("systemctl", "list-units", "--state=active", "--plain", "--no-legend", pattern)
        return [line.split()[0] for line in listed.splitlines()]

    def probe(self, units: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
        """Return what units use, by the names that they are given under."""
        program = Path(__file__).with_name("bench_probe.py").read_text(encoding="utf-8")
        found: dict[str, dict[str, float]] = json.loads(self.run("python3", "-", json.dumps(units), given=program))
        return found

    def login(self) -> Airflow:
        """Return a client of the API server, once every component is well."""
        end = time.monotonic() + _START_LIMIT
        while True:
            try:
                airflow = self.site.airflow(self.name)
                health = airflow.request("GET", "/api/v2/monitor/health")
            except requests.RequestException as error:
                health = {"api_server": {"status": str(error)}}
            if all(part["status"] == "healthy" for part in health.values()):
                return airflow
            if time.monotonic() > end:
                raise BenchError(f"not healthy after {_START_LIMIT} s: {health}")
            time.sleep(2)


class Variant(Protocol):
    """A configuration: its name, and its units by component."""

    name: str
    units: dict[str, list[str]]

    def start(self) -> None:
        """Start its units."""

    def stop(self) -> None:
        """Stop its units."""


class Ours:
    """What site.yml has installed."""

    name = "ours"

    def __init__(self, host: Host) -> None:
        self._host = host
        listed = host.run(
            "find", "/etc/systemd/system", "-maxdepth", "1", "-name", "airflow-*.service", "-printf", "%f\n"
        )
        names = sorted(listed.split())
        self.units = {
            component: [name for name in names if name.startswith(f"airflow-{component.replace('_', '-')}")]
            for component in COMPONENTS
        }

    def start(self) -> None:
        """Start its units."""
        self._host.run("systemctl", "start", *_all(self))

    def stop(self) -> None:
        """Stop its units."""
        self._host.run("systemctl", "stop", *_all(self))


class Defaults:
    """Airflow's own defaults in plain units: same release, database, broker, credentials and users, no tuning."""

    name = "defaults"
    units: dict[str, list[str]] = {  # noqa: RUF012 the protocol's
        component: [f"defaults-{component.replace('_', '-')}.service"] for component in COMPONENTS
    }

    def __init__(self, host: Host, ours: Ours) -> None:
        self._host = host
        host.run("install", "-d", "-o", "airflow", "-g", "airflow", f"{_DIRECTORY}/home", f"{_DIRECTORY}/logs")
        host.site.lab.put(host.name, _DIRECTORY, {"airflow.cfg": _CONFIGURATION, "environment": _ENVIRONMENT})
        files = {}
        for component, command in COMPONENTS.items():
            # How a component gets its credentials is the same for both, and what its user may do in the broker.
            path = f"/etc/systemd/system/{ours.units[component][0]}"
            options = "[A-Z_]*_CMD|CELERY_BROKER_TRANSPORT_OPTIONS__[A-Z_]*"
            pattern = rf'^(LoadCredential=|Environment="?AIRFLOW__({options})=)'
            credentials = host.run("grep", "--extended-regexp", pattern, path).rstrip()
            files[self.units[component][0]] = _UNIT.format(
                command=command, credentials=credentials, directory=_DIRECTORY
            )
        host.site.lab.put(host.name, "/etc/systemd/system", files)
        host.run("systemctl", "daemon-reload")

    def start(self) -> None:
        """Start its units."""
        self._host.run("systemctl", "start", *_all(self))

    def stop(self) -> None:
        """Stop its units."""
        self._host.run("systemctl", "stop", *_all(self))


def _all(variant: Variant) -> list[str]:
    return [unit for units in variant.units.values() for unit in units]


def switch(host: Host, variants: Sequence[Variant], chosen: Variant) -> Airflow:
    """Start one of the variants afresh, the others stopped; return a client of it when it is healthy."""
    say(f"start Airflow: {chosen.name}")
    for variant in variants:
        variant.stop()
    chosen.start()
    return host.login()


def with_services(host: Host, variant: Variant) -> dict[str, list[str]]:
    """Return a variant's units and those of database and broker."""
    broker = [*host.units("redis-server.service"), *host.units("valkey-server.service")]
    return {**variant.units, "postgresql": host.units("postgresql@*.service"), "redis": broker}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """Return the processor seconds between two probes, by component."""
    return {name: after[name]["cpu"] - before[name]["cpu"] for name in after}
