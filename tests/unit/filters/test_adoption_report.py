"""What is said of an old installation: whose it is, and what stands in the way."""

from __future__ import annotations

from typing import Any

import pytest
from adoption_report import airflow_adopt_host_findings, airflow_adopt_owned, airflow_adopt_report
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


HERE: dict[str, Any] = {
    "host": "vm1",
    "units": ["a.service", "b@.service"],
    "confirmed": ["a.service", "b@.service", "of-another-host.service"],
    "running": ["a.service", "b@1.service"],
    "user": "airflow",
    "site_user": "airflow",
    "known": True,
    "local": True,
    "processes": ["a.service                       airflow", "b@1.service  [celeryd: celer"],
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"units": [], "confirmed": []},
        {"known": False, "local": False, "processes": []},
        # It stays what it is, and the site gets a user of its own.
        {"site_user": "another", "local": False, "processes": ["- bash"]},
    ],
)
def test_nothing_is_in_the_way_of_these(change: dict[str, Any]) -> None:
    assert airflow_adopt_host_findings(HERE | change) == []


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (
            {"confirmed": ["a.service"]},
            "units_unconfirmed",
            "a.service, b@.service. Nobody has confirmed b@.service: if",
        ),
        ({"local": False}, "user_elsewhere", "not in /etc/passwd of vm1"),
        (
            {"processes": ["-      bash", "b@1.service x", "cron.service  a b"]},
            "user_busy",
            "old units: a b (cron.service), bash (-). A",
        ),
    ],
)
def test_what_a_host_has_in_the_way(change: dict[str, Any], code: str, text: str) -> None:
    (finding,) = airflow_adopt_host_findings(HERE | change)
    assert (finding["code"], finding["blocking"]) == (code, True)
    assert text in finding["text"]


def test_another_shape_of_a_host_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="the host must be a mapping"):
        airflow_adopt_host_findings([])
