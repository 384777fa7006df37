"""What the module airflow_resources works out before it changes anything, with secrets that Airflow hides."""

from __future__ import annotations

import json
from typing import Any

import ansible.module_utils
import pytest
from airstrip_tree import PROJECT
from hypothesis import given
from hypothesis import strategies as st

# Where they find one another, as on a host.
ansible.module_utils.__path__.append(str(PROJECT / "module_utils"))

from ansible.module_utils import airflow_resources as compare  # noqa: E402
from ansible.module_utils import airflow_resources_api as over_api  # noqa: E402
from ansible.module_utils import airflow_resources_plan as plans  # noqa: E402

SECRET = "not-to-be-told-4711"  # noqa: S105
MASK = "***"
KINDS = compare.KINDS
RULES = plans.Rules(purge=False, protected=frozenset({"admin"}), key="k", noted={})
TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def masked(value: Any) -> Any:
    """Return a value as Airflow shows it under a name that only a secret has."""
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return "***" if isinstance(value, str) and value else value


@given(VALUES)
def test_a_value_is_like_itself_however_much_of_it_is_hidden(value: Any) -> None:
    assert compare.alike(value, value)
    assert compare.alike(value, masked(value))
    assert compare.alike(value, "***") or compare.blank(value)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_a_text_in_which_a_part_is_hidden_is_like_it(before: str, after: str) -> None:
    assert compare.alike(f"{before}{SECRET}{after}", f"{before}***{after}")
    assert not compare.alike(f"x{before}{SECRET}{after}", f"y{before}***{after}")


@pytest.mark.parametrize(
    ("declared", "answered"),
    [
        ("a", "b"),
        (1, True),
        (None, "***"),
        ("", "***"),
        ({"a": 1}, {}),
        ({"a": "x"}, {"b": "***"}),
        ([1], [1, 2]),
        (0, None),
    ],
)
def test_what_differs_is_seen(declared: Any, answered: Any) -> None:
    assert not compare.alike(declared, answered)


@pytest.mark.parametrize(("declared", "answered"), [(None, ""), ({}, None), ("", None), ({}, {})])
def test_nothing_is_nothing(declared: Any, answered: Any) -> None:
    assert compare.alike(declared, answered)


def connection(**fields: Any) -> dict[str, Any]:
    return {"connection_id": "dwh", "conn_type": "postgres", **fields}


def shown(**fields: Any) -> dict[str, Any]:
    """Return a connection as the API shows it."""
    empty = dict.fromkeys(("description", "host", "login", "password", "schema", "port", "extra"))
    found: dict[str, Any] = compare.shown(KINDS["connections"], empty | connection(**fields))
    return found


def planned(
    entry: dict[str, Any], present: dict[str, Any] | None, rules: plans.Rules = RULES, kind: str = ""
) -> plans.Plan:
    of = KINDS[kind or "connections"]
    return plans.plan(of, [entry], {entry[of.key]: present} if present else {}, rules)


def noting(made: plans.Plan) -> plans.Rules:
    """Return the rules of the next run, which knows what this one noted."""
    return plans.Rules(purge=False, protected=frozenset(), key="k", noted=made.noted)


def test_a_hidden_secret_is_written_when_another_one_is_declared() -> None:
    entry, present = (
        connection(password=SECRET, extra={"token": SECRET, "a": 1}),
        shown(password=MASK, extra='{"token": "***", "a": 1}'),
    )
    first = planned(entry, present)
    assert first.changes, "nobody has noted what there is"
    assert not planned(entry, present, noting(first)).changes
    other = planned(entry | {"password": "other"}, present, noting(first))
    assert [fields for _, fields in other.update] == [["password"]]
    other = planned(entry | {"extra": {"token": "other", "a": 1}}, present, noting(first))
    assert [fields for _, fields in other.update] == [["extra"]]
    assert SECRET not in json.dumps([first.lines, first.noted, other.lines])


def test_a_secret_that_was_taken_away_is_put_back() -> None:
    entry = connection(password=SECRET)
    first = planned(entry, shown(password=MASK))
    assert [fields for _, fields in planned(entry, shown(), noting(first)).update] == [["password"]]


def test_what_is_kept_is_neither_compared_nor_written() -> None:
    entry = connection(keep=["password", "extra.token"], host="new", extra={"a": 1})
    present = shown(password=MASK, extra='{"token": "***", "a": 1}', host="old")
    made = planned(entry, present)
    _, (body,) = plans.bodies(made)
    assert body == {"connection_id": "dwh", "conn_type": "postgres", "host": "new"}
    assert not made.problems
    (problem,) = planned(entry | {"extra": {"a": 2}}, present).problems
    assert "cannot be written without password and extra.token" in problem
    (problem,) = planned(entry, None).problems
    assert "cannot be kept" in problem


