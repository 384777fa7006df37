"""Release names and changes of version."""

import hashlib
from typing import Any

import pytest
from airflow_release import airflow_release_requirements, airflow_releases_old, airflow_version_problems
from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.airflow_release import release_name
from hypothesis import given
from hypothesis import strategies as st

GIVEN: dict[str, Any] = {"constraints": "", "lock": "abc\n", "python": "3.13", "requirements": ["a", "b"]}


def test_the_name_of_a_release_is_stable_across_versions_of_this_code() -> None:
    """Else a site would build all releases anew. The lock counts as lookups read it, without white space at its end."""
    digest = hashlib.sha256(b"abc").hexdigest()
    text = '{"lock":"' + digest + '","python":"3.13","requirements":["a","b"]}'
    assert release_name("3.3.2", **GIVEN) == f"3.3.2-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    assert release_name("3.3.2", **GIVEN) == release_name("3.3.2", **GIVEN | {"lock": "abc"})


@pytest.mark.parametrize(
    "other", [{"lock": "x"}, {"python": "3.12"}, {"requirements": ["b", "a"]}, {"constraints": "https://example.com/c"}]
)
def test_other_inputs_give_another_name(other: dict[str, Any]) -> None:
    assert release_name("3.3.2", **GIVEN) != release_name("3.3.2", **GIVEN | other)


def test_constraints_stand_for_the_lock() -> None:
    given = GIVEN | {"constraints": "/srv/constraints.txt"}
    assert release_name("3.3.2", **given) == release_name("3.3.2", **given | {"lock": "x"})


@pytest.mark.parametrize("version", ["latest", "3.3.2/..", "3.3"])
def test_the_name_of_no_version_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match=r"site_airflow_version must look like 3\.3\.2, found"):
        release_name(version, **GIVEN)


@pytest.mark.parametrize(("version", "gunicorn"), [("3.1.7", False), ("3.2.2", True), ("3.10.0", True)])
def test_requirements_name_extras_providers_and_packages(version: str, gunicorn: bool) -> None:
    assert airflow_release_requirements(version, ["fab", "celery"], ["ours"], {"fab": "provider-fab", "x": "y"}) == [
        f"apache-airflow[celery,fab]=={version}",
        *([f"apache-airflow-core[gunicorn]=={version}"] if gunicorn else []),
        "provider-fab",
        "ours",
    ]


@pytest.mark.parametrize(
    ("installed", "wanted"),
    [
        (None, "3.3.2"),
        ("", "3.3.2"),
        ("3.3.2", "3.3.2"),
        ("3.1.7", "3.3.2"),
        ("3.3.2", "3.10.0"),
        ("3.4.0b2", "3.4.0rc1"),
        ("3.4.0rc1", "3.4.0"),
    ],
)
def test_possible_changes(installed: str | None, wanted: str) -> None:
    assert airflow_version_problems({"installed": installed, "wanted": wanted}) == []


@pytest.mark.parametrize(
    ("installed", "wanted", "message"),
    [
        ("3.3.2", "3.2.2", "3.2.2 is older than the installed 3.3.2"),
        ("3.10.0", "3.9.9", "3.9.9 is older than the installed 3.10.0"),
        ("3.4.0", "3.4.0rc1", "3.4.0rc1 is older than the installed 3.4.0"),
        ("2.6.3", "3.3.2", "upgrades from 2.7 or newer only"),
        ("2.11.0", "3.3.2", "does not take over an installation of Airflow 2"),
        ("2.10.5", "2.11.0", "Airstrip installs Airflow 3, found 2.11.0"),
        ("", "3.3", "must be a string that looks like 3.3.2, found '3.3'"),
        ("", 3.3, "must be a string that looks like 3.3.2, found 3.3"),
        ("", None, "found None"),
        ("", "3.3.2\n", "must be a string"),
        ("unknown", "3.3.2", "the installed Airflow calls itself 'unknown'"),
    ],
)
def test_impossible_changes(installed: str, wanted: Any, message: str) -> None:
    (problem,) = airflow_version_problems({"installed": installed, "wanted": wanted})
    assert problem.startswith("site_airflow_version")
    assert message in problem


versions = st.tuples(st.just(3), st.integers(0, 20), st.integers(0, 20)).map(lambda parts: ".".join(map(str, parts)))


@given(versions, versions)
def test_of_two_versions_only_one_direction_is_a_downgrade(one: str, two: str) -> None:
    there = airflow_version_problems({"installed": one, "wanted": two})
    back = airflow_version_problems({"installed": two, "wanted": one})
    assert [bool(there), bool(back)].count(True) == (one != two)


def test_version_problems_refuses_wrong_types() -> None:
    with pytest.raises(AnsibleFilterError, match="the step must be a mapping"):
        airflow_version_problems("3.3.2")


def on_host(names: str, used: str = "", needed: str = "", keep: Any = 2) -> dict[str, Any]:
    """Return what is on a host: releases of one letter each, the youngest first; small ones were never completed."""
    releases = [{"name": name.upper(), "complete": name.isupper()} for name in names]
    return {"releases": releases, "used": list(used), "needed": list(needed), "keep": keep}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(on_host("A", used="A"), "", id="one release"),
        pytest.param(on_host("DCBA", used="A"), "B", id="the oldest one is in use"),
        pytest.param(on_host("DCBA", used="D"), "A", id="the youngest one is in use"),
        pytest.param(on_host("DCBA", used="AB", keep=0), "DC", id="two are in use"),
        pytest.param(on_host("FEDCBA", used="D", needed="AB"), "C", id="backups lead to two"),
        pytest.param(on_host("dcbA", used="A"), "DCB", id="none of the younger ones was completed"),
        pytest.param(on_host("CBa", used="A", keep=0), "CB", id="in use and without its mark"),
        pytest.param(on_host("CBA", used="XA", needed="Y", keep="1"), "B", id="a name without a directory"),
        pytest.param(on_host("CBA", used="A", keep=-1), "CB", id="a keep below zero"),
        pytest.param(on_host(""), "", id="none"),
    ],
)
def test_releases_in_use_or_needed_stay(found: dict[str, Any], expected: str) -> None:
    assert airflow_releases_old(found) == list(expected)


@pytest.mark.parametrize("found", [7, {}, on_host("A") | {"keep": "few"}, on_host("A") | {"releases": ["A"]}])
def test_releases_are_described_as_documented(found: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="airflow_releases_old: what was found"):
        airflow_releases_old(found)
