"""An upgrade with a host that is out of service, on the site that test_upgrade.py leaves on the new release."""

from __future__ import annotations

from typing import Any

from airstrip_site import Site
from airstrip_units import properties
from airstrip_upgrade import assert_all_run, assert_failed, assert_works, releases, rollback, upgrade, variables

OLD, NEW = "3.1.7", "3.3.2"
AWAY = "worker-2"
WORKER = "airflow-worker@default.service"


def test_a_host_that_was_drained_over_an_upgrade_comes_back_on_the_new_release(
    site: Site, hosts: dict[str, Any]
) -> None:
    back = rollback(site, NEW, *variables(airflow_upgrade_rollback_confirmed=True))
    assert back.returncode == 0, back.stdout[-5000:]
    assert_all_run(site, hosts, OLD)

    assert_failed(
        upgrade(site, NEW, "--limit", f"!{AWAY}"), f"{AWAY}, left out by --limit, would stay in service with {OLD}"
    )
    assert_all_run(site, hosts, OLD)

    drained = site.command("ansible-playbook", "playbooks/drain.yml", "--limit", AWAY)
    assert drained.returncode == 0, drained.stdout[-3000:]
    early = site.command(
        "ansible-playbook", "playbooks/undrain.yml", "--limit", AWAY, *variables(site_airflow_version=NEW)
    )
    assert_failed(early, f"{AWAY}: site_airflow_version is {NEW}, and", f"which is in service, runs {OLD}")

    run = upgrade(site, NEW, "--limit", f"!{AWAY}")
    assert run.returncode == 0, run.stdout[-5000:]
    found = releases(site, hosts)
    assert found.pop(AWAY) == {OLD}
    assert set(map(frozenset, found.values())) == {frozenset({NEW})}

    # The inventory still has the old version.
    late = site.command("ansible-playbook", "playbooks/undrain.yml", "--limit", AWAY)
    assert_failed(late, f"{AWAY}: site_airflow_version is {OLD}, and", f"which is in service, runs {NEW}")
    run = site.command(
        "ansible-playbook", "playbooks/undrain.yml", "--limit", AWAY, *variables(site_airflow_version=NEW)
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert_all_run(site, hosts, NEW)
    assert not hosts[AWAY].file("/etc/airflow/drained").exists
    assert properties(hosts[AWAY], WORKER, "ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }
    assert_works(site)