def test_bodies_have_the_form_of_airflow() -> None:
    created, _ = plans.bodies(planned(connection(extra={"a": 1}, login=""), None))
    assert created == [connection(extra='{"a": 1}')]
    created, _ = plans.bodies(planned({"key": "v", "value": ""}, None, kind="variables"))
    assert created == [{"key": "v", "value": ""}]
    _, updated = plans.bodies(planned(connection(), shown(extra='{"a": 1}', host="x")))
    assert updated == [connection(extra=None, host=None)]
    pool = {"name": "p", "slots": 1, "include_deferred": False, "description": "d"}
    _, updated = plans.bodies(planned({"name": "p", "slots": 2}, pool, kind="pools"))
    assert updated == [{"name": "p", "slots": 2, "description": None, "include_deferred": False}]


def test_a_value_that_is_no_text_is_json() -> None:
    answered = {"key": "v", "value": '{"a": 1}', "description": None}
    assert not planned({"key": "v", "value": {"a": 1}}, answered, kind="variables").changes
    assert planned({"key": "v", "value": {"a": 2}}, answered, kind="variables").changes


def test_the_default_pool_has_slots_alone() -> None:
    answer = {"name": "default_pool", "slots": 128, "include_deferred": False, "description": "Default pool"}
    present = compare.shown(KINDS["pools"], answer)
    assert not planned({"name": "default_pool", "slots": 128, "description": "x"}, present, kind="pools").changes


def test_a_role_can_always_see_the_website() -> None:
    answer = {"name": "R", "actions": [{"action": {"name": "can_read"}, "resource": {"name": "Website"}}]}
    present = compare.shown(KINDS["roles"], answer)
    assert not planned({"name": "R", "permissions": []}, present, kind="roles").changes
    (line,) = planned({"name": "R", "permissions": ["menu access on DAGs"]}, present, kind="roles").lines
    assert line == "roles: R: permissions +'menu_access on DAGs'"


USER = {"username": "ada", "email": "a@example.com", "roles": ["Op"], "password": SECRET}
ADA = compare.shown(KINDS["users"], {**USER, "first_name": "ada", "last_name": "ada", "roles": [{"name": "Op"}]})


def test_a_password_is_set_when_another_one_is_declared_and_only_then() -> None:
    first = planned(USER, ADA, kind="users")
    assert not first.changes, "whose account is there already may have changed it"
    assert not planned(USER, ADA, noting(first), kind="users").changes
    other = planned(USER | {"password": "other"}, ADA, noting(first), kind="users")
    assert [fields for _, fields in other.update] == [["password"]]
    generated = USER | {"password": "made anew", "generated": True}
    assert not planned(generated, ADA, noting(first), kind="users").changes
    assert planned(generated, None, kind="users").create[0]["password"] == generated["password"]
    (problem,) = planned({key: USER[key] for key in USER if key != "password"}, None, kind="users").problems
    assert "a password makes the account" in problem


def test_a_purge_spares_what_is_declared_and_what_is_protected() -> None:
    present: dict[str, Any] = {"ada": ADA, "admin": ADA, "eve": ADA}
    kept = plans.protected(KINDS["users"], "admin")
    made = plans.plan(KINDS["users"], [USER], present, plans.Rules(True, kept, "k", {}))
    assert made.delete == ["eve"]
    assert made.lines == ["users: eve is deleted, since it is not declared"]
    assert plans.protected(KINDS["pools"], "admin") == {"default_pool"}
    assert plans.protected(KINDS["roles"], "admin") == {"Admin", "Op", "User", "Viewer", "Public"}
    made = plans.plan(KINDS["users"], [USER | {"username": "admin", "state": "absent"}], present, RULES)
    assert not made.delete
    assert "never deleted" in made.problems[0]


def test_an_export_is_what_it_was_made_from() -> None:
    present = shown(password=MASK, extra='{"token": "***", "a": {"key": "***", "b": 1}}', host="h")
    exported = plans.exported(KINDS["connections"], present)
    assert exported["keep"] == ["password", "extra.token", "extra.a.key"]
    assert not planned(exported, present).changes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('PATCH /x: HTTP 409: {"detail": "there"}', "PATCH /x: HTTP 409: there"),
        (
            'PATCH /x: HTTP 422: {"detail": [{"loc": ["body", 0], "msg": "wrong", "input": "SECRET"}]}',
            "PATCH /x: HTTP 422: body.0: wrong",
        ),
        (
            'HTTP 422: {"detail": [{"input": "SECRET',
            "HTTP 422: Airflow refuses a value, and repeats it; it is not shown.",
        ),
        ("does not answer", "does not answer"),
    ],
)
def test_an_error_is_told_without_what_was_sent(text: str, told: str) -> None:
    assert over_api.plainly(text.replace("SECRET", SECRET)) == told


def test_the_last_guard_takes_out_what_is_declared() -> None:
    secrets = plans.secrets_of({"connections": [connection(password=SECRET, extra={"a": {"b": ["deeper" + SECRET]}})]})
    assert over_api.scrubbed(f"no deeper{SECRET}, no {SECRET}", secrets) == "no ***, no ***"
