"""What an upgrade says before it changes anything, and what speaks against it."""

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from upgrade import (
    airflow_drain_order,
    airflow_import_errors_new,
    airflow_upgrade_problems,
    airflow_upgrade_report,
)


def output(**errors: str) -> str:
    """Return what Airflow prints: log lines with brackets of their own, then the list."""
    rows = [
        {"bundle_name": "dags-folder", "filepath": f"/dags/{name}.py", "error": text} for name, text in errors.items()
    ]
    return f"[2026-11-24T12:00:00] INFO - Filling up the DagBag [1]\n{json.dumps(rows)}\n"


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        pytest.param([output(), output()], [], id="none"),
        pytest.param([output(a="Traceback\nKeyError: 1"), output(a="Traceback\nNameError: x")], [], id="failed before"),
        pytest.param(
            [output(a="x"), output(a="x", b="Traceback\n  line\nImportError: no\n")],
            ["/dags/b.py: ImportError: no"],
            id="new",
        ),
        pytest.param([output(), output(a="")], ["/dags/a.py: no message"], id="without a message"),
        pytest.param([output(a="x"), "No data found\n"], [], id="another text for none"),
        pytest.param([], [], id="not asked"),
    ],
)
def test_import_errors_of_the_new_release_alone_count(outputs: list[str], expected: list[str]) -> None:
    assert airflow_import_errors_new(outputs) == expected


def test_hosts_are_drained_by_their_longest_task() -> None:
    facts = {name: {"fqdn": f"{name}.example.com", "hostname": name, "nodename": name} for name in ("w1", "w2", "w3")}
    running = [
        {"hostname": "w1.example.com", "seconds": 600},
        {"hostname": "w3", "seconds": 20},
        {"hostname": "elsewhere", "seconds": 9},
    ]
    assert airflow_drain_order(facts, running) == ["w2", "w3", "w1"]
    assert airflow_drain_order(facts, []) == ["w1", "w2", "w3"]


def found(**changed: Any) -> dict[str, Any]:
    return {
        "host": "c1", "import_errors": [], "lint": "", "migrates": True, "external": False, "database_mb": 900,
        "free_mb": 900, "directory": "/var/backups/airflow",
    } | changed  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"import_errors": ["/dags/a.py: ImportError: no"]}, ["airflow_upgrade_import_errors_allowed", "/dags/a.py"]),
        ({"lint": "Found issues in your airflow.cfg:\n - x"}, ["airflow_upgrade_lint_findings_allowed", "- x"]),
        ({"external": True}, ["airflow_upgrade_external_backup_made"]),
        ({"free_mb": 899}, ["site_backup_directory", "899 MB", "900 MB", "/var/backups/airflow"]),
    ],
)
def test_refusals_name_variable_finding_and_remedy(changed: dict[str, Any], words: list[str]) -> None:
    (problem,) = airflow_upgrade_problems(found(**changed))
    assert all(word in problem for word in words), problem


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"lint": "No issues found in your airflow.cfg. It is ready for Airflow 3!"},
        {"lint": "Found issues in your airflow.cfg:\n  - Changed default value of `executor` from `A` to `B`."},
        {"migrates": False, "external": True},
        {"migrates": False, "free_mb": 0},
    ],
)
def test_what_is_well_is_not_refused(changed: dict[str, Any]) -> None:
    assert airflow_upgrade_problems(found(**changed)) == []


def plan(**changed: Any) -> dict[str, Any]:
    return {
        "from": "3.1.7-a", "to": "3.3.2-b", "resumed": False, "hosts": ["c1", "w1"], "migrates": True,
        "revisions": {"from": {"alembic_version": "aaa"}, "to": {"alembic_version": "bbb"}},
        "database": {
            "bytes": 3 * 2**30, "tables": [{"name": "log", "bytes": 2**21}],
            "running": [{"hostname": "w1", "tasks": 5, "seconds": 60}],
        },
        "quiet": True, "balanced": True,
    } | changed  # fmt: skip


def test_report_of_a_migration() -> None:
    assert airflow_upgrade_report(plan()) == [
        "Upgrade: 3.1.7-a to 3.3.2-b",
        "Hosts: c1, w1",
        "Migration: aaa to bbb; 3.0 GB",
        "Largest tables: log 2 MB",
        "Dump: while nothing writes to it",
        "Downtime: user interface, APIs and scheduling, during the migration; running tasks go on",
        "Running tasks: 5 on 1 host(s); workers wait for theirs",
    ]


def test_report_without_a_migration() -> None:
    lines = airflow_upgrade_report(plan(migrates=False, database={}, balanced=False, resumed=True))
    assert lines[0] == "Going on to 3.3.2-b"
    assert "Downtime: user interface and APIs, while the API server restarts" in lines
    assert lines[-1].startswith("Running tasks: 0 on 0")


@pytest.mark.parametrize("function", [airflow_import_errors_new, airflow_upgrade_problems, airflow_upgrade_report])
def test_wrong_types_are_named(function: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=function.__name__):
        function(7)
    with pytest.raises(AnsibleFilterError, match="airflow_drain_order"):
        airflow_drain_order({}, 7)
