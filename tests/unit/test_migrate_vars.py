"""When the role airflow takes an empty metadata database for a lost one."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_render import Role

EMPTY = {"failed": False, "msg": 'relation "alembic_version" does not exist\nLINE 1: SELECT (SELECT version_num'}
HANDMADE = {"failed": False, "msg": 'relation "alembic_version_fab" does not exist\nLINE 1: SELECT (SELECT'}
MIGRATED = {"failed": False, "query_result": [{"alembic_version": "a", "alembic_version_fab": "b"}]}
NOT_ASKED = {"skipped": True}


def problem(schema: dict[str, Any], *hosts: str, allowed: bool | str = False) -> str:
    """Return why a run ends that has found `schema`, on a site whose `hosts` ran Airflow before."""
    variables: dict[str, Any] = {
        "airflow_installed_hosts": [*hosts],
        "airflow_new_database_allowed": allowed,
        "airflow_database_name": "renamed",
        "hostvars": {"host-1": {"__airflow_schema": schema}},
    }
    return str(Role("airflow", variables).evaluate("__airflow_schema_problem"))


def test_an_empty_database_in_the_place_of_another_is_refused() -> None:
    found = problem(EMPTY, "vm1", "vm2")
    for part in ("site_database_name: the database renamed on 192.0.2.10 is empty", "vm1, vm2", "restore a backup"):
        assert part in found
    assert "-e airflow_new_database_allowed=true" in found
    assert problem(EMPTY, "vm1", allowed="false") != ""


@pytest.mark.parametrize("schema", [MIGRATED, HANDMADE, NOT_ASKED])
def test_a_schema_is_no_problem(schema: dict[str, Any]) -> None:
    assert problem(schema, "vm1") == ""


@pytest.mark.parametrize("allowed", [True, "true"])
def test_an_empty_database_may_be_meant(allowed: bool | str) -> None:
    assert problem(EMPTY, "vm1", allowed=allowed) == ""


def test_an_interrupted_first_run_goes_on() -> None:
    assert problem(EMPTY) == ""
