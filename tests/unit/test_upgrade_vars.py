"""When an upgrade dumps the database, when it restores a dump by itself, and what it starts on the way back."""

import base64
import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from airflow_schema import airflow_schema
from airstrip_render import Role
from airstrip_tree import PROJECT, Tree
from ansible.template import trust_as_template
from upgrade import airflow_past_components, airflow_upgrade_failures, airflow_upgrade_releases, airflow_upgrade_steps

OLD, NEW = "aaa", "bbb"


def row(revision: str) -> dict[str, Any]:
    found = {"has_schema": True, "alembic_version": revision, "alembic_version_fab": "f", "admin_exists": True}
    return {"query_result": [found]}


def manifest(**content: Any) -> dict[str, str]:
    return {"content": base64.b64encode(json.dumps(content).encode()).decode()}


def upgrade(**known: Any) -> Role:
    """Return the role on the migration host, which knows this of itself."""
    given = {
        "ansible_play_hosts_all": ["c1"],
        "inventory_hostname": "c1",
        "airflow_migration_host": "c1",
        "airflow_backup_database_host": "c1",
        "airflow_upgrade_present_release": "3.2.2-a",
        "hostvars": {"c1": known},
    }
    schema = airflow_schema(known.pop("answer", row(OLD)), {"alembic_version": NEW, "alembic_version_fab": "f"})
    return Role("airflow_upgrade", given | {"airflow_schema": schema} | known)


PAST = manifest(revisions={"alembic_version": OLD, "alembic_version_fab": "f"})


@pytest.mark.parametrize(
    ("known", "dumps"),
    [
        pytest.param({"answer": row(OLD)}, True, id="a first run"),
        pytest.param({"answer": row(OLD), "__airflow_upgrade_manifest_file": PAST}, True, id="not migrated yet"),
        pytest.param({"answer": row("half"), "__airflow_upgrade_manifest_file": PAST}, False, id="half"),
        pytest.param({"answer": row(OLD), "__airflow_upgrade_manifest_file": {"skipped": True}}, True, id="not read"),
    ],
)
def test_the_old_schema_is_dumped_in_each_run(known: dict[str, Any], dumps: bool) -> None:
    assert upgrade(**known).evaluate("__airflow_upgrade_dumps") is dumps


@pytest.mark.parametrize(
    ("known", "restores"),
    [
        pytest.param({"airflow_backup_dumped": {"rc": 0}}, True, id="of this run, after the stop"),
        pytest.param({}, False, id="of an earlier run"),
        pytest.param({"airflow_backup_dumped": {"skipped": True}}, False, id="of an earlier run, and skipped"),
        pytest.param(
            {
                "airflow_backup_dumped": {"rc": 0},
                "__airflow_upgrade_database": {"query_result": [{"bytes": 2049 << 20}]},
            },
            False,
            id="made while all ran",
        ),
        pytest.param(
            {
                "airflow_backup_dumped": {"rc": 0},
                "__airflow_upgrade_comparison": {
                    "stdout": "etc/systemd/system/airflow-scheduler.service: Mod time differs"
                },
            },
            False,
            id="the new release has been started",
        ),
    ],
)
def test_only_a_dump_of_this_run_after_the_stop_is_restored_without_asking(
    known: dict[str, Any], restores: bool
) -> None:
    found = upgrade(answer=row("half"), __airflow_upgrade_manifest_file=PAST, **known)
    assert found.evaluate("__airflow_upgrade_restores") is restores


LISTED = ";     Archive created at 2026-11-24 09:31:00 UTC\n;     dbname: airflow"


@pytest.mark.parametrize(("rc", "listed", "loses"), [(0, LISTED, False), (1, LISTED, True), (1, "", True)])
def test_a_downgrade_that_fails_ends_the_run(rc: int, listed: str, loses: bool) -> None:
    role = upgrade(
        answer=row("half"),
        __airflow_upgrade_downgrade={
            "rc": rc,
            "stderr_lines": ["first", "x.exc.InternalError: no", "(Background on this)"],
        },
        __airflow_upgrade_dump_contents={"stdout": listed},
    )
    tasks = yaml.safe_load((PROJECT / "roles/airflow_upgrade/tasks/return.yml").read_text(encoding="utf-8"))
    (refusal,) = [task for task in tasks if task["name"] == "Return | Refuse to lose what was written"]
    assert all(role.evaluate(condition) for condition in refusal["when"]) is loses
    message = role.text(refusal["ansible.builtin.fail"]["msg"])
    assert "Airflow's downgrade of the schema failed: x.exc.InternalError: no\n" in message
    assert ("Or go back to the dump of 2026-11-24 09:31:00 UTC" in message) is bool(listed)


