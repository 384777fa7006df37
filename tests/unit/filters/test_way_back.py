"""What the way back from an upgrade costs, and what speaks against it."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from way_back import airflow_restore_problem, airflow_upgrade_loss, airflow_upgrade_rollback_problem

CONFIRM = "airflow_upgrade_rollback_confirmed=true"


def room(**changed: Any) -> dict[str, Any]:
    return {
        "host": "c1", "dump": "/b/database/x.pgc", "found": True, "directory": "/var/lib/postgresql/17/main",
        "needed_mb": 900, "free_mb": 900,
    } | changed  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"found": False}, ["c1", "no dump /b/database/x.pgc", "Nothing was changed"]),
        ({"free_mb": 899}, ["/var/lib/postgresql/17/main", "899 MB", "900 MB", "Nothing was changed", CONFIRM]),
    ],
)
def test_a_restore_without_dump_or_room_is_refused(changed: dict[str, Any], words: list[str]) -> None:
    problem = airflow_restore_problem(room(**changed))
    assert [word for word in words if word not in problem] == []


def test_a_restore_with_dump_and_room_is_not_refused() -> None:
    assert airflow_restore_problem(room()) == ""


def rollback(**changed: Any) -> dict[str, Any]:
    return {
        "host": "c1", "directory": "/b", "stamp": "20261124T093000Z", "past": {"from": "3.1.7-a", "to": "3.3.2-b"},
        "present": "3.3.2-b", "confirmed": False, "differs": True, "dump_time": "2026-11-24 09:31:00 UTC",
    } | changed  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stamp": "", "past": {}}, ["c1", "no backup in /b"]),
        ({"present": "3.3.1-c", "confirmed": True}, ["from 3.1.7-a to 3.3.2-b", "3.3.1-c", "docs/operations.md"]),
        ({}, ["3.3.2-b to 3.1.7-a", "the dump of 2026-11-24 09:31:00 UTC is restored", "lost to Airflow", CONFIRM]),
        ({"dump_time": ""}, ["there is no dump", CONFIRM]),
        ({"differs": False}, ["The database stays as it is", CONFIRM]),
    ],
)
def test_a_rollback_says_its_price(changed: dict[str, Any], words: list[str]) -> None:
    problem = airflow_upgrade_rollback_problem(rollback(**changed))
    assert [word for word in words if word not in problem] == []


@pytest.mark.parametrize("present", ["3.1.7-a", "3.3.2-b"])
def test_a_rollback_that_was_confirmed_is_not_refused(present: str) -> None:
    assert airflow_upgrade_rollback_problem(rollback(confirmed=True, present=present)) == ""


def test_a_loss_is_named_with_its_moment_and_the_ways_on() -> None:
    message = airflow_upgrade_loss(
        {"said": ["first", "x.exc.InternalError: cannot drop", "(Background)"], "dump_time": "2026-11-24 09:31:00 UTC"}
    )
    words = [
        "cannot drop",
        "2026-11-24 09:31:00 UTC",
        "run the command of the upgrade again",
        f"rollback.yml -e {CONFIRM}",
    ]
    assert [word for word in words if word not in " ".join(message.split())] == []


def test_without_a_dump_no_rollback_is_promised() -> None:
    message = airflow_upgrade_loss({"said": ["x"], "dump_time": ""})
    assert "a backup of your own" in message
    assert CONFIRM not in message


@pytest.mark.parametrize("function", [airflow_restore_problem, airflow_upgrade_loss, airflow_upgrade_rollback_problem])
def test_wrong_types_are_named(function: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=function.__name__):
        function(7)
