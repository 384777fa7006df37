"""Filters: whose an old installation of Airflow is, by the host's word, and what is said of the findings about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

_FINDINGS = "airflow_adopt_report: the findings, and each of them,"


def airflow_adopt_owned(old: object, user: str, facts: object) -> dict[str, Any]:
    """
    Return the facts of an old installation with its `user`, and the `uid`, `gid` and `group` that the host gives it.

    Example: `old | airflow_adopt_owned('airflow', users.ansible_facts | combine(groups.ansible_facts))`, where these
    are the results of the module getent. By its own word the user could become root, or a member of any group, in the
    site that follows. Raises AnsibleFilterError on wrong types.
    """
    asked = as_mapping(facts, "airflow_adopt_owned: the host's facts")
    _, uid, gid, *_ = asked["getent_passwd"][user]
    said = as_mapping(old, "airflow_adopt_owned: the old installation")
    return said | {"user": user, "uid": uid, "gid": gid, "group": next(iter(asked["getent_group"]))}


def _kind(finding: Mapping[str, Any], accepted: Sequence[str]) -> str:
    if not finding["blocking"]:
        return "advice"
    return "accepted" if finding["code"] in accepted else "BLOCKING"


def _refusal(blockers: Sequence[Mapping[str, Any]]) -> str:
    if not blockers:
        return ""
    lines = [
        f"{len(blockers)} findings stand in the way; nothing was changed.",
        *(f"- {finding['code']}: {finding['text']}" for finding in blockers),
        "Those that were seen to, or do not matter, are named in airflow_adopt_accepted, for example",
        f'-e \'{{"airflow_adopt_accepted": ["{blockers[0]["code"]}"]}}\'.',
    ]
    return "\n".join([*lines, ""])


def airflow_adopt_report(findings: object, accepted: object) -> dict[str, Any]:
    """
    Return the `lines` of a report on findings, and the `refusal` of those that are in the way, empty if there are none.

    Example: `[{'code': 'tasks', 'blocking': true, 'text': 'Tasks run.'}] | airflow_adopt_report(['tasks'])`. Findings
    are those of airflow_adopt_findings; codes that are `accepted` do not block. Raises AnsibleFilterError on wrong
    types.
    """
    codes = as_list(accepted, "airflow_adopt_accepted")
    found = [as_mapping(finding, _FINDINGS) for finding in as_list(findings, _FINDINGS)]
    kinds = [(_kind(finding, codes), finding) for finding in found]
    return {
        "lines": [f"{kind} ({finding['code']}): {finding['text']}" for kind, finding in kinds],
        "refusal": _refusal([finding for kind, finding in kinds if kind == "BLOCKING"]),
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_adopt_owned": airflow_adopt_owned, "airflow_adopt_report": airflow_adopt_report}
