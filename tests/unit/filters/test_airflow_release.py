"""Release names and changes of version."""

from typing import Any

import pytest
from airflow_release import airflow_release_name, airflow_releases_old, airflow_version_problems
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st


def test_release_name_is_stable_across_versions_of_this_filter() -> None:
    inputs = {"lock": "abc", "extras": ["celery", "fab"], "python": "3.13"}
    assert airflow_release_name("3.3.2", inputs) == "3.3.2-d379ef1cb0d0"


@given(st.lists(st.text(max_size=5), max_size=5), st.randoms())
def test_order_and_repetition_of_extras_do_not_matter(extras: list[str], random: Any) -> None:
    shuffled = [*random.sample(extras, len(extras)), *extras]
    for name in ("extras", "extra_packages"):
        one = airflow_release_name("3.3.2", {"lock": "a", name: extras})
        assert one == airflow_release_name("3.3.2", {name: shuffled, "lock": "a"})


inputs = st.dictionaries(
    st.text(max_size=5), st.text(max_size=5) | st.integers() | st.booleans() | st.none(), max_size=4
)


@given(inputs, inputs)
def test_other_inputs_give_another_name(one: dict[str, Any], two: dict[str, Any]) -> None:
    same = airflow_release_name("3.3.2", one) == airflow_release_name("3.3.2", two)
    assert same == ([*map(repr, sorted(one.items()))] == [*map(repr, sorted(two.items()))])


@pytest.mark.parametrize(
    ("version", "given_inputs", "message"),
    [
        ("latest", {}, "site_airflow_version must look like 3.3.2, found 'latest'"),
        ("3.3.2/..", {}, "site_airflow_version must look like"),
        ("3.3.2", [], "the inputs must be a mapping"),
        ("3.3.2", {"a": b"x"}, "the inputs cannot be written as JSON"),
    ],
)
def test_release_name_refuses(version: str, given_inputs: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_release_name(version, given_inputs)


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
