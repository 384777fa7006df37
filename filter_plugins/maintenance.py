"""Filters: which hosts may go out of service and come back, and what becomes of one that is updated.

What is known of a site is a mapping: `components`, by name with `hosts` and `tier`; `hosts`, by name what the module
site_host_facts has said (`drained` and `installed_version`; nothing of one that does not answer); `outside`, the same
as the results of a loop over hosts outside of the run; `run`, the hosts of the run; `limit`, its own; `wanted`, the
version of Airflow in the inventory; and `allowed`, whether a component may be left without a host.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils import host_status as status
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

Seen = Mapping[str, Any]

# What apt-get prints with --simulate: packages that it would install, remove, or complete after a run that was killed.
_PACKAGE = re.compile(r"^(?:Inst|Remv|Purg|Conf) (\S+)", re.MULTILINE)
_KNOWN = ("components", "hosts", "outside", "run", "limit", "wanted", "allowed")
# Who has drained a host, where it was not an operator.
_UPDATE = "update_packages"


def _seen(value: object, name: str) -> Seen:
    """Return what is known of a site. Raises AnsibleFilterError if something is missing."""
    seen = as_mapping(value, f"{name}: what is known")
    if missing := [key for key in _KNOWN if key not in seen]:
        raise AnsibleFilterError(f"{name}: '{missing[0]}' is missing")
    answers = {row["airflow_maintenance_host"]: row for row in as_list(seen["outside"], f"{name}: outside")}
    return seen | {"hosts": answers | as_mapping(seen["hosts"], f"{name}: hosts")}


def _components(seen: Seen) -> dict[str, list[str]]:
    """Return the components of Airflow that a site has, with their hosts."""
    found = {name: row for name, row in seen["components"].items() if row["tier"] == "airflow" and row["hosts"]}
    return {str(name): [str(host) for host in row["hosts"]] for name, row in found.items()}


def _airflow(seen: Seen) -> list[str]:
    return list(dict.fromkeys(host for hosts in _components(seen).values() for host in hosts))


def _said(seen: Seen, host: str) -> Mapping[str, Any]:
    """Return what a host has said; nothing of one that did not answer."""
    said = seen["hosts"].get(host) or {}
    return said if "drained" in said else {}


def _is_drained(seen: Seen, host: str) -> bool:
    return bool(_said(seen, host).get("drained"))


def _in_service(seen: Seen) -> list[str]:
    return [host for host in _airflow(seen) if _said(seen, host) and not _is_drained(seen, host)]


def _without(seen: Seen, leaving: list[str], fewest: int) -> Iterator[tuple[list[str], list[str]]]:
    """Yield components that would have no host in service, with the hosts that go; those of the same hosts together.

    Of those with at least `fewest` hosts, and not of those that have none in service already.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for name, hosts in _components(seen).items():
        serving = [host for host in hosts if host in _in_service(seen)]
        if len(hosts) >= fewest and serving and set(serving) <= set(leaving):
            found.setdefault(tuple(serving), []).append(name)
    yield from ((names, list(hosts)) for hosts, names in found.items())


def _last_hosts(seen: Seen, leaving: list[str], fewest: int = 1) -> Iterator[str]:
    for names, hosts in _without(seen, leaving, fewest):
        yield (
            f"This run would leave {' and '.join(names)} without a host in service: {' and '.join(hosts)} would go, "
            "and no other one is left. Leave one out by --limit, bring another one back first "
            "(playbooks/undrain.yml), or allow it by -e airflow_maintenance_all_allowed=true."
        )


def _drain(seen: Seen) -> Iterator[str]:
    if not seen["allowed"]:
        yield from _last_hosts(seen, [host for host in seen["run"] if host in _in_service(seen)])


def _update(seen: Seen) -> Iterator[str]:
    """One host after the other is drained. Of what has a single host, the update itself asks for that."""
    if seen["allowed"]:
        return
    for host in [host for host in seen["run"] if host in _in_service(seen)]:
        yield from _last_hosts(seen, [host], fewest=2)


