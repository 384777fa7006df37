"""Filter: what to do about hosts that do not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping


def _sentence(said: object) -> str:
    return " ".join(str(said).removeprefix("Task failed: ").split()).rstrip(".")


def airflow_silent_host_problems(gathered: object, limit: str) -> list[str]:
    """
    Say for which hosts that do not answer a run cannot go on, and how it could.

    Example: `{'w1': {'unreachable': true, 'msg': 'timed out'}} | airflow_silent_host_problems('app')`. Those that could
    not be reached, by the results of a task, have to be left out, beside the present `limit`. Raises AnsibleFilterError
    unless it is given a mapping of results to names.
    """
    results = as_mapping(gathered, "airflow_silent_host_problems: the hosts")
    inside = {host: result["msg"] for host, result in results.items() if result.get("unreachable")}
    wanted = ",".join([*([limit] if limit else []), *(f"!{host}" for host in inside)])
    return [
        f"{host} does not answer: {_sentence(said)}. Bring it back, or leave it out by --limit '{wanted}'."
        for host, said in inside.items()
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_silent_host_problems": airflow_silent_host_problems}
