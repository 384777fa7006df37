"""What is said of an old installation: whose it is, and what stands in the way."""

from __future__ import annotations

from typing import Any

import pytest
from adoption_report import airflow_adopt_owned, airflow_adopt_report
from ansible.errors import AnsibleFilterError

FINDINGS: list[dict[str, Any]] = [
    {"code": "executor", "blocking": True, "text": "One of them."},
    {"code": "units", "blocking": True, "text": "Another."},
    {"code": "timing", "blocking": False, "text": "To know."},
]


def test_findings_are_reported_and_blockers_refused() -> None:
    assert airflow_adopt_report(FINDINGS, ["executor"]) == {
        "lines": ["accepted (executor): One of them.", "BLOCKING (units): Another.", "advice (timing): To know."],
        "refusal": (
            "1 findings stand in the way; nothing was changed.\n"
            "- units: Another.\n"
            "Those that were seen to, or do not matter, are named in airflow_adopt_accepted, for example\n"
            '-e \'{"airflow_adopt_accepted": ["units"]}\'.\n'
        ),
    }


@pytest.mark.parametrize("findings", [[], FINDINGS[2:]])
def test_what_is_no_blocker_is_not_refused(findings: list[dict[str, Any]]) -> None:
    assert airflow_adopt_report(findings, [])["refusal"] == ""


def test_other_shapes_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="airflow_adopt_accepted must be a list"):
        airflow_adopt_report(FINDINGS, "units")
    with pytest.raises(AnsibleFilterError, match="the host's facts must be a mapping"):
        airflow_adopt_owned({}, "airflow", [])


def test_the_host_says_whose_it_is() -> None:
    facts = {"getent_passwd": {"airflow": ["x", "999", "997", "", "/", ""]}, "getent_group": {"air": ["x", "997", ""]}}
    assert airflow_adopt_owned({"version": "3.2.2", "uid": 0, "group": "shadow"}, "airflow", facts) == {
        "version": "3.2.2", "user": "airflow", "uid": "999", "gid": "997", "group": "air"
    }  # fmt: skip
