"""Filters: how a new version of DAGs is tried, and why it must not become the current one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

BUNDLE = "dags-folder"
_FORCE = "-e dags_force=true goes on all the same"

Dags = Mapping[str, Mapping[str, Any]]


def _broken_runs(new: Dags, old: Dags, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Tell of runs that could not go on: without their DAG, or with a new one that lacks tasks they began with."""
    for dag_id, mine in sorted(runs.items()):
        unpinned = [run for run in mine if not run["version"]]
        lost = sorted(set(old.get(dag_id, {}).get("tasks", [])) - set(new.get(dag_id, {}).get("tasks", [])))
        if dag_id not in new:
            yield f"the DAG {dag_id} is removed, and has runs that have not ended: {_named(mine)}. Let them end first"
        elif lost and unpinned:
            yield (
                f"the DAG {dag_id} loses the tasks {', '.join(lost)}, and has runs without a version of their own: "
                f"{_named(unpinned)}. Let them end first"
            )


def _named(runs: Sequence[Mapping[str, Any]]) -> str:
    names = [str(run["run_id"]) for run in runs]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _taken(new: Dags, known: Mapping[str, Any]) -> Iterator[str]:
    for dag_id in sorted(new):
        bundle = known.get(dag_id, {}).get("bundle")
        if bundle and bundle != BUNDLE:
            yield f"the DAG {dag_id} is in the bundle {bundle} already: two bundles would take it from each other"


def airflow_dags_problems(step: object) -> list[str]:
    """
    List why a version of DAGs must not become the current one, one message each.

    `step` has `checked`, what check_dags.py answers; `known`, the DAGs that Airflow has by id, and `runs`, those that
    have not ended, as the module airflow_dag_versions returns them. Raises AnsibleFilterError on others. Example:
    `{'checked': checked, 'known': {}, 'runs': []} | airflow_dags_problems`.
    """
    given = as_mapping(step, "airflow_dags_problems: the step")
    checked = as_mapping(given["checked"], "airflow_dags_problems: checked")
    new, old = (as_mapping(dags, "airflow_dags_problems: dags") for dags in checked["dags"])
    known = as_mapping(given["known"], "airflow_dags_problems: known")
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for item in as_list(given["runs"], "airflow_dags_problems: runs"):
        run = as_mapping(item, "airflow_dags_problems: a run")
        # Those of other bundles are nobody's concern here.
        if known.get(run["dag_id"], {}).get("bundle") == BUNDLE:
            runs.setdefault(run["dag_id"], []).append(run)
    return [*map(str, checked["problems"]), *_broken_runs(new, old, runs), *_taken(new, known)]


def airflow_dags_refusal(problems: list[str], version: str) -> str:
    """
    Return the message that refuses a version.

    Example: `__airflow_dags_problems | airflow_dags_refusal('3f2a9c1')`.
    """
    listed = "\n".join(f"- {problem}" for problem in problems)
    return f"Version {version} of the DAGs does not become the current one; nothing was switched.\n{listed}\n{_FORCE}."


def airflow_dags_command(sandbox: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """
    Return the command that runs a program of Python, which it reads, in a sandbox of systemd's.

    `given` has `user`, `group`, `environment` (the file of the components'), `seconds` that it may take, `python` and
    `arguments`. Example: `__airflow_dags_sandbox | airflow_dags_command({'user': 'airflow', ...})`.
    """
    properties = {
        **sandbox,
        "EnvironmentFile": given["environment"],
        "RuntimeMaxSec": given["seconds"],
        # Nothing of the site: /tmp is the sandbox's own, and the database is in memory.
        "Environment": [
            "HOME=/tmp",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER=/tmp",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite://",
        ],
        "WorkingDirectory": "/",
    }
    lines = [
        f"--property={name}={value}"
        for name, values in sorted(properties.items())
        for value in (values if isinstance(values, list) else [values])
    ]
    own = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec"]
    who = [f"--uid={given['user']}", f"--gid={given['group']}"]
    return [*own, *who, *lines, given["python"], "-P", "-", *given["arguments"]]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_dags_command": airflow_dags_command,
            "airflow_dags_problems": airflow_dags_problems,
            "airflow_dags_refusal": airflow_dags_refusal,
        }
