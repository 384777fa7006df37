"""What the roles write on all hosts of an inventory, rendered without a host."""

from functools import cache
from pathlib import Path

from airstrip_render import SECRETS
from airstrip_rendered import File, Rendering, main
from airstrip_tree import PROJECT


@cache
def distributed() -> list[File]:
    """Return what is written on one host of each kind of the site of five."""
    return list(Rendering(PROJECT / "inventory" / "distributed").files("data-1", "control-1", "worker-1"))


def test_no_file_with_a_secret_is_for_others() -> None:
    """Nor for Airflow's group: task code is in it."""
    found = [file for file in distributed() if any(secret in (file.content or "") for secret in SECRETS.values())]
    # Credentials of each component, and of the commands.
    assert len(found) >= 15
    assert [str(file) for file in found if int(file.mode, 8) & 0o007] == []
    assert [str(file) for file in found if int(file.mode, 8) & 0o070 and file.owner.endswith(":airflow")] == []


def test_a_host_has_the_units_of_its_components() -> None:
    units = {
        (file.host, Path(file.path).name)
        for file in distributed()
        if file.path.startswith("/etc/systemd/system/airflow-")
    }
    assert {unit for host, unit in units if host == "worker-1"} == {"airflow-worker@default.service"}
    assert {host for host, unit in units if unit == "airflow-scheduler.service"} == {"control-1"}


def test_what_is_written_can_be_compared(tmp_path: Path) -> None:
    files = main(str(PROJECT / "inventory" / "single_node"), str(tmp_path), 'site_public_name="a.example.com"')
    for file in files:
        if file.content is not None:
            assert (tmp_path / file.host / file.path[1:]).read_text(encoding="utf-8") == file.content
    assert (tmp_path / "list.txt").read_text(encoding="utf-8").splitlines() == sorted(map(str, files))
    assert "a.example.com" in (tmp_path / "localhost/etc/airflow/airflow.cfg").read_text(encoding="utf-8")
