"""When the role airflow_schema takes an empty metadata database for a lost one, and when a migration is due."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from airflow_schema import airflow_schema
from airstrip_render import Role
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError

EXPECTED = {"alembic_version": "a", "alembic_version_fab": "b"}


def answer_of(main: str | None, fab: str | None, *, admin_exists: bool = False) -> dict[str, Any]:
    row = {"has_schema": main is not None, "alembic_version": main, "alembic_version_fab": fab}
    return {"failed": False, "query_result": [row | {"admin_exists": admin_exists}]}


EMPTY, HANDMADE, MIGRATED = answer_of(None, None), answer_of("a", None), answer_of("a", "b", admin_exists=True)
OLD = answer_of("0", "b")
NOT_ASKED = {"skipped": True}
(REFUSAL,) = yaml.safe_load((PROJECT / "roles/airflow_schema/tasks/refuse.yml").read_text(encoding="utf-8"))


def problem(answer: dict[str, Any], *hosts: str, allowed: bool | str = False) -> str:
    """Return why a run ends to which the database has given this answer, on a site whose `hosts` ran Airflow before."""
    role = Role(
        "airflow_schema",
        {
            "airflow_schema": airflow_schema(answer, EXPECTED),
            "airflow_installed_hosts": [*hosts],
            "airflow_schema_new_database_allowed": allowed,
            "airflow_database_name": "renamed",
        },
    )
    if not all(role.evaluate(condition) for condition in REFUSAL["when"]):
        return ""
    return role.text(REFUSAL["ansible.builtin.fail"]["msg"])


def test_an_empty_database_in_the_place_of_another_is_refused() -> None:
    found = problem(EMPTY, "vm1", "vm2")
    for part in ("site_database_name: the database renamed on 192.0.2.10 is empty", "vm1, vm2", "restore a backup"):
        assert part in found
    assert "-e airflow_schema_new_database_allowed=true" in found
    assert problem(EMPTY, "vm1", allowed="false") != ""


@pytest.mark.parametrize("answer", [MIGRATED, HANDMADE, NOT_ASKED])
def test_a_schema_is_no_problem(answer: dict[str, Any]) -> None:
    assert problem(answer, "vm1") == ""


@pytest.mark.parametrize("allowed", [True, "true"])
def test_an_empty_database_may_be_meant(allowed: bool | str) -> None:
    assert problem(EMPTY, "vm1", allowed=allowed) == ""


def test_an_interrupted_first_run_goes_on() -> None:
    assert problem(EMPTY) == ""


@pytest.mark.parametrize(
    ("answer", "due", "stops"),
    [
        pytest.param(MIGRATED, False, False, id="as the release expects it"),
        pytest.param(OLD, True, True, id="of another release"),
        pytest.param(EMPTY, True, False, id="empty: nothing can use it"),
        pytest.param(HANDMADE, True, True, id="without the tables of FAB"),
        pytest.param(NOT_ASKED, True, False, id="not asked: nothing stops"),
    ],
)
def test_components_stop_where_a_schema_changes(answer: dict[str, Any], due: bool, stops: bool) -> None:
    found = airflow_schema(answer, EXPECTED)
    assert (found["due"], found["stops"]) == (due, stops)


def test_a_database_that_does_not_answer_is_none_without_a_schema() -> None:
    failed = {"failed": False, "msg": "unable to connect to database: connection refused"}
    with pytest.raises(AnsibleFilterError, match=r"site_database_host: .* connection refused\. Correct the variables"):
        airflow_schema(failed, EXPECTED)


def test_the_administrator_is_created_once() -> None:
    assert [airflow_schema(answer, EXPECTED)["admin_exists"] for answer in (MIGRATED, OLD, EMPTY)] == [
        True,
        False,
        False,
    ]
