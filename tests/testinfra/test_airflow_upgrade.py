"""Role airflow_upgrade on a site where no upgrade is due: nothing is under way, and all run the release in use."""

from __future__ import annotations

from typing import Any

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
