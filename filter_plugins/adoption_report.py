"""Filters: what the host says of an old installation of Airflow, and what is said of the findings about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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


def _units(here: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    units = as_list(here["units"], "airflow_adopt_host_findings: units")
    if new := [unit for unit in units if unit not in here["confirmed"]]:
        yield {
            "code": "units_unconfirmed",
            "blocking": True,
            "text": (
                f"These units would be stopped, disabled and renamed on {here['host']}: {', '.join(units)}. Nobody has "
                f"confirmed {', '.join(new)}: if all of them are the old installation's, name them in "
                "airflow_adopt_confirmed_units, those of all hosts; if not, name in airflow_adopt_units those that are."
            ),
        }


def _user(here: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what would stop site.yml as it makes the old user the site's: usermod refuses it."""
    user, host = here["user"], here["host"]
    if user != here["site_user"]:
        return
    if here["known"] and not here["local"]:
        yield {
            "code": "user_elsewhere",
            "blocking": True,
            "text": (
                f"The user {user} is not in /etc/passwd of {host}, but comes from elsewhere, such as LDAP, and a site "
                f"changes home and shell of its user. Set site_user to another name: site.yml makes that user."
            ),
        }
    rows = [line.split(None, 1) for line in here["processes"]]
    if busy := sorted({f"{name.strip()} ({unit})" for unit, name in rows if unit not in here["running"]}):
        yield {
            "code": "user_busy",
            "blocking": True,
            "text": (
                f"The user {user} has processes on {host} besides those of the old units: {', '.join(busy)}. A site "
                "changes home and shell of its user, which has to have none. Stop them, and whatever starts them."
            ),
        }


def airflow_adopt_host_findings(here: object) -> list[dict[str, Any]]:
    """
    List what a host says about a takeover: mappings of `code`, `blocking` and `text`, as airflow_adopt_findings does.

    Example: `{'host': 'vm1', 'units': ['airflow.service'], 'confirmed': [], ...} | airflow_adopt_host_findings`. The
    `units` are those to be retired, `running` those of them that run; `processes` are the `user`'s, as
    `ps -o unit=,comm=` prints them; `known` is whether there is such a user, `local` whether /etc/passwd has it.
    Raises AnsibleFilterError on wrong types.
    """
    given = as_mapping(here, "airflow_adopt_host_findings: the host")
    return [*_units(given), *_user(given)]


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
        return {
            "airflow_adopt_host_findings": airflow_adopt_host_findings,
            "airflow_adopt_owned": airflow_adopt_owned,
            "airflow_adopt_report": airflow_adopt_report,
        }
