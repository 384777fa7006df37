"""Filters that say what an upgrade of Airflow concerns, and what speaks against it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

# How Airflow's linter begins a finding, and how one about an option that is merely set, whatever its value is: with
# CeleryExecutor it always reminds of a new default (airflow.cli.commands.config_command).
_LINT_FINDING = "- "
# Workers last: they would fail tasks on an old API server.
_ORDER = ("api_server", "scheduler", "dag_processor", "triggerer", "worker")
_LINT_REMINDER = "- Changed default value"


def _import_errors(output: str) -> dict[str, str]:
    """Return the last line of each error by its file, from what Airflow prints; log lines may stand before the list."""
    decoder = json.JSONDecoder()
    for start in (index for index, letter in enumerate(output) if letter == "["):
        try:
            rows, _ = decoder.raw_decode(output, start)
        except json.JSONDecodeError:
            continue
        if all(isinstance(row, dict) and "filepath" in row for row in rows):
            return {row["filepath"]: (row["error"].strip().splitlines() or ["no message"])[-1] for row in rows}
    return {}


def airflow_import_errors_new(outputs: object) -> list[str]:
    """
    List the DAG files that the second of two releases cannot import and the first one can.

    Example: `[old, new] | airflow_import_errors_new` is `["/srv/airflow/dags/a.py: ImportError: ..."]`. The outputs are
    those of `airflow dags list-import-errors --output json`; with fewer than two there is nothing to compare. Raises
    AnsibleFilterError on wrong types.
    """
    given = [str(output) for output in as_list(outputs, "airflow_import_errors_new: the outputs")]
    if len(given) < 2:
        return []
    old, new = map(_import_errors, given[:2])
    return [f"{path}: {error}" for path, error in sorted(new.items()) if path not in old]


def airflow_drain_order(hosts: object, running: object) -> list[str]:
    """
    Order hosts by their longest-running task, the longest last; those without a task come first.

    Example: `{'worker-1': facts} | airflow_drain_order([{'hostname': 'worker-1', 'seconds': 600}])`. The facts of a
    host are Ansible's, with `fqdn`, `hostname` and `nodename`: Airflow knows a host by one of them. Raises
    AnsibleFilterError on wrong types.
    """
    ages = {
        str(row["hostname"]): int(row["seconds"] or 0)
        for row in as_list(running, "airflow_drain_order: the running tasks")
    }
    table = as_mapping(hosts, "airflow_drain_order: the hosts")
    names = {
        host: [host, *(facts.get(key) for key in ("fqdn", "hostname", "nodename"))] for host, facts in table.items()
    }
    return sorted(table, key=lambda host: max(ages.get(str(name), -1) for name in names[host]))


def _lint_findings(output: str) -> list[str]:
    """Return what Airflow's linter finds: options that were removed or renamed."""
    lines = [line.strip() for line in output.splitlines()]
    return [line for line in lines if line.startswith(_LINT_FINDING) and not line.startswith(_LINT_REMINDER)]


def airflow_upgrade_problems(facts: object) -> list[str]:
    """
    List why an upgrade is refused on a host, before anything has changed; empty if nothing speaks against it.

    Example: see `ansible-doc -t filter airflow_upgrade_problems`. Raises AnsibleFilterError on wrong types.
    """
    given = as_mapping(facts, "airflow_upgrade_problems: the facts")
    host, problems = given["host"], []
    if errors := given["import_errors"]:
        problems.append(
            f"{host}: {len(errors)} DAG file(s) cannot be imported in the new release, but can be in the old one."
            " Correct them, or set airflow_upgrade_import_errors_allowed to true.\n  " + "\n  ".join(errors)
        )
    if lint := _lint_findings(given["lint"]):
        problems.append(
            f"{host}: `airflow config lint` of the new release finds faults. Correct airflow_config_overrides, or set"
            " airflow_upgrade_lint_findings_allowed to true.\n  " + "\n  ".join(lint)
        )
    if given["migrates"] and given["external"]:
        problems.append(
            "site_database_host: the metadata database is outside of the inventory, and is to be migrated. Make a"
            " backup of it, and say so by airflow_upgrade_external_backup_made: true."
        )
    if given["migrates"] and not given["external"] and given["free_mb"] < given["database_mb"]:
        problems.append(
            f"site_backup_directory: {given['directory']} has {given['free_mb']} MB free on the database's host, and"
            f" a dump may need {given['database_mb']} MB. Make room, or set it to a directory with more."
        )
    return problems


def _size(size: float) -> str:
    """Return a number of bytes as people read it."""
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"


def airflow_upgrade_report(plan: object) -> list[str]:
    """
    Say what an upgrade is going to do, in lines.

    Example: see `ansible-doc -t filter airflow_upgrade_report`. Raises AnsibleFilterError on wrong types.
    """
    given = as_mapping(plan, "airflow_upgrade_report: the plan")
    change = f"Going on to {given['to']}" if given["resumed"] else f"Upgrade: {given['from']} to {given['to']}"
    lines = [change]
    lines.append(f"Hosts: {', '.join(given['hosts'])}")
    database = given["database"]
    running = database.get("running") or []
    if given["migrates"]:
        old, new = (given["revisions"][key]["alembic_version"] for key in ("from", "to"))
        lines.append(f"Migration: {old} to {new or 'what the release says'}; {_size(database.get('bytes') or 0)}")
        tables = [f"{table['name']} {_size(table['bytes'])}" for table in database.get("tables") or []]
        lines.append(f"Largest tables: {', '.join(tables)}")
        moment = "while nothing writes to it" if given["quiet"] else "before anything stops"
        lines.append(f"Dump: {moment}")
        lines.append("Downtime: user interface, APIs and scheduling, during the migration; running tasks go on")
    else:
        lines.append("Migration: none; one component restarts after the other")
        if not given["balanced"]:
            lines.append("Downtime: user interface and APIs, while the API server restarts")
    tasks = sum(row["tasks"] for row in running)
    lines.append(f"Running tasks: {tasks} on {len(running)} host(s); workers wait for theirs")
    return lines


