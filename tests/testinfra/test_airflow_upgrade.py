"""Role airflow_upgrade on a site where no upgrade is due: nothing is under way, and all run the release in use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from airstrip_site import Site
from airstrip_units import units


def test_no_upgrade_is_under_way(host: Any) -> None:
    assert not host.file("/var/backups/airflow/unfinished").exists


def test_units_name_the_release_in_use(host: Any) -> None:
    release = host.check_output("readlink /opt/airflow/current")
    assert release.startswith("/opt/airflow/releases/")
    found = units(host, "airflow-*")
    assert found
    for unit in found:
        assert f"\nExecStart={release}/bin/airflow " in host.file(f"/etc/systemd/system/{unit}").content_string


@pytest.mark.only_in("single_node_bookworm")
def test_check_mode_tells_of_an_upgrade(host: Any, site: Site) -> None:
    before = host.check_output("readlink /opt/airflow/current")
    more = ("-e", '{"airflow_release_extra_packages": ["humanize"]}')
    result = site.command("ansible-playbook", "site.yml", "--check", "--tags", "upgrade", *more)
    assert result.returncode == 0, result.stdout[-4000:]
    assert re.search(rf"An upgrade is due, from {Path(before).name} to [0-9.]+-[0-9a-f]+\.", result.stdout)
    assert host.check_output("readlink /opt/airflow/current") == before
    assert (
        "An upgrade is due" not in site.command("ansible-playbook", "site.yml", "--check", "--tags", "upgrade").stdout
    )