def test_the_loss_is_accepted_by_nobody_but_the_playbook_that_says_the_price() -> None:
    passes = [
        task.place.partition(":")[0]
        for task in Tree().tasks("airflow_upgrade")
        if "__airflow_upgrade_loss_accepted" in task.keys.get("vars", {})
    ]
    assert passes == ["roles/airflow_upgrade/tasks/rollback.yml"]


UNITS = ["airflow-scheduler.service", "airflow-worker@a.service", "airflow-worker@b.service"]
COMPONENTS = {"scheduler": {"unit": "airflow-scheduler"}, "worker": {"unit": "airflow-worker"}}


@pytest.mark.parametrize(
    ("past", "active", "components"),
    [
        ({"units": UNITS}, UNITS, ["scheduler", "worker"]),
        ({"units": UNITS, "active": UNITS[:1]}, UNITS[:1], ["scheduler"]),
        ({"units": UNITS, "active": UNITS[1:2]}, UNITS[1:2], []),
        ({"units": UNITS[:1], "active": []}, [], []),
    ],
)
def test_what_was_stopped_on_purpose_is_not_started(
    past: dict[str, Any], active: list[str], components: list[str]
) -> None:
    role = Role("airflow_upgrade", {"__airflow_upgrade_manifest_file": manifest(**past)})
    assert role.evaluate("__airflow_upgrade_past_active") == active
    assert airflow_past_components(COMPONENTS, past["units"], active) == components


def test_a_backup_tells_what_ran_and_what_starts_with_the_host() -> None:
    role = Role(
        "airflow_backup",
        {
            "airflow_backup_manifest": {"from": "a"},
            "__airflow_backup_units": {"files": [{"path": f"/etc/systemd/system/{unit}"} for unit in reversed(UNITS)]},
            "__airflow_backup_unit_states": {
                "results": [
                    {"stdout_lines": ["activating", "inactive", "failed"]},
                    {"stdout_lines": ["enabled", "disabled", "enabled"]},
                ]
            },
        },
    )
    role.task("snapshot", "Snapshot | Write down what it is")
    assert role.evaluate("airflow_backup_manifest | combine(__airflow_backup_states)") == {
        "from": "a", "units": UNITS, "active": [UNITS[0], UNITS[2]], "enabled": [UNITS[0], UNITS[2]],
    }  # fmt: skip


def test_the_releases_of_the_backups_that_are_left_are_needed() -> None:
    found: list[Mapping[str, Any]] = [
        manifest(**{"from": "a", "to": "b", "units": []}),
        {"failed": True},
        manifest(**{"from": "b", "to": "c"}),
    ]
    assert airflow_upgrade_releases(found) == ["a", "b", "c"]


FACTS = [{"fqdn": host, "hostname": host, "nodename": host} for host in ("c1", "w1", "w2")]
PLACED = {
    "api_server": ["c1"],
    "scheduler": ["c1", "c2"],
    "dag_processor": ["c1"],
    "triggerer": [],
    "worker": ["w1", "w2"],
}


@pytest.mark.parametrize(
    ("migrates", "first"), [(False, ["api_server on c1", "scheduler on c1", "dag_processor on c1"]), (True, [])]
)
def test_components_change_one_after_the_other_and_busy_workers_last(migrates: bool, first: list[str]) -> None:
    running = [{"hostname": "w1", "seconds": 600}]
    plan = {"hosts": ["c1", "w1", "w2"], "facts": FACTS, "migrates": migrates, "running": running}
    steps = [f"{step['component']} on {step['host']}" for step in airflow_upgrade_steps(PLACED, plan)]
    assert steps == [*first, "worker on w2", "worker on w1"]


