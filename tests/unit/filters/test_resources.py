"""Filters of what is declared of Airflow: what is refused, first passwords, and the file of an export."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from airstrip_module import load
from airstrip_tree import PROJECT

resources = load(PROJECT / "filter_plugins" / "resources.py")
PERMISSIONS = json.loads((PROJECT / "roles/airflow_resources/files/permissions.json").read_text(encoding="utf-8"))
SECRET = "not-to-be-told-4711"  # noqa: S105
POOL = {"name": "etl", "slots": 2}
CONNECTION = {"connection_id": "dwh", "conn_type": "postgres", "password": SECRET, "extra": {"token": SECRET}}
USER = {"username": "ada", "email": "a@example.com", "roles": ["Viewer"], "password": SECRET}


def problems(version: str = "3.3.2", **declared: Any) -> list[str]:
    """Return what is wrong with declarations; no message may tell a secret."""
    kinds: dict[str, Any] = {kind: [] for kind in ("pools", "variables", "connections", "roles", "users", "teams")}
    settings = {
        "purge": [], "version": version, "permissions": PERMISSIONS.get(version, {}), "plugin_views": ["Reports"],
        "admin": "admin", "multi_team": False,
    }  # fmt: skip
    found: list[str] = resources.resources_problems(kinds | settings | declared)
    assert SECRET not in "\n".join(found)
    return found


def test_nothing_is_wrong_with_a_whole_declaration() -> None:
    assert not problems(
        pools=[POOL, {"name": "endless", "slots": -1, "description": "", "include_deferred": True}],
        variables=[
            {"key": "a/b c", "value": {"a": [1]}},
            {"key": "p", "keep": ["value"]},
            {"key": "f", "value": False},
        ],
        connections=[
            CONNECTION,
            {"connection_id": "b.c-d", "conn_type": "http", "port": 80, "extra": '{"a": 1}'},
            {"connection_id": "k", "conn_type": "http", "keep": ["password", "extra.a.b"]},
            {"connection_id": "gone", "state": "absent"},
        ],
        roles=[
            {"name": "Analyst", "permissions": ["can read on DAGs", "can_edit on DAG:x", "menu access on Reports"]},
            {"name": "None", "permissions": []},
            {"name": "Old", "state": "absent"},
        ],
        users=[USER | {"roles": ["Analyst", "Op"]}, USER | {"username": "admin", "roles": ["Admin"], "email": "b"}],
        purge=["pools", "users"],
    )


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no type": ({"connections": [{"connection_id": "dwh"}]}, ["connection 'dwh' has no conn_type"]),
    "a misspelt key": (
        {"connections": [CONNECTION | {"pasword": SECRET}]},
        ["has 'pasword', which nothing reads. Did you mean 'password'?"],
    ),
    "no slots": ({"pools": [{"name": "a", "slots": 0}]}, ["pool 'a' has 0 slots, and no task"]),
    "no number of slots": ({"pools": [{"name": "a", "slots": "3"}]}, ["has '3' slots"]),
    "slots are not said": ({"pools": [{"name": "a"}]}, ["pool 'a' has no slots"]),
    "an unlimited pool in 3.1": (
        {"pools": [{"name": "a", "slots": -1}], "version": "3.1.7"},
        ["Airflow 3.1.7 has no pools without limit"],
    ),
    "a name that Airflow refuses": (
        {"connections": [CONNECTION | {"connection_id": "a b"}]},
        ["the 1. connection has the connection_id 'a b'. Use letters"],
    ),
    "a name that has no path": (
        {"roles": [{"name": "a/b", "permissions": []}]},
        ["the 1. role has the name 'a/b'. Use 1 to 64"],
    ),
    "no name": ({"pools": [{"slots": 1}]}, ["the 1. pool has the name None"]),
    "twice": ({"variables": [{"key": "a", "value": SECRET}] * 2}, ["airflow_variables: 'a' is declared 2 times"]),
    "no value": ({"variables": [{"key": "a"}]}, ["variable 'a' has no value"]),
    "the mask": ({"variables": [{"key": "a", "value": "***"}]}, ["has the value ***"]),
    "a masked extra": ({"connections": [CONNECTION | {"extra": {"a": ["***"]}}]}, ["has ***, which is what"]),
    "no extra": ({"connections": [CONNECTION | {"extra": "a=1"}]}, ["has an extra that is no mapping"]),
    "a list as extra": ({"connections": [CONNECTION | {"extra": [1]}]}, ["has an extra that is no mapping"]),
    "no port": ({"connections": [CONNECTION | {"port": "5432"}]}, ["has the port '5432'"]),
    "what is not hidden": ({"connections": [CONNECTION | {"keep": ["host"]}]}, ["keeps 'host', which Airflow"]),
    "an unknown action": (
        {"roles": [{"name": "R", "permissions": ["can reed on DAGs"]}]},
        ["there is no action 'can reed'. Did you mean 'can read'?"],
    ),
    "an unknown view": (
        {"roles": [{"name": "R", "permissions": ["can read on Pool"]}]},
        ["there is no 'Pool'. Did you mean 'Pools'?"],
    ),
    "no permission": ({"roles": [{"name": "R", "permissions": ["DAGs"]}]}, ["Write it as 'can read on DAGs'"]),
    "FAB's own role": ({"roles": [{"name": "Viewer", "permissions": []}]}, ["is one of FAB's own"]),
    "an unknown role": (
        {"users": [USER | {"roles": ["Viewr"]}]},
        ["has the role 'Viewr', which is neither FAB's nor in airflow_roles. Did you mean 'Viewer'?"],
    ),
    "a role that is to go": (
        {"users": [USER | {"roles": ["Old"]}], "roles": [{"name": "Old", "state": "absent"}]},
        ["has the role 'Old', which is neither"],
    ),
    "no role": ({"users": [USER | {"roles": []}]}, ["has no role"]),
    "no mail": ({"users": [{"username": "a", "roles": ["Op"]}]}, ["has no email"]),
    "one email of two": (
        {"users": [USER, USER | {"username": "bob"}]},
        ["2 users have the email 'a@example.com'"],
    ),
    "the login as a viewer": ({"users": [USER | {"username": "admin"}]}, ["is the first administrator"]),
    "the login gone": ({"users": [{"username": "admin", "state": "absent"}]}, ["is the first administrator"]),
    "a state": ({"pools": [POOL | {"state": "gone"}]}, ["has the state 'gone'"]),
    "a kind": ({"purge": ["pool"]}, ["there is no kind 'pool'. Did you mean 'pools'?"]),
    "teams in 3.1": ({"teams": ["a"], "version": "3.1.7"}, ["Airflow 3.1.7 has no teams"]),
    "teams in 3.2": ({"teams": ["a"], "version": "3.2.2"}, ["its auth manager FAB has none"]),
    "many teams": ({"multi_team": "True"}, ["core.multi_team is on"]),
}


@pytest.mark.parametrize(("declared", "messages"), CASES.values(), ids=CASES)
def test_what_airflow_would_refuse_is_refused(declared: dict[str, Any], messages: list[str]) -> None:
    found = problems(**declared)
    assert len(found) == len(messages)
    assert all(part in text for part, text in zip(messages, found, strict=True)), found


def test_permissions_of_a_version_that_is_not_shipped_are_left_to_airflow() -> None:
    assert not problems("3.9.9", roles=[{"name": "R", "permissions": ["can fly on DAGs"]}])


def test_permissions_of_each_version_are_known() -> None:
    shipped = json.loads((PROJECT / "roles/airflow_release/files/locks/index.json").read_text(encoding="utf-8"))
    assert shipped.keys() == PERMISSIONS.keys(), "see roles/airflow_resources/README.md"
    for known in PERMISSIONS.values():
        assert known["actions"] == ["can_create", "can_delete", "can_edit", "can_read", "menu_access"]
        assert {"DAGs", "Website", "Pools", "Connections"} <= {*known["resources"]}
        assert not [name for name in known["resources"] if ":" in name]


def test_users_without_a_password_get_one() -> None:
    users = [USER, {"username": "b"}, {"username": "c", "state": "absent"}, {"username": "d", "state": "present"}]
    assert resources.resources_generated(users) == ["airflow_user_b", "airflow_user_d"]
    assert resources.resources_accounts(users, ["x", "y"]) == [
        USER,
        {"username": "b", "password": "x", "generated": True},
        {"username": "c", "state": "absent"},
        {"username": "d", "state": "present", "password": "y", "generated": True},
    ]


def test_an_export_names_what_it_lacks() -> None:
    exported = {
        "connections": [{"connection_id": "dwh", "conn_type": "x", "keep": ["password", "extra.a"]}],
        "users": [{"username": "a\nb"}],
    }
    head = resources.resources_head(exported)
    assert head.splitlines()[3:] == [
        '#   connection "dwh": password',
        '#   connection "dwh": extra.a',
        '#   user "a\\nb": password',
    ]
    assert yaml.safe_load(head) is None
    assert [*resources.resources_declared(exported)] == ["airflow_connections", "airflow_users"]


@pytest.mark.parametrize("version", PERMISSIONS)
def test_examples_of_the_documentation_are_accepted(version: str) -> None:
    text = (PROJECT / "docs" / "content.md").read_text(encoding="utf-8")
    found = [yaml.safe_load(example) for example in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    variables = [example for example in found if isinstance(example, dict)]
    declared = [{name.removeprefix("airflow_"): entries for name, entries in example.items()} for example in variables]
    ours = [{kind: example[kind] for kind in example if kind in resources._KINDS} for example in declared]
    assert sum(map(bool, ours)) >= 4
    assert not [problem for example in ours for problem in problems(version, **example)]
