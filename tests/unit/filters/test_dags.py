"""Filters of deployed DAGs: what stands against a version, and how its files are tried."""

from typing import Any

import pytest
from airstrip_module import load
from airstrip_render import Role, component_units, written
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError

dags = load(PROJECT / "filter_plugins" / "dags.py")

NIGHTLY = {"file": "nightly.py", "tasks": ["load", "sum"], "hash": "1"}
SMALLER = {"file": "nightly.py", "tasks": ["load"], "hash": "2"}
KNOWN = {"nightly": {"bundle": "dags-folder", "version": "a"}}


def run(version: str | None = "a", run_id: str = "r1") -> dict[str, Any]:
    return {"dag_id": "nightly", "run_id": run_id, "version": version}


def problems(new: dict[str, Any], **more: Any) -> list[str]:
    checked = {"dags": [new, {"nightly": NIGHTLY}], "changes": [], "problems": more.pop("problems", [])}
    found: list[str] = dags.airflow_dags_problems({"checked": checked, "known": KNOWN, "runs": [], **more})
    return found


@pytest.mark.parametrize(
    ("new", "runs", "told"),
    [
        ({"nightly": NIGHTLY}, [run()], None),
        ({"nightly": SMALLER}, [run()], None),
        ({}, [], None),
        ({"nightly": SMALLER}, [run(None)], "loses the tasks sum, and has runs without a version of their own: r1"),
        ({}, [run()], "the DAG nightly is removed, and has runs that have not ended: r1. Let them end first"),
        ({}, [run(run_id=f"r{number}") for number in range(5)], "r0, r1, r2 and 2 more"),
    ],
)
def test_a_version_that_breaks_a_run_is_refused(new: dict[str, Any], runs: list[Any], told: str | None) -> None:
    found = problems(new, runs=runs)
    assert len(found) == (1 if told else 0)
    assert (told or "") in "".join(found)


def test_runs_of_other_bundles_are_not_looked_at() -> None:
    assert problems({}, runs=[run()], known={"nightly": {"bundle": "team-a", "version": "a"}}) == []


def test_runs_of_dags_that_no_version_had_are_looked_at() -> None:
    """Those of the shared storage, before the first version."""
    known = {"weekly": {"bundle": "dags-folder", "version": None}}
    found = problems({"nightly": NIGHTLY}, runs=[{"dag_id": "weekly", "run_id": "r1", "version": None}], known=known)
    assert found == ["the DAG weekly is removed, and has runs that have not ended: r1. Let them end first"]


def test_a_dag_of_another_bundle_is_refused() -> None:
    found = problems({"nightly": NIGHTLY}, known={"nightly": {"bundle": "team-a", "version": None}})
    assert found == ["the DAG nightly is in the bundle team-a already: two bundles would take it from each other"]


def test_what_the_import_found_is_told() -> None:
    assert problems({"nightly": NIGHTLY}, problems=["a.py cannot be imported: no"]) == ["a.py cannot be imported: no"]


def test_a_refusal_names_the_version_and_the_way() -> None:
    found = dags.airflow_dags_refusal(["one", "two"], "3f2a")
    assert found.startswith("Version 3f2a of the DAGs does not become the current one; nothing was switched.\n- one\n")
    assert found.endswith("-e dags_force=true goes on all the same.")


def test_what_is_not_understood_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="airflow_dags_problems: the step"):
        dags.airflow_dags_problems([])


def test_files_are_tried_as_the_services_user_and_without_secrets() -> None:
    given = {
        "user": "airflow", "group": "air", "environment": "/etc/airflow/environment", "seconds": 60,
        "python": "/opt/python", "arguments": ["/d/new", "/d/old"],
    }  # fmt: skip
    found = dags.airflow_dags_command({"PrivateNetwork": "yes", "SystemCallFilter": ["@a", "~@b"]}, given)
    assert found[0] == "systemd-run"
    assert {"--uid=airflow", "--gid=air", "--property=PrivateNetwork=yes"} <= set(found)
    assert {"--property=SystemCallFilter=@a", "--property=SystemCallFilter=~@b"} <= set(found)
    assert {"--property=RuntimeMaxSec=60", "--property=EnvironmentFile=/etc/airflow/environment"} <= set(found)
    assert not [word for word in found if "Credential" in word]
    assert found[-5:] == ["/opt/python", "-P", "-", "/d/new", "/d/old"]


def test_deployed_dags_take_the_place_of_the_shared_storage() -> None:
    components = load(PROJECT / "filter_plugins" / "airflow_components.py")
    own, *others = components.airflow_bundles([], "/smoke", 20)
    deployed, *same = components.airflow_bundles([], "/smoke", 20, {"deployed": "/dags"})
    assert (own["name"], deployed["name"], others == same) == ("dags-folder", "dags-folder", True)
    assert deployed["classpath"] == "airstrip_dags.VersionedBundle"
    assert deployed["kwargs"] == {"directory": "/dags", "refresh_interval": 1}


@pytest.mark.parametrize(("wanted", "state"), [("/dags", "file"), ("", "absent")])
def test_a_release_has_the_bundle_where_it_is_used(wanted: str, state: str) -> None:
    role = Role("airflow", {"airflow_dags_deployed": wanted})
    for verb in ("configure", "stage"):
        entries = {entry["path"].rpartition("/")[2]: entry for entry in written("airflow", verb, role)}
        assert entries["airstrip_dags.py"]["state"] == state
        source = (PROJECT / "roles" / "airflow" / "files" / "airstrip_dags.py").read_text(encoding="utf-8")
        assert entries["airstrip_dags.py"]["content"] == (source if state == "file" else "")


@pytest.mark.parametrize("component", ["dag_processor", "worker"])
def test_what_reads_the_bundle_restarts_with_it(component: str) -> None:
    off, on = (component_units(component, {"airflow_dags_deployed": wanted}) for wanted in ("", "/dags"))
    assert all(off[name] != text for name, text in on.items())