def _undrain(seen: Seen) -> Iterator[str]:
    drained = [host for host in seen["run"] if _is_drained(seen, host)]
    if len(drained) > 1 and not seen["limit"]:
        yield (
            f"{' and '.join(drained)} are drained. Say by --limit which of them come back, or --limit all for all of "
            "them."
        )
    # A host that comes back gets the release of the inventory: that has to be the one of the others.
    serving = {host: str(_said(seen, host).get("installed_version")) for host in _in_service(seen)}
    others = [f"{host}, which is in service, runs {version}" for host, version in serving.items()]
    differs = any(version != seen["wanted"] for version in serving.values())
    for host in drained:
        installed = _said(seen, host).get("installed_version")
        if differs or (not serving and installed != seen["wanted"]):
            yield (
                f"{host}: site_airflow_version is {seen['wanted']}, and "
                f"{others[0] if others else f'{installed} is installed, with no other host in service'}. No host comes "
                "back by an upgrade of the site: upgrade it first (site.yml, with the drained hosts left out by "
                "--limit), or set site_airflow_version to what the site runs."
            )


def _whole(seen: Seen) -> Iterator[str]:
    placed = dict.fromkeys(str(host) for row in seen["components"].values() for host in row["hosts"])
    if left := [host for host in placed if host not in seen["run"] and _said(seen, host)]:
        yield (
            f"This playbook takes the whole site, and {' and '.join(left)} would be left out by --limit. Run it "
            "without; for some hosts there are playbooks/drain.yml and playbooks/undrain.yml. Only hosts that do not "
            "answer may be left out."
        )


_CHECKS: dict[str, Callable[[Seen], Iterator[str]]] = {
    "drain": _drain,
    "undrain": _undrain,
    "update": _update,
    "stop": _whole,
    "start": _whole,
}


def airflow_maintenance_problems(seen: object, action: str) -> list[str]:
    """
    List why a run may not do something to its hosts; each message names the remedy.

    Example: `__airflow_maintenance_seen | airflow_maintenance_problems('drain')`. `action` is drain, undrain, update,
    stop or start. Raises AnsibleFilterError for another one, and if something is missing.
    """
    if action not in _CHECKS:
        raise AnsibleFilterError(f"airflow_maintenance_problems: {action!r} is none of {', '.join(_CHECKS)}")
    return list(dict.fromkeys(_CHECKS[action](_seen(seen, "airflow_maintenance_problems"))))


def airflow_hosts_in_service(seen: object) -> list[str]:
    """
    Return the hosts of Airflow that have answered and are not drained.

    Example: `__airflow_maintenance_seen | airflow_hosts_in_service`. Raises AnsibleFilterError if something is missing.
    """
    return _in_service(_seen(seen, "airflow_hosts_in_service"))


def airflow_start_report(seen: object) -> str:
    """
    Say that a site works that was started, and what of it is still drained.

    Example: `__airflow_maintenance_seen | airflow_start_report`. Raises AnsibleFilterError if something is missing.
    """
    known = _seen(seen, "airflow_start_report")
    serving, drained = _in_service(known), [host for host in _airflow(known) if _is_drained(known, host)]
    words = [f"The site works: all of Airflow is healthy on {', '.join(serving)}."] if serving else []
    if drained:
        limit = ",".join(drained)
        words.append(f"Drained, and not started: {', '.join(drained)} (playbooks/undrain.yml --limit {limit}).")
    return " ".join(words)


def airflow_drained_by(mark: object) -> str:
    """
    Return who has drained a host, by the file that says so: nobody, an operator, or an update of its packages.

    Example: `'{"by": "update_packages"}' | airflow_drained_by` gives `update_packages`.
    """
    if not mark:
        return ""
    try:
        found = json.loads(str(mark))
    except ValueError:
        return "operator"
    return _UPDATE if isinstance(found, Mapping) and found.get("by") == _UPDATE else "operator"


def airflow_update_plan(facts: object) -> dict[str, Any]:
    """
    Return what becomes of a host that is updated; it is decided before anything changes.

    Example: `{'host': 'w1', 'simulation': 'Inst openssl', ...} | airflow_update_plan`. Given are `host`, `is_airflow`,
    `simulation` (what apt-get --simulate has said), `wants_restart`, `restart_allowed`, `connection` (Ansible's) and
    `drained` (the file that says so). Returned are `packages`, `due` (whether there is anything to do), `drains`
    (whether it is drained meanwhile), `restarts` (whether it does, if it wants to) and `text`. Raises
    AnsibleFilterError if something is missing.
    """
    given = as_mapping(facts, "airflow_update_plan: the facts")
    try:
        packages = list(dict.fromkeys(_PACKAGE.findall(str(given["simulation"]))))
        # A controller cannot wait for itself.
        is_own = given["connection"] == "local"
        restarts = bool(given["restart_allowed"]) and not is_own
        by = airflow_drained_by(given["drained"])
        # One that an interrupted update has drained is brought back.
        due = bool(packages) or (bool(given["wants_restart"]) and restarts) or by == _UPDATE
        drains = due and bool(given["is_airflow"]) and by != "operator"
    except KeyError as error:
        raise AnsibleFilterError(f"airflow_update_plan: {error} is missing") from error
    words = [f"{len(packages)} package{'' if len(packages) == 1 else 's'} to update"] if due else ["nothing to update"]
    words += ["is drained meanwhile"] if drains else []
    words += ["was drained before, and stays so"] if by == "operator" else []
    if (packages or given["wants_restart"]) and not restarts:
        why = "it is its own controller" if is_own else "airflow_maintenance_reboot_allowed is false"
        now = "restart it by hand" if given["wants_restart"] else "if it wants a restart, that is yours to do"
        words += [f"does not restart, because {why}: {now}"]
    text = f"{given['host']}: {'; '.join(words)}."
    return {"packages": packages, "due": due, "drains": drains, "restarts": restarts, "text": text}


