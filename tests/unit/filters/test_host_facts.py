"""Hosts that say nothing."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_render import Role
from ansible.errors import AnsibleFilterError
from host_facts import airflow_silent_host_problems


@pytest.mark.parametrize(
    ("limit", "remedy"), [("", "--limit '!w1,!w2'."), ("airflow_worker", "--limit 'airflow_worker,!w1,!w2'.")]
)
def test_a_host_of_the_run_that_is_dead_can_be_left_out(limit: str, remedy: str) -> None:
    gathered = {
        "w1": {"unreachable": True, "msg": "Task failed: timed\n out."},
        "w2": {"unreachable": True, "msg": "no route"},
        "w3": {"ansible_facts": {}},
    }
    problems = airflow_silent_host_problems(gathered, limit)
    assert len(problems) == 2
    assert problems[0] == f"w1 does not answer: timed out. Bring it back, or leave it out by {remedy}"
    assert problems[1].startswith("w2 does not answer: no route. ")
    assert airflow_silent_host_problems({}, limit) == []


@pytest.mark.parametrize("silent", [None, ["w1"], "w1"])
def test_other_shapes_are_refused(silent: Any) -> None:
    with pytest.raises(AnsibleFilterError):
        airflow_silent_host_problems(silent, "")


def test_the_role_asks_all_hosts_of_the_run() -> None:
    hostvars = {"w1": {"__site_gathering": {"unreachable": True, "msg": "no route"}}, "w2": {"__site_gathering": {}}}
    variables = {"hostvars": hostvars | {"w3": {}}, "ansible_play_hosts_all": ["w1", "w2", "w3"]}
    (problem,) = Role("site", variables).evaluate("__site_silent_problems")
    assert problem.startswith("w1 does not answer: no route. ")
