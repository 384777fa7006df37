"""Filters that say what the way back from an upgrade of Airflow costs, and what speaks against it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

_ERROR = re.compile(r"(Error|Exception)[^:]*[:)] ")
_CONFIRM = "-e airflow_upgrade_rollback_confirmed=true"


def airflow_restore_problem(facts: object) -> str:
    """
    Say why a dump is not restored; nothing if nothing speaks against it.

    Example: see `ansible-doc -t filter airflow_restore_problem`. Raises AnsibleFilterError on wrong types.
    """
    given = as_mapping(facts, "airflow_restore_problem: the facts")
    if not given["found"]:
        return (
            f"airflow_backup_name: {given['host']} has no dump {given['dump']}. Nothing was changed. Put one of your"
            " own there, readable for postgres, and run the same command again."
        )
    if given["free_mb"] < given["needed_mb"]:
        return (
            f"{given['host']}: {given['directory']} has {given['free_mb']} MB free, and a second copy of the database"
            f" may need {given['needed_mb']} MB. Nothing was changed: the database and the dump {given['dump']} are as"
            " they were. Make room there (databases named airflow_until_... are what earlier restores have set aside),"
            f" and run playbooks/rollback.yml {_CONFIRM}."
        )
    return ""


def _schema_price(given: Mapping[str, Any]) -> str:
    """Say what becomes of the database."""
    if not given["differs"]:
        return "The database stays as it is."
    price = (
        "The schema is taken back by Airflow's own downgrade: DAG runs, tasks and logs stay, but what only the new"
        " release stores is dropped."
    )
    if given["dump_time"]:
        return (
            f"{price} If that fails, the dump of {given['dump_time']} is restored: what happened since is lost to"
            " Airflow, and stays in a database that is set aside."
        )
    return f"{price} If that fails, the run stops: there is no dump to restore."


def airflow_upgrade_rollback_problem(facts: object) -> str:
    """
    Say why Airflow does not go back to the release before, or the price that is not accepted yet; else nothing.

    Example: see `ansible-doc -t filter airflow_upgrade_rollback_problem`. Raises AnsibleFilterError on wrong types.
    """
    given = as_mapping(facts, "airflow_upgrade_rollback_problem: the facts")
    past = given["past"]
    if not given["stamp"]:
        return f"{given['host']}: there is no backup in {given['directory']}, so nothing to go back to."
    if given["present"] not in (past["to"], past["from"]):
        return (
            f"{given['host']}: the backup {given['stamp']} leads from {past['from']} to {past['to']}, but"
            f" {given['present']} is installed. Go back by hand, see docs/operations.md."
        )
    if given["confirmed"]:
        return ""
    return (
        f"This goes back from {past['to']} to {past['from']}, with the configuration of {given['stamp']} and the"
        " credentials of now. Its price: Airflow is stopped meanwhile; running tasks end first."
        f" {_schema_price(given)} If you accept that, run it again with {_CONFIRM}."
    )


def _error(said: Sequence[str]) -> str:
    """Return the message of a traceback, which ends with hints: the last line that names an error, or the last one."""
    named = [line for line in said if _ERROR.search(line)]
    return ([*said, *named] or [""])[-1]


def airflow_upgrade_loss(facts: object) -> str:
    """
    Say what a restore would lose, after Airflow's downgrade has failed, and how to go on.

    Example: see `ansible-doc -t filter airflow_upgrade_loss`. Raises AnsibleFilterError on wrong types.
    """
    given = as_mapping(facts, "airflow_upgrade_loss: the facts")
    lines = [
        f"Airflow's downgrade of the schema failed: {_error(given['said'])}",
        "Airflow is stopped; its database is between two releases, and nothing is lost. Mend the cause and run the"
        " command of the upgrade again, which goes on.",
    ]
    if given["dump_time"]:
        lines.append(
            f"Or go back to the dump of {given['dump_time']}, after which Airflow may have written: what happened since"
            " would be lost to Airflow, and stay in a database that is set aside. If you accept that, run"
            f" playbooks/rollback.yml {_CONFIRM}."
        )
    else:
        lines.append("Or restore a backup of your own: there is no dump.")
    return "\n".join(lines)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_restore_problem": airflow_restore_problem,
            "airflow_upgrade_loss": airflow_upgrade_loss,
            "airflow_upgrade_rollback_problem": airflow_upgrade_rollback_problem,
        }
