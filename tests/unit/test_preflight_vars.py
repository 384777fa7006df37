"""What the variables of the role preflight make of the facts, beyond its filter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airstrip_render import Role
from ansible.template import trust_as_template

RELEASES = "/opt/airflow/releases"


def partial_change(installed: str, *tags: str) -> bool:
    """Tell whether a run with `tags` is refused as the change of one component to another version."""
    variables: dict[str, Any] = {
        "airflow_install_directory": "/opt/airflow",
        "airflow_version": "3.3.2",
        "airflow_host_components": ["scheduler", "worker"],
        "ansible_run_tags": list(tags),
        "__preflight_look": {"rc": 0, "stdout": json.dumps({"release": installed and f"{RELEASES}/{installed}"})},
    }
    return bool(Role("preflight", variables).evaluate("__preflight_is_partial_change"))


@pytest.mark.parametrize(
    ("installed", "tags"),
    [("3.2.2-0123456789ab", ["airflow_worker"]), ("3.2.2-0123456789ab", ["redis", "airflow_scheduler"])],
)
def test_another_version_for_one_component_is_refused(installed: str, tags: list[str]) -> None:
    assert partial_change(installed, *tags)


@pytest.mark.parametrize(
    ("installed", "tags"),
    [
        ("3.3.2-0123456789ab", ["airflow_worker"]),
        ("3.2.2-0123456789ab", ["all"]),
        ("3.2.2-0123456789ab", ["airflow"]),
        ("3.2.2-0123456789ab", ["airflow_worker", "airflow"]),
        ("3.2.2-0123456789ab", ["redis"]),
        ("", ["airflow_worker"]),
        ("somewhere-else", ["airflow_worker"]),
    ],
)
def test_everything_else_is_let_pass(installed: str, tags: list[str]) -> None:
    assert not partial_change(installed, *tags)


@pytest.mark.parametrize(
    ("installed", "hosts", "drained", "refused"),
    [
        ("3.2.2-0123456789ab", ["app-2"], False, True),
        ("3.2.2-0123456789ab", ["app-2"], "true", False),
        ("3.2.2-0123456789ab", ["app-1", "app-2"], False, False),
        ("3.3.2-0123456789ab", ["app-2"], False, False),
        ("", ["app-2"], False, False),
    ],
)
def test_a_new_version_wants_the_host_that_migrates(
    installed: str, hosts: list[str], drained: bool | str, refused: bool
) -> None:
    variables: dict[str, Any] = {
        "airflow_install_directory": "/opt/airflow",
        "airflow_version": "3.3.2",
        "airflow_host_components": ["scheduler"],
        "airflow_migration_host": "app-1",
        "ansible_play_hosts_all": hosts,
        "ansible_run_tags": ["all"],
        "preflight_drained_allowed": drained,
        "__preflight_look": {"rc": 0, "stdout": json.dumps({"release": installed and f"{RELEASES}/{installed}"})},
    }
    problems = Role("preflight", variables).evaluate("__preflight_host_facts.version_problems")
    assert len(problems) == refused
    assert all("app-1, which migrates the database, is outside of this run" in problem for problem in problems)


@pytest.mark.parametrize(("enabled", "ssh_port"), [(True, 2222), ("true", 2222), (False, None), ("false", None)])
def test_only_hosts_with_a_firewall_are_asked_how_they_are_reached(enabled: bool | str, ssh_port: int | None) -> None:
    connection = ["192.0.2.7", "50000", "192.0.2.1", "2222"]
    variables: dict[str, Any] = {
        "preflight_firewall_enabled": enabled,
        "firewall_ssh_port": 2222,
        "firewall_ssh_sources": [],
        "__preflight_look": {"rc": 0, "stdout": json.dumps({"ssh_connection": connection})},
    }
    found = Role("preflight", variables).evaluate("__preflight_host_facts.firewall")
    expected = {"connection": connection, "ssh_port": 2222, "ssh_sources": []}
    assert found == (expected if ssh_port else None)


@pytest.mark.parametrize(
    ("components", "upgrade", "expected"),
    [
        (["postgresql"], False, {"clusters": {"15": "auto"}, "wanted": "17"}),
        (["postgresql"], "true", None),
        (["scheduler"], False, None),
    ],
)
def test_only_an_upgrade_may_find_another_postgresql(
    components: list[str], upgrade: bool | str, expected: dict[str, Any] | None
) -> None:
    variables: dict[str, Any] = {
        "airflow_host_components": components,
        "postgresql_version": "",
        "preflight_postgresql_upgrade": upgrade,
        "__preflight_look": {"rc": 0, "stdout": json.dumps({"postgresql": {"15": "auto"}})},
    }
    assert Role("preflight", variables).evaluate("__preflight_host_facts.postgresql_clusters") == expected


def looked(offset: float) -> dict[str, Any]:
    return {"rc": 0, "stdout": json.dumps({"clock_offset": offset})}


@pytest.mark.parametrize(
    ("first", "again", "doubtful", "expected"),
    [
        ({"a": 0.3, "b": 1.2}, {}, [], {"a": 0.3, "b": 1.2}),
        (
            {"a": 1.1, "b": 12.4, "c": 6.0},
            {"a": 0.3, "b": 0.4, "c": 0.4},
            ["a", "b", "c"],
            {"a": 0.3, "b": 0.4, "c": 0.4},
        ),
        ({"a": 0.3, "b": 12.4}, {"a": 0.2, "b": 12.1}, ["a", "b"], {"a": 0.2, "b": 12.1}),
        ({"a": -60.0, "b": 0.2}, {"a": -60.1, "b": 0.1}, ["a", "b"], {"a": -60.1, "b": 0.1}),
    ],
)
def test_a_late_answer_is_not_taken_for_a_wrong_clock(
    first: dict[str, float], again: dict[str, float], doubtful: list[str], expected: dict[str, float]
) -> None:
    variables: dict[str, Any] = {
        "preflight_max_clock_skew": 5,
        "ansible_play_hosts": list(first),
        "hostvars": {host: {"__preflight_look": looked(offset)} for host, offset in first.items()},
    }
    assert Role("preflight", variables).evaluate("__preflight_doubtful_clocks") == doubtful
    variables["__preflight_second_look"] = {"results": [looked(offset) for offset in again.values()]}
    assert Role("preflight", variables).evaluate("__preflight_clocks") == expected


GENERATED = "{{ lookup('airflow_secret', 'a') }}"
NOT_KEPT = {"airflow_secrets_file": "/nowhere/.secrets.yml", "airflow_secrets_persist": False}


def test_a_secret_is_missing_if_it_would_be_generated_here() -> None:
    variables: dict[str, Any] = {
        "airflow_held_secret_files": {
            "airflow_jwt_secret": {}, "airflow_fernet_key": {}, "airflow_ca_key": {}, "a_name_of_the_file": {},
        },
        "airflow_jwt_secret": trust_as_template(GENERATED),
        # As where it is set in a vault, and where the site has no such thing.
        "airflow_fernet_key": trust_as_template("{{ vault_airflow_fernet_key }}"),
        "vault_airflow_fernet_key": "a value",
        "airflow_ca_key": "",
    }  # fmt: skip
    found = Role("preflight", variables | NOT_KEPT).evaluate("__preflight_missing_secrets")
    assert found == ["airflow_jwt_secret", "a_name_of_the_file"]


def test_hosts_outside_of_the_run_are_asked_for_what_is_missing() -> None:
    variables: dict[str, Any] = NOT_KEPT | {
        "airflow_held_secret_files": {"airflow_jwt_secret": {}},
        "airflow_jwt_secret": trust_as_template(GENERATED),
        "groups": {"all": ["a", "b"]},
        "ansible_play_hosts_all": ["a"],
        "ansible_play_hosts": ["a"],
        "hostvars": {"a": {"__preflight_look": {"stdout": '{"secrets": []}'}}},
    }
    assert Role("preflight", variables).evaluate("__preflight_doubtful_outside") == ["b"]
    known = Role("preflight", variables | {"airflow_jwt_secret": "a value"})
    assert known.evaluate("__preflight_doubtful_outside") == []
    answer = {"preflight_host": "b", "stdout": '{"secrets": ["airflow_jwt_secret"]}'}
    silent = {"preflight_host": "c", "unreachable": True}
    asked = Role("preflight", variables | {"__preflight_outside_look": {"results": [answer, silent]}})
    assert asked.evaluate("__preflight_looks") == {
        "a": {"secrets": []}, "b": {"secrets": ["airflow_jwt_secret"]}, "c": {},
    }  # fmt: skip
