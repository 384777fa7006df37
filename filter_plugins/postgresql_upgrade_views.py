"""Where the clusters of an upgrade of PostgreSQL lie, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping


def postgresql_upgrade_cluster(version: str) -> dict[str, str]:
    """
    Return what there is of the cluster `main` of a version, as Debian's tools name it.

    Example: `'17' | postgresql_upgrade_cluster` has `version`, `unit`, the directories `configuration`, `data` and
    `programs`, and `marks`, the one where an upgrade to this version leaves how far it has come.
    """
    return {
        "version": version,
        "unit": f"postgresql@{version}-main.service",
        "configuration": f"/etc/postgresql/{version}/main",
        "data": f"/var/lib/postgresql/{version}/main",
        "programs": f"/usr/lib/postgresql/{version}/bin",
        # PostgreSQL's tools work there, too.
        "marks": f"/var/lib/postgresql/upgrade-to-{version}",
    }


def _before(do: str, old: str, new: str, mode: str) -> str:
    said = {
        "nothing": "there is nothing to do.",
        "upgrade": (
            f"PostgreSQL {old} becomes {new}. Airflow stops while the data are taken over ({mode}); its workers and "
            "their tasks go on."
        ),
        "finish": f"PostgreSQL {new} has the data. What is left to do is done now.",
        "revert": (
            f"PostgreSQL {new} becomes {old} again, as it was at the upgrade. Airflow stops meanwhile; its workers go "
            "on."
        ),
        "confirm": f"the cluster {old}/main, which was kept, is removed with its data.",
    }
    return said[do]


def _after(do: str, old: str, new: str) -> str:
    kept = (
        f"PostgreSQL {new} runs; {old}/main is kept, stopped. If all is well, remove it: -e "
        "postgresql_upgrade_step=confirm. To go back to it, and lose what was written since: -e "
        "postgresql_upgrade_step=revert."
    )
    said = {
        "nothing": "there was nothing to do.",
        "upgrade": kept,
        "finish": kept,
        "revert": (
            f'PostgreSQL {old} runs again. Set postgresql_version to "{old}" in the inventory; site.yml refuses to run '
            "until then."
        ),
        "confirm": f"PostgreSQL {new} is confirmed, and {old}/main is gone.",
    }
    return said[do]


def _failed(do: str, old: str, new: str) -> str:
    back = (
        f"PostgreSQL {old} runs again, with all its data, and Airflow on it. Put right what failed, and run this again."
    )
    finish = f"PostgreSQL {new} has the data. Put right what failed, and run this again."
    return {"upgrade": back, "revert": back, "finish": finish}.get(do, "Nothing was changed.")


def postgresql_upgrade_messages(plan: object, said: object) -> dict[str, str]:
    """
    Return what is said of a plan of postgresql_upgrade_plan: `before` and `after` it, and once it has `failed`.

    Example: `plan | postgresql_upgrade_messages({'host': 'db1', 'mode': 'copy'})`. `untouched` and
    `not_installed` say that an upgrade does not begin, `linked` that there is no way back. Raises AnsibleFilterError on
    other shapes.
    """
    given = as_mapping(plan, "postgresql_upgrade_messages: the plan")
    more: dict[str, Any] = as_mapping(said, "postgresql_upgrade_messages: the host and the mode")
    do, old, new, host = given["do"], given["from"], given["to"], more["host"]
    return {
        "before": f"{host}: {_before(do, old, new, more['mode'])}",
        "after": f"{host}: {_after(do, old, new)}",
        "failed": _failed(do, old, new),
        "untouched": f"{host}: PostgreSQL {old} runs on, untouched.",
        "not_installed": (
            f"{host}: postgresql_version: PostgreSQL {new} cannot be installed, and {old} runs on. Choose a version "
            "that the distribution has, or set postgresql_pgdg_enabled."
        ),
        "linked": (
            f"{host}: PostgreSQL {new} has the data by links (postgresql_upgrade_mode), so there is no way back to "
            f"{old}. See /var/log/postgresql, put right what keeps it from running, and run this again."
        ),
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "postgresql_upgrade_cluster": postgresql_upgrade_cluster,
            "postgresql_upgrade_messages": postgresql_upgrade_messages,
        }
