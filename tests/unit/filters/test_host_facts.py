"""Hosts that say nothing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from host_facts import airflow_silent_host_problems


@pytest.mark.parametrize(
    ("limit", "remedy"), [("", "--limit '!w1,!w2'."), ("airflow_worker", "--limit 'airflow_worker,!w1,!w2'.")]
)
def test_a_host_of_the_run_that_is_dead_can_be_left_out(limit: str, remedy: str) -> None:
    problems = airflow_silent_host_problems({"w1": "Task failed: timed\n out.", "w2": "no route"}, limit)
    assert problems[0] == f"w1 does not answer: timed out. Bring it back, or leave it out by {remedy}"
    assert problems[1].startswith("w2 does not answer: no route. ")
    assert airflow_silent_host_problems({}, limit) == []


@pytest.mark.parametrize("silent", [None, ["w1"], "w1"])
def test_other_shapes_are_refused(silent: Any) -> None:
    with pytest.raises(AnsibleFilterError):
        airflow_silent_host_problems(silent, "")
