"""Role shared_storage."""

from __future__ import annotations

from typing import Any

import pytest
import testinfra
from airstrip_site import Site

DIRECTORIES = ("dags", "plugins", "logs")
ROOT = "/srv/airflow"


@pytest.mark.parametrize("name", DIRECTORIES)
def test_directories_belong_to_airflow(host: Any, name: str) -> None:
    directory = host.file(f"{ROOT}/{name}")
    assert directory.is_directory
    assert (directory.user, directory.group, directory.mode) == ("airflow", "airflow", 0o755)
    assert (directory.uid, directory.gid) == (50000, 50000)


def test_every_host_sees_what_one_writes(host: Any, site: Site, inventory_hostname: str) -> None:
    others = [name for name in site.group("airflow") if name != inventory_hostname]
    path = f"{ROOT}/dags/.airstrip-{inventory_hostname}"
    host.check_output(f"setpriv --reuid=airflow --regid=airflow --clear-groups touch {path}")
    try:
        seen = [testinfra.get_host(site.connection(name)).file(path) for name in others]
        assert [(file.exists, file.uid) for file in seen] == [(True, 50000)] * len(others)
        assert host.file(path).uid == 50000
    finally:
        host.check_output(f"rm {path}")


@pytest.mark.only_in("distributed")
def test_storage_is_the_mount_that_was_there(host: Any) -> None:
    assert host.mount_point(ROOT).exists
    assert host.file(f"{ROOT}/.airstrip").exists


@pytest.mark.only_in("distributed")
def test_task_logs_lie_on_the_storage(host: Any) -> None:
    assert "base_log_folder = /srv/airflow/logs" in host.file("/etc/airflow/airflow.cfg").content_string
    assert host.run("test -d '/srv/airflow/logs/dag_id=airstrip_smoke_test'").rc == 0
