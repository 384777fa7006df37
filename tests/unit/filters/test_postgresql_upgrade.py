"""Filters postgresql_major, postgresql_upgrade_plan and postgresql_upgrade_problems."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from postgresql_upgrade import postgresql_major, postgresql_upgrade_plan, postgresql_upgrade_problems


def mark(old: str = "15", *, complete: bool = False, linked: bool = False) -> dict[str, Any]:
    return {"from": old, "complete": complete, "linked": linked}


def plan(clusters: dict[str, str], marks: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """Return the plan for a host: an upgrade to 17 unless another step or version is given."""
    found = {"step": "upgrade", "wanted": "17", "loss_accepted": False, "clusters": clusters, "marks": marks or {}}
    return postgresql_upgrade_plan(found | given)


BOTH_OLD = {"15": "auto", "17": "manual"}
BOTH_NEW = {"15": "manual", "17": "auto"}
NEITHER = {"15": "manual", "17": "manual"}
DONE, BEGUN, LINKED = {"17": mark(complete=True)}, {"17": mark()}, {"17": mark(complete=True, linked=True)}


@pytest.mark.parametrize(
    ("wanted", "release", "version"),
    [
        ("", "12", "15"),
        ("", "13", "17"),
        ("16", "13", "16"),
        (16, "", "16"),
        ("", "11", ""),
        ("", "22", "14"),
        ("", "24", "16"),
    ],
)
def test_an_empty_version_is_that_of_the_distribution(wanted: object, release: str, version: str) -> None:
    assert postgresql_major(wanted, release) == version


@pytest.mark.parametrize(("wanted", "release"), [("17.2", "13"), ("latest", "13")])
def test_what_is_no_version_is_refused(wanted: str, release: str) -> None:
    with pytest.raises(AnsibleFilterError, match="site_postgresql_version"):
        postgresql_major(wanted, release)


@pytest.mark.parametrize(
    ("clusters", "marks", "do"),
    [
        ({"15": "auto"}, {}, "upgrade"),
        ({"15": "auto"}, BEGUN, "upgrade"),
        (BOTH_OLD, BEGUN, "upgrade"),
        (NEITHER, BEGUN, "upgrade"),
        (NEITHER, DONE, "finish"),
        (BOTH_OLD, DONE, "finish"),
        (BOTH_NEW, DONE, "finish"),
        ({"17": "auto"}, DONE, "finish"),
        ({"13": "manual", "15": "auto"}, {"15": mark("13", complete=True)}, "upgrade"),
    ],
)
def test_an_upgrade_goes_on_where_it_was(clusters: dict[str, str], marks: dict[str, Any], do: str) -> None:
    assert plan(clusters, marks) == {"do": do, "from": "15", "to": "17", "problems": []}


@pytest.mark.parametrize("clusters", [{"17": "auto"}, {"17": "manual"}, BOTH_NEW, {"15": "auto", "17": "auto"}])
def test_the_wanted_version_needs_no_upgrade(clusters: dict[str, str]) -> None:
    assert plan(clusters) == {"do": "nothing", "from": "17", "to": "17", "problems": []}


@pytest.mark.parametrize(
    ("clusters", "given", "parts"),
    [
        ({}, {}, ("no cluster", "site.yml")),
        ({"17": "auto"}, {"wanted": "15"}, ("site_postgresql_version is 15", "17 runs", "revert")),
        (BOTH_OLD, {}, ("17/main", "no upgrade has made it", "pg_dropcluster 17 main")),
        (NEITHER, {}, ("none starts with the host",)),
        ({"13": "auto", "15": "auto"}, {}, ("13 and 15 starts with the host",)),
        ({"17": "manual"}, {"marks": BEGUN}, ("15/main", "gone")),
        ({"17": "auto"}, {"step": "revert"}, ("no older cluster was kept",)),
        (BOTH_NEW, {"step": "revert", "marks": DONE}, ("loses all", "postgresql_upgrade_loss_accepted")),
        (BOTH_NEW, {"step": "revert", "marks": LINKED, "loss_accepted": True}, ("link", "backup")),
        ({"17": "auto"}, {"step": "revert", "marks": DONE, "loss_accepted": True}, ("15/main is gone", "backup")),
    ],
)
def test_what_cannot_be_done_is_said(clusters: dict[str, str], given: dict[str, Any], parts: tuple[str, ...]) -> None:
    (problem,) = plan(clusters, **given)["problems"]
    assert all(part in problem for part in parts), problem


@pytest.mark.parametrize(
    ("clusters", "marks", "do"),
    [(BOTH_NEW, DONE, "revert"), (NEITHER, BEGUN, "revert"), (BOTH_OLD, DONE, "revert"), (BOTH_OLD, BEGUN, "nothing")],
)
def test_a_revert_goes_on_where_it_was(clusters: dict[str, str], marks: dict[str, Any], do: str) -> None:
    found = plan(clusters, marks, step="revert", loss_accepted=True)
    assert found == {"do": do, "from": "15", "to": "17", "problems": []}


def test_a_revert_needs_no_version() -> None:
    assert plan(BOTH_NEW, DONE, step="revert", wanted="15", loss_accepted=True)["to"] == "17"


def test_only_what_is_complete_is_confirmed() -> None:
    assert plan(BOTH_NEW, DONE, step="confirm") == {"do": "confirm", "from": "15", "to": "17", "problems": []}
    assert plan(BOTH_OLD, BEGUN, step="confirm")["do"] == "nothing"
    assert plan({"17": "auto"}, step="confirm")["do"] == "nothing"


def test_unknown_steps_and_types_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="postgresql_upgrade_step is 'undo'"):
        plan({"15": "auto"}, step="undo")
    with pytest.raises(AnsibleFilterError, match="clusters must be a mapping"):
        plan(["15"])  # type: ignore[arg-type]


FITS: dict[str, Any] = {
    "to": "17",
    "mode": "copy",
    "size_mb": 1000,
    "free_mb": 1500,
    "tablespaces": [],
    "extensions": {"airflow": ["plpgsql"], "app": ["plpgsql"]},
    "available": ["plpgsql"],
}


@pytest.mark.parametrize("facts", [{}, {"mode": "link", "free_mb": 0}])
def test_what_fits_is_no_problem(facts: dict[str, Any]) -> None:
    assert postgresql_upgrade_problems(FITS | facts) == []


@pytest.mark.parametrize(
    ("facts", "parts"),
    [
        ({"free_mb": 1499}, ("1499 MB free", "1000 MB of data needs 1500", "postgresql_upgrade_mode", "no way back")),
        ({"tablespaces": ["fast"]}, ("tablespaces (fast)", "pg_default")),
        (
            {"extensions": {"app": ["vector"], "airflow": ["plpgsql", "vector"]}},
            ("extension vector of airflow, app", "PostgreSQL 17", "DROP EXTENSION"),
        ),
    ],
)
def test_what_does_not_fit_is_said(facts: dict[str, Any], parts: tuple[str, ...]) -> None:
    (problem,) = postgresql_upgrade_problems(FITS | facts)
    assert all(part in problem for part in parts), problem


def test_a_missing_fact_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="lack 'free_mb'"):
        postgresql_upgrade_problems({name: value for name, value in FITS.items() if name != "free_mb"})
