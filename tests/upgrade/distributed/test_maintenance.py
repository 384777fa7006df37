"""Restarts, and hosts that are taken out of service: on the site that the other module upgrades."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airstrip_edge import Probe, servers
from airstrip_site import Site
from airstrip_units import properties, units
from airstrip_upgrade import start_long_tasks


def running_since(hosts: dict[str, Any], site: Site) -> dict[tuple[str, str], str]:
    """Return the moment at which each unit of Airflow was started last."""
    return {
        (name, unit): properties(hosts[name], unit, "ExecMainStartTimestampMonotonic")[
            "ExecMainStartTimestampMonotonic"
        ]
        for name in site.group("airflow")
        for unit in units(hosts[name], "airflow-*")
    }


def restarted(hosts: dict[str, Any], site: Site, *arguments: str) -> tuple[set[tuple[str, str]], Probe]:
    """Run restart.yml; return what was started anew, and what clients saw of it."""
    before = running_since(hosts, site)
    assert site.ca_certificate is not None
    with Probe(f"{site.edge_url}/api/v2/version", site.ca_certificate) as probe:
        run = site.command("ansible-playbook", "playbooks/restart.yml", *arguments)
    assert run.returncode == 0, run.stdout[-3000:]
    after = running_since(hosts, site)
    return {key for key, moment in after.items() if before[key] != moment}, probe


def test_restart_of_a_component_restarts_it_everywhere_and_no_request_fails(site: Site, hosts: dict[str, Any]) -> None:
    found, probe = restarted(hosts, site, "--tags", "airflow_api_server")
    assert found == {(name, "airflow-api-server.service") for name in site.group("airflow_api_server")}
    assert probe.failed_seconds < 3, probe.failures


def test_restart_of_a_host_restarts_what_runs_on_it(site: Site, hosts: dict[str, Any]) -> None:
    found, _ = restarted(hosts, site, "--limit", "control-2")
    assert found == {("control-2", unit) for unit in units(hosts["control-2"], "airflow-*")}


def test_the_last_host_of_a_component_is_not_drained_unasked(site: Site, hosts: dict[str, Any]) -> None:
    for limit in ((), ("--limit", "worker-1,worker-2")):
        refused = site.command("ansible-playbook", "playbooks/drain.yml", *limit)
        assert refused.returncode != 0
        said = " ".join(refused.stdout.split())
        assert "This run would leave worker without a host in service: worker-1 and worker-2 would go" in said
        assert "-e airflow_maintenance_all_allowed=true" in said
    assert not any(hosts[name].file("/etc/airflow/drained").exists for name in site.group("airflow"))


@pytest.mark.usefixtures("load_dags")
def test_a_drained_worker_ends_its_tasks_and_gets_no_more(site: Site, hosts: dict[str, Any]) -> None:
    airflow = site.airflow()
    run = start_long_tasks(airflow, 40)
    drained = site.command(
        "ansible-playbook", "playbooks/drain.yml", "--limit", "worker-1",
        "--extra-vars", json.dumps({"airflow_maintenance_reason": "a test"}),
    )  # fmt: skip
    try:
        assert drained.returncode == 0, drained.stdout[-3000:]
        assert airflow.wait("airstrip_long", run) == "success"
        worker = hosts["worker-1"]
        assert properties(worker, "airflow-worker@default.service", "ActiveState", "UnitFileState") == {
            "ActiveState": "inactive",
            "UnitFileState": "disabled",
        }
        assert json.loads(worker.file("/etc/airflow/drained").content_string)["reason"] == "a test"
        # With one worker left, all goes on.
        assert airflow.wait("airstrip_long", airflow.start("airstrip_long", seconds=1)) == "success"
        refused = site.command("ansible-playbook", "site.yml", "--tags", "validate")
        assert refused.returncode != 0
        assert "worker-1: the host is drained since" in refused.stdout
        assert "a test. Take it back by playbooks/undrain.yml" in refused.stdout
    finally:
        back = site.command("ansible-playbook", "playbooks/undrain.yml", "--limit", "worker-1")
    assert back.returncode == 0, back.stdout[-3000:]
    assert not worker.file("/etc/airflow/drained").exists
    assert properties(worker, "airflow-worker@default.service", "ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }


def test_a_drained_control_host_leaves_the_load_balancers_and_no_request_fails(
    site: Site, hosts: dict[str, Any]
) -> None:
    assert site.ca_certificate is not None
    with Probe(f"{site.edge_url}/api/v2/version", site.ca_certificate) as probe:
        drained = site.command("ansible-playbook", "playbooks/drain.yml", "--limit", "control-2")
        seen = servers(hosts["control-1"])
        back = site.command("ansible-playbook", "playbooks/undrain.yml", "--limit", "control-2")
    assert drained.returncode == 0, drained.stdout[-3000:]
    assert back.returncode == 0, back.stdout[-3000:]
    assert not seen["airflow_api", "control-2"].startswith("UP")
    assert servers(hosts["control-1"])["airflow_api", "control-2"].startswith("UP")
    assert probe.failed_seconds < 3, probe.failures
