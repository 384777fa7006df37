"""Filter: what a release means for the schema of the metadata database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

_TABLES = ("alembic_version", "alembic_version_fab")


def airflow_schema(answer: object, expected: Mapping[str, str]) -> dict[str, Any]:
    """
    Return what the database's answer means for a release that expects these revisions.

    Example: `__airflow_schema_answer | airflow_schema(airflow_release.revisions)`. `answer` is what the module
    community.postgresql.postgresql_query has returned for a row with `has_schema`, the revisions (those of FAB may be
    missing in an installation that was made by hand) and `admin_exists`. Returned are
    `empty`, whether the database has been asked and has no schema; `revisions`, by table; `expected`; `due`, whether
    the release changes it (for a version without a lock, it may); `stops`, whether components have to stop for that;
    and `admin_exists`. Raises AnsibleFilterError on wrong types, and if the database has not answered.
    """
    given = as_mapping(answer, "airflow_schema: the answer")
    # `failed_when` has taken the mark of its failure.
    if given.get("msg") and not given.get("query_result") and not given.get("skipped"):
        raise AnsibleFilterError(
            f"site_database_host: the metadata database does not answer: {given.get('msg')}. Correct the variables "
            "site_database_* and the password, or mend the server."
        )
    rows = given.get("query_result") or []
    row = rows[0] if rows else {}
    exists = bool(row.get("has_schema"))
    revisions = {table: str(row.get(table) or "") for table in _TABLES}
    due = revisions != dict(expected)
    return {
        "empty": not exists and not given.get("skipped", False),
        "revisions": revisions,
        "expected": dict(expected),
        "due": due,
        "stops": exists and due,
        "admin_exists": bool(row.get("admin_exists")),
    }


def airflow_schema_loss(database: str, host: str, installed: list[str]) -> str:
    """
    Say that a database is empty where there was one, and what to do.

    Example: `'airflow' | airflow_schema_loss('db.example.com', ['vm1'])`. `installed` are the hosts that ran Airflow on
    another one.
    """
    return (
        f"site_database_name: the database {database} on {host} is empty, but {', '.join(installed)} ran Airflow on "
        "one already. Correct site_database_host or site_database_name, or restore a backup into it. If the site is to "
        "begin anew, without its connections, users and history, run this again with "
        "-e airflow_schema_new_database_allowed=true."
    )


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"airflow_schema": airflow_schema, "airflow_schema_loss": airflow_schema_loss}
