"""What the roles write on all hosts of an inventory, rendered without a host."""

from functools import cache
from pathlib import Path

import pytest
from airstrip_render import SECRETS
from airstrip_rendered import File, Rendering, main
from airstrip_tree import PROJECT

INVENTORIES = ("single_node", "distributed")


@cache
def files(inventory: str) -> list[File]:
    """Return what is written for one of the project's inventories."""
    return list(Rendering(PROJECT / "inventory" / inventory).files())


def with_secrets(found: list[File]) -> list[File]:
    return [file for file in found if any(secret in (file.content or "") for secret in SECRETS.values())]


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_no_file_with_a_secret_is_for_others(inventory: str) -> None:
    """Nor for Airflow's group: task code is in it."""
    found = with_secrets(files(inventory))
    # Credentials of each component, and of the commands.
    assert len(found) > 5
    assert [str(file) for file in found if int(file.mode, 8) & 0o007] == []
    assert [str(file) for file in found if int(file.mode, 8) & 0o070 and file.owner.endswith(":airflow")] == []


def test_a_host_has_the_units_of_its_components() -> None:
    found = {
        (file.host, Path(file.path).name)
        for file in files("distributed")
        if file.path.startswith("/etc/systemd/system/airflow-")
    }
    assert {unit for host, unit in found if host == "worker-1"} == {"airflow-worker@default.service"}
    assert {host for host, unit in found if unit == "airflow-scheduler.service"} == {"control-1", "control-2"}


def test_what_is_written_is_the_same_in_each_run(tmp_path: Path) -> None:
    """Else nothing could be compared."""
    main(str(PROJECT / "inventory" / "single_node"), str(tmp_path))
    for file in files("single_node"):
        if file.content is not None:
            assert (tmp_path / file.host / file.path[1:]).read_text(encoding="utf-8") == file.content
    lines = (tmp_path / "list.txt").read_text(encoding="utf-8").splitlines()
    assert lines == sorted(map(str, files("single_node")))