def airflow_update_failure(host: str, state: str) -> str:
    """
    Say in which state a failed update has left a host, and how to go on.

    Example: `inventory_hostname | airflow_update_failure('back')`. `state` is `back` (it was drained, and is in service
    again), `drained` (and it could not be brought back) or `as before` (it was not drained for the update). Raises
    AnsibleFilterError for another one.
    """
    again = f"Mend what failed (above), and run playbooks/update_packages.yml --limit {host} again"
    states = {
        "back": f"{host} is back in service, and its update is not complete. {again}.",
        "drained": (
            f"{host} is still drained, and could not be brought back: Airflow on it is stopped, also after a restart. "
            f"{again}, which takes it back; or take it back as it is, by playbooks/undrain.yml --limit {host}."
        ),
        "as before": f"{host} was not drained for the update, which is not complete. {again}.",
    }
    if state not in states:
        raise AnsibleFilterError(f"airflow_update_failure: {state!r} is none of {', '.join(states)}")
    return states[state]


def _read(facts: object, record: object, name: str) -> tuple[status.Facts, status.Record]:
    try:
        return status.read(status.Facts, facts, "the facts"), status.read(status.Record, record, "the record")
    except status.AnswerError as error:
        raise AnsibleFilterError(f"{name}: {error}") from error


def airflow_part_units(facts: object, record: object, component: str) -> list[str]:
    """
    Return the units of a component that are on a host, by name; none where it is not placed.

    Example: `status.facts | airflow_part_units(record, 'redis')`. `facts` is what the module host_status has returned
    for this record. Raises AnsibleFilterError on another shape.
    """
    seen, expected = _read(facts, record, "airflow_part_units")
    found = []
    for part in (part for part in expected.parts if part.component == component):
        units = [unit for unit in seen.units if any(fnmatch.fnmatchcase(unit.unit, name) for name in part.units)]
        # Of clusters of several versions, the one that runs, or that starts with its host.
        running = [unit for unit in units if unit.active != "inactive"]
        found += running or [unit for unit in units if unit.enabled.startswith("enabled")] or units[:1]
    return [unit.unit for unit in found]


def airflow_parts_missing(facts: object, record: object, components: object) -> list[str]:
    """
    Say what of some components on a host does not work: is not active, or does not answer.

    Example: `status.facts | airflow_parts_missing(record, ['redis'])`, as airflow_part_units. What is outside of the
    site is not looked at, and nothing of Airflow on a drained host. Raises AnsibleFilterError on another shape.
    """
    wanted = as_list(components, "airflow_parts_missing: the components")
    seen, expected = _read(facts, record, "airflow_parts_missing")
    found = []
    for part, unit in status.paired(expected, seen):
        if part is None or not part.units or part.component not in wanted:
            continue
        if seen.drained and all(name.startswith("airflow-") for name in part.units):
            continue
        state, failed = status.state_of(part, unit, seen), status.unanswered(part, seen)
        if state != "active":
            found.append(f"{part.name} is {state}")
        elif failed:
            found.append(f"{part.name} is active, but {failed[0].what} does not answer: {failed[0].error}")
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_drained_by": airflow_drained_by,
            "airflow_hosts_in_service": airflow_hosts_in_service,
            "airflow_maintenance_problems": airflow_maintenance_problems,
            "airflow_part_units": airflow_part_units,
            "airflow_parts_missing": airflow_parts_missing,
            "airflow_start_report": airflow_start_report,
            "airflow_update_failure": airflow_update_failure,
            "airflow_update_plan": airflow_update_plan,
        }