def test_each_failure_is_named_with_its_host_and_task() -> None:
    failed = {
        "ansible_failed_task": {"name": "Do it"},
        "ansible_failed_result": {"msg": "rc 1", "stderr_lines": ["a", "b"]},
    }
    assert airflow_upgrade_failures(["c1", "c2"], {"c1": {}, "c2": failed}) == ["c2, Do it: rc 1: b"]


def test_what_is_fetched_is_for_its_owner_alone() -> None:
    for role in Tree().roles:
        tasks = Tree().tasks(role)
        kept = {
            task.arguments["path"]
            for task in tasks
            if task.module == "ansible.builtin.file" and task.arguments.get("mode") == "0600"
        }
        fetched = {task.arguments["dest"] for task in tasks if task.module == "ansible.builtin.fetch"}
        assert fetched <= kept, role


def test_what_is_written_on_the_controller_is_for_its_owner_alone() -> None:
    tree = Tree()
    modes = {
        task.place: task.arguments["mode"]
        for task in [*tree.calls, *(call for path in tree.playbooks for call in tree.play_tasks(path))]
        if "mode" in task.arguments
        and (task.keys.get("delegate_to") == "localhost" or "roles/certificates/" in task.place)
    }
    assert len(modes) > 5
    assert {place: mode for place, mode in modes.items() if mode not in ("0600", "0700")} == {}


@pytest.mark.parametrize(
    "path",
    [".backups/20261124T093000Z/database.pgc", ".secrets.yml", ".certificates/ca.crt", "status.json", "topology.svg"],
)
def test_git_ignores_what_is_generated_beside_an_inventory(path: str) -> None:
    for inventory in ("inventory", "inventory/production"):
        argv = ["git", "check-ignore", "--quiet", "--no-index", f"{inventory}/{path}"]
        assert subprocess.run(argv, check=False, cwd=PROJECT).returncode == 0, f"{inventory}/{path}"


def imports(*paths: str) -> dict[str, str]:
    """Return the result of a command that lists these files as ones that cannot be imported."""
    return {"stdout": json.dumps([{"filepath": path, "error": "ImportError: x"} for path in paths])}


NEW_FAULT = ["b.py: ImportError: x"]


@pytest.mark.parametrize(
    ("first", "both", "found"),
    [
        pytest.param(imports("a.py"), [imports("a.py", "b.py")], NEW_FAULT, id="all bundles"),
        # The first one has read nothing, and was asked again without the bundle.
        pytest.param({"stdout": ""}, [imports("a.py"), imports("a.py", "b.py")], NEW_FAULT, id="a bundle left out"),
        pytest.param({"stdout": ""}, [imports("a.py"), imports("a.py")], [], id="nothing new"),
    ],
)
def test_the_new_release_is_compared_with_the_present_one(
    first: dict[str, str], both: list[dict[str, str]], found: list[str]
) -> None:
    role = upgrade(airflow_first_imports=first, airflow_imports={"results": both})
    assert role.evaluate("__airflow_upgrade_import_errors") == found


def test_a_host_that_has_not_compared_finds_nothing() -> None:
    assert upgrade().evaluate("__airflow_upgrade_import_errors") == []


@pytest.mark.parametrize(
    ("python", "packages", "runs"),
    [
        (True, True, True),
        # The link leads to another Python, or nowhere.
        (True, False, False),
        (False, True, False),
    ],
)
def test_a_release_without_its_python_does_not_run(python: bool, packages: bool, runs: bool) -> None:
    found = {"results": [{"stat": {"exists": python}}, {"stat": {"exists": packages}}]}
    assert Role("airflow", {"__airflow_present_paths": found}).evaluate("__airflow_present_runs") is runs


@pytest.mark.parametrize(
    ("said", "unread"),
    [
        ("Traceback\nRuntimeError: Bundles not found: by_git, private\n", ["by_git", "private"]),
        ("a warning", []),
        ("", []),
    ],
)
def test_bundles_that_no_command_can_read_are_left_out(said: str, unread: list[str]) -> None:
    tasks = yaml.safe_load((PROJECT / "roles/airflow/tasks/compare.yml").read_text(encoding="utf-8"))
    expression = next(task["vars"]["__airflow_unread"] for task in tasks if "__airflow_unread" in task.get("vars", {}))
    role = Role("airflow", {"airflow_first_imports": {"stderr": said}})
    assert role.template(trust_as_template(expression)) == unread
