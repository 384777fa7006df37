"""Hosts that are drained, updated and brought back: on the hosts of `single_node` or `distributed`.

Packages come from a directory on the host itself: what there is to update is what a test puts there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airstrip_site import Site
from airstrip_units import properties
from airstrip_upgrade import assert_failed, variables

MARK = "/etc/airflow/drained"
WORKER = "airflow-worker@default.service"
REPOSITORY = "/opt/airstrip-packages"
SOURCE = "/etc/apt/sources.list.d/airstrip-test.list"
# A package without files, and the index of its directory, both as small as apt takes them.
BUILD = r"""
set -eu
rm -rf {directory}/tree && mkdir -p {directory}/tree/DEBIAN
cd {directory}
cat >tree/DEBIAN/control <<CONTROL
Package: airstrip-dummy
Version: {version}
Architecture: all
Maintainer: a <a@example.com>
Description: d
CONTROL
printf '#!/bin/sh\nexit {status}\n' >tree/DEBIAN/postinst
chmod 0755 tree/DEBIAN/postinst
dpkg-deb --build tree airstrip-dummy.deb >/dev/null
dpkg-deb --field airstrip-dummy.deb >Packages
echo "Filename: ./airstrip-dummy.deb" >>Packages
echo "Size: $(stat -c %s airstrip-dummy.deb)" >>Packages
echo "SHA256: $(sha256sum airstrip-dummy.deb | cut -d' ' -f1)" >>Packages
chmod -R a+rX {directory}
"""


def play(site: Site, playbook: str, *arguments: str) -> Any:
    return site.command("ansible-playbook", f"playbooks/{playbook}.yml", *arguments)


def said(run: Any) -> str:
    """Return what a run has printed, in one line."""
    return " ".join(run.stdout.split())


def recap(run: Any) -> dict[str, int]:
    """Return what a run has changed, by host."""
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", run.stdout, re.MULTILINE)
    return {host: int(changed) for host, changed in found}


@pytest.fixture(scope="module")
def name(site: Site) -> str:
    """The host that is updated: one with a worker."""
    return site.group("airflow_worker")[0]


@pytest.fixture(scope="module")
def host(hosts: dict[str, Any], name: str) -> Any:
    return hosts[name]


@pytest.fixture(scope="module")
def publish(host: Any, site: Site) -> Iterator[Callable[..., None]]:
    """Return a function that puts a version of the package there; version 1 is installed."""

    def put(version: int, status: int = 0) -> None:
        host.check_output(BUILD.format(directory=REPOSITORY, version=version, status=status))

    host.check_output(f"mkdir -p {REPOSITORY}")
    put(1)
    host.check_output(f"echo 'deb [trusted=yes] file:{REPOSITORY} ./' >{SOURCE}")
    host.check_output("apt-get update && apt-get install --yes airstrip-dummy")
    # What the distribution has by now, so that afterwards the package is all there is.
    run = play(site, "update_packages", *variables(airflow_maintenance_all_allowed=True))
    assert run.returncode == 0, run.stdout[-3000:]
    yield put
    host.check_output(f"rm -rf {SOURCE} {REPOSITORY}; dpkg --purge --force-all airstrip-dummy; apt-get update")


def version(host: Any) -> str:
    command = "dpkg-query --show --showformat='${Version} ${db:Status-Abbrev}' airstrip-dummy"
    return str(host.check_output(command).strip())


def state(host: Any) -> tuple[str, str]:
    found = properties(host, WORKER, "ActiveState", "UnitFileState")
    return found["ActiveState"], found["UnitFileState"]


IN, OUT = ("active", "enabled"), ("inactive", "disabled")


def test_the_last_host_of_a_component_is_not_drained_unasked(site: Site, hosts: dict[str, Any]) -> None:
    assert_failed(play(site, "drain"), "without a host in service", "airflow_maintenance_all_allowed=true")
    for worker in site.group("airflow_worker"):
        assert not hosts[worker].file(MARK).exists
        assert state(hosts[worker]) == IN


@pytest.mark.usefixtures("publish")
def test_where_there_is_nothing_to_update_nothing_happens(site: Site, host: Any, name: str) -> None:
    before = properties(host, WORKER, "ExecMainStartTimestampMonotonic")
    run = play(site, "update_packages")
    assert run.returncode == 0, run.stdout[-3000:]
    assert set(recap(run).values()) == {0}
    assert f"{name}: nothing to update." in said(run)
    assert properties(host, WORKER, "ExecMainStartTimestampMonotonic") == before


def test_a_host_with_updates_is_drained_meanwhile_and_the_others_are_left_alone(
    site: Site, host: Any, name: str, publish: Callable[..., None]
) -> None:
    publish(2)
    before = properties(host, WORKER, "ExecMainStartTimestampMonotonic")
    run = play(site, "update_packages")
    assert run.returncode == 0, run.stdout[-3000:]
    assert f"{name}: 1 package to update; is drained meanwhile." in said(run)
    assert version(host) == "2 ii"
    assert not host.file(MARK).exists
    assert state(host) == IN
    assert properties(host, WORKER, "ExecMainStartTimestampMonotonic") != before
    assert all(changed == 0 for other, changed in recap(run).items() if other != name)


def test_a_host_that_may_not_restart_is_back_and_says_so(site: Site, host: Any, publish: Callable[..., None]) -> None:
    publish(3)
    host.check_output("touch /var/run/reboot-required")
    try:
        run = play(site, "update_packages", *variables(airflow_maintenance_reboot_allowed=False))
    finally:
        host.check_output("rm -f /var/run/reboot-required")
    assert run.returncode == 0, run.stdout[-3000:]
    assert "wants a restart, which this run does not do: restart it by hand." in said(run)
    assert (version(host), state(host)) == ("3 ii", IN)
    assert not host.file(MARK).exists


def test_what_was_drained_by_hand_is_updated_and_stays_drained(
    site: Site, host: Any, name: str, publish: Callable[..., None]
) -> None:
    allowed = variables(airflow_maintenance_all_allowed=True, airflow_maintenance_reason="a test")
    drained = play(site, "drain", "--limit", name, *allowed)
    try:
        assert drained.returncode == 0, drained.stdout[-3000:]
        publish(4)
        run = play(site, "update_packages", "--limit", name)
        assert run.returncode == 0, run.stdout[-3000:]
        assert "was drained before, and stays so" in said(run)
        assert (version(host), state(host)) == ("4 ii", OUT)
        mark = json.loads(host.file(MARK).content_string)
        assert (mark["reason"], mark["by"]) == ("a test", "operator")
    finally:
        back = play(site, "undrain", "--limit", name)
    assert back.returncode == 0, back.stdout[-3000:]
    assert state(host) == IN


def test_an_update_that_fails_leaves_no_drained_host(
    site: Site, host: Any, name: str, publish: Callable[..., None]
) -> None:
    publish(5, status=1)
    run = play(site, "update_packages", "--limit", name)
    assert run.returncode != 0
    assert f"{name} is back in service, and its update is not complete." in said(run), run.stdout[-3000:]
    assert f"run playbooks/update_packages.yml --limit {name} again" in said(run)
    assert not host.file(MARK).exists
    assert state(host) == IN
    publish(6)
    run = play(site, "update_packages", "--limit", name)
    assert run.returncode == 0, run.stdout[-3000:]
    assert version(host) == "6 ii"


@pytest.mark.usefixtures("publish")
def test_what_a_killed_update_has_drained_comes_back_with_the_next_one(site: Site, host: Any, name: str) -> None:
    mark = variables(airflow_maintenance_all_allowed=True, airflow_maintenance_by="update_packages")
    drained = play(site, "drain", "--limit", name, *mark)
    assert drained.returncode == 0, drained.stdout[-3000:]
    run = play(site, "update_packages", "--limit", name)
    assert run.returncode == 0, run.stdout[-3000:]
    assert not host.file(MARK).exists
    assert state(host) == IN


def test_a_host_comes_back_with_what_has_changed_meanwhile(site: Site, host: Any, name: str) -> None:
    option = variables(airflow_config_overrides={"core": {"killed_task_cleanup_time": 61}})
    drained = play(site, "drain", "--limit", name, *variables(airflow_maintenance_all_allowed=True))
    assert drained.returncode == 0, drained.stdout[-3000:]
    try:
        began = host.check_output("date +%s")
        back = play(site, "undrain", "--limit", name, *option)
        assert back.returncode == 0, back.stdout[-3000:]
        assert state(host) == IN
        assert "killed_task_cleanup_time = 61" in host.file("/etc/airflow/airflow.cfg").content_string
        # A second start would wait for the tasks that it has taken since the first.
        journal = f"journalctl --unit {WORKER} --since @{began} --output cat --grep '^Started ' | wc -l"
        assert host.check_output(journal).strip() == "1"
    finally:
        run = site.command("ansible-playbook", "site.yml", "--tags", "airflow", "--limit", name)
    assert run.returncode == 0, run.stdout[-3000:]
    assert "killed_task_cleanup_time" not in host.file("/etc/airflow/airflow.cfg").content_string


def test_a_host_does_not_come_back_by_an_upgrade(site: Site, host: Any, name: str) -> None:
    drained = play(site, "drain", "--limit", name, *variables(airflow_maintenance_all_allowed=True))
    assert drained.returncode == 0, drained.stdout[-3000:]
    link = host.check_output("readlink /opt/airflow/current")
    try:
        run = play(site, "undrain", "--limit", name, *variables(site_airflow_version="3.1.7"))
        assert run.returncode != 0
        assert "site_airflow_version" in run.stdout
        assert host.check_output("readlink /opt/airflow/current") == link
        assert state(host) == OUT
    finally:
        back = play(site, "undrain", "--limit", name)
    assert back.returncode == 0, back.stdout[-3000:]
    assert state(host) == IN


def test_an_upgrade_of_a_part_is_refused(site: Site) -> None:
    if not site.is_shared:
        pytest.skip("one host is the whole site")
    tags = ("--tags", "validate", "--limit", "worker-1")
    run = site.command("ansible-playbook", "site.yml", *tags, *variables(site_airflow_version="3.1.7"))
    assert_failed(run, "left out by --limit, would stay in service")
    drained = play(site, "drain", "--limit", "worker-2")
    assert drained.returncode == 0, drained.stdout[-3000:]
    try:
        rest = ("--tags", "validate", "--limit", "!worker-2")
        run = site.command("ansible-playbook", "site.yml", *rest, *variables(site_airflow_version="3.1.7"))
        # Another reason is left: an older version is none to go to.
        assert "would stay in service" not in said(run)
    finally:
        back = play(site, "undrain", "--limit", "worker-2")
    assert back.returncode == 0, back.stdout[-3000:]
