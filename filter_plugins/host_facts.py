"""Filter: what to do about hosts that do not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping


def _sentence(said: object) -> str:
    return " ".join(str(said).removeprefix("Task failed: ").split()).rstrip(".")


def airflow_silent_host_problems(silent: object, limit: str) -> list[str]:
    """
    Say for which hosts that do not answer a run cannot go on, and how it could.

    Example: `{'w1': 'timed out'} | airflow_silent_host_problems('app')`. They have to be left out, beside the present
    `limit`. Raises AnsibleFilterError unless it is given a mapping of what was said to names.
    """
    inside = as_mapping(silent, "airflow_silent_host_problems: the hosts")
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