def airflow_upgrade_steps(placed: Mapping[str, list[str]], plan: Mapping[str, Any]) -> list[dict[str, str]]:
    """
    Return what changes after what: `component` and `host`, one component on one host after the other.

    Example: `{'worker': ['vm1']} | airflow_upgrade_steps({'hosts': ['vm1'], 'migrates': false, 'running': [],
    'facts': [facts]})`. `hosts` are those of the upgrade, with their `facts` in the same order; after a migration
    (`migrates`) workers alone are left. Workers with the longest-running task come last, see airflow_drain_order, by
    the tasks in `running`.
    """
    order = ("worker",) if plan["migrates"] else _ORDER
    facts = dict(zip(plan["hosts"], plan["facts"], strict=True))
    workers = {host: facts[host] for host in placed["worker"] if host in facts}
    hosts = {**placed, "worker": airflow_drain_order(workers, plan["running"])}
    return [
        {"component": component, "host": host}
        for component in order
        for host in hosts[component]
        if host in plan["hosts"]
    ]


def airflow_past_components(components: Mapping[str, Any], units: list[str], active: list[str]) -> list[str]:
    """
    Return the components whose units were there and all ran.

    Example: `airflow_components | airflow_past_components(['airflow-scheduler.service'],
    ['airflow-scheduler.service'])`.
    """
    found = []
    for name, row in components.items():
        own = [unit for unit in units if re.fullmatch(rf"{re.escape(row['unit'])}(@.*)?[.]service", unit)]
        if own and set(own) <= set(active):
            found.append(name)
    return found


def airflow_upgrade_releases(manifests: list[Mapping[str, Any]]) -> list[str]:
    """
    Return the releases that backups lead from and to, each once.

    Example: `airflow_backup_manifests.results | airflow_upgrade_releases`. Each has `content`, the manifest in base64;
    one that could not be read has none.
    """
    read = [json.loads(base64.b64decode(given.get("content", "e30="))) for given in manifests]
    return list(dict.fromkeys(str(manifest[key]) for manifest in read for key in ("from", "to") if key in manifest))


def airflow_upgrade_schema_differs(revisions: Mapping[str, str], manifest: str) -> bool:
    """
    Tell whether the schema is another one than when a backup was made.

    Example: `airflow_schema.revisions | airflow_upgrade_schema_differs('e30=')`. `manifest` is the backup's, in base64;
    one without revisions says that the schema was no concern.
    """
    past = json.loads(base64.b64decode(manifest)).get("revisions")
    return past is not None and dict(past) != dict(revisions)


def airflow_upgrade_last(files: list[Mapping[str, Any]]) -> str:
    """
    Return the name of the last backup, empty for none: they are called after their moments.

    Example: `found | airflow_upgrade_last`. Each file is a manifest, `path` being /DIRECTORY/NAME/manifest.json.
    """
    return max((str(file["path"]).split("/")[-2] for file in files), default="")


def airflow_upgrade_failures(hosts: list[str], hostvars: Mapping[str, Any]) -> list[str]:
    """
    Say what failed on each host: only the hosts on which something failed know what it was.

    Example: `ansible_play_hosts_all | airflow_upgrade_failures(hostvars)`.
    """
    found = []
    for host in hosts:
        known = hostvars[host]
        if "ansible_failed_task" in known:
            result = known["ansible_failed_result"]
            words = [result.get("msg", "no message"), *result.get("stderr_lines", [])[-1:]]
            found.append(f"{host}, {known['ansible_failed_task']['name']}: {': '.join(map(str, words))}")
    return found


def airflow_upgrade_end(failures: list[str], how: str, release: str = "") -> str:
    """
    Say how an upgrade has ended that failed, and how to go on.

    Example: `failures | airflow_upgrade_end('back', '3.2.2-0123456789ab')`. `how` is `back` on the `release` before;
    `between` two releases, as the way back has failed, too; or `stays`, as airflow_upgrade_stop_on_failure wants it.
    """
    words = {
        "back": f"The upgrade failed, and the site is back on {release}.\nMend the cause and run the same command"
        " again.",
        "between": "The way back has stopped, too. The site is between two releases, and nothing is lost. Mend the"
        " cause; then go on by the same command, or back by playbooks/rollback.yml.",
        "stays": "The upgrade failed and stays as it is, because airflow_upgrade_stop_on_failure is true. To go on,"
        " mend the cause and run the same command; to go back, run playbooks/rollback.yml.",
    }
    return "\n".join([f"{words[how]} What failed:", *failures])


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_drain_order": airflow_drain_order,
            "airflow_import_errors_new": airflow_import_errors_new,
            "airflow_past_components": airflow_past_components,
            "airflow_upgrade_end": airflow_upgrade_end,
            "airflow_upgrade_failures": airflow_upgrade_failures,
            "airflow_upgrade_last": airflow_upgrade_last,
            "airflow_upgrade_problems": airflow_upgrade_problems,
            "airflow_upgrade_schema_differs": airflow_upgrade_schema_differs,
            "airflow_upgrade_releases": airflow_upgrade_releases,
            "airflow_upgrade_report": airflow_upgrade_report,
            "airflow_upgrade_steps": airflow_upgrade_steps,
        }
