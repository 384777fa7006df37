"""Roles of FAB's auth manager: what they may, and how permissions are taken away where the API only adds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.module_utils.airflow_api import AirflowApiError
from ansible.module_utils.airflow_resources import DAG_PREFIXES, KINDS, Entry, permission
from ansible.module_utils.airflow_resources_api import ResourcesApi
from ansible.module_utils.airflow_resources_plan import Plan

_ROLES = KINDS["roles"]


class Roles:
    """The roles of one site. `airflow` runs Airflow's command with arguments."""

    def __init__(self, api: ResourcesApi, airflow: Callable[..., None]) -> None:
        self._api = api
        self._airflow = airflow
        self.waiting: list[str] = []

    def possible(
        self, declared: Sequence[Mapping[str, Any]], present: Mapping[str, Entry], *, dry: bool
    ) -> list[Entry]:
        """Return what is declared without permissions on DAGs that Airflow has not parsed yet: it would refuse them.

        Those are `waiting`. Raises AirflowApiError for permissions that it will never have.
        """
        wanted = {str(entry["name"]): {*map(permission, entry.get("permissions") or [])} for entry in declared}
        new = {text for name, texts in wanted.items() for text in texts - {*self._had(present, name)}}
        lacking = self._lacking(new) if new else set()
        of_dags = {text for text in lacking if _resource(text).startswith(DAG_PREFIXES)}
        if unknown := sorted(lacking - of_dags):
            raise AirflowApiError(f"roles: Airflow has no permission {', '.join(unknown)}.")
        dags = {_resource(text).partition(":")[2] for text in of_dags}
        parsed = {dag for dag in dags if self._api.knows_dag(dag)}
        if parsed and not dry:
            # FAB makes the permissions on a DAG only then, or when the DAG itself gives them to a role.
            self._airflow("sync-perm", "--include-dags")
        self.waiting = sorted(text for text in of_dags if _resource(text).partition(":")[2] not in parsed)
        return [_reduced(entry, self.waiting) for entry in declared]

    @staticmethod
    def _had(present: Mapping[str, Entry], name: str) -> list[str]:
        return list(present[name]["permissions"]) if name in present else []

    def _lacking(self, texts: set[str]) -> set[str]:
        actions, resources = self._api.permissions()
        return {text for text in texts if text.partition(" on ")[0] not in actions or _resource(text) not in resources}

    def make(self, made: Plan, present: Mapping[str, Entry]) -> None:
        """Create and change roles, so that they have what is declared and nothing else."""
        for entry in made.create:
            self._api.role(entry, exists=False)
        for entry, _ in made.update:
            self._api.role(entry, exists=True)
        losing = {
            entry["name"]: entry
            for entry, _ in made.update
            if {*self._had(present, entry["name"])} - {*entry["permissions"]}
        }
        if not losing:
            return
        # FAB 3.9 has taken them away; before, it only adds (apache/airflow#71933).
        now = self._api.entries(_ROLES)
        for name, entry in losing.items():
            self._take(name, {*now[name]["permissions"]} - {*entry["permissions"]})

    def _take(self, name: str, texts: set[str]) -> None:
        for action in sorted({text.partition(" on ")[0] for text in texts}):
            resources = sorted(_resource(text) for text in texts if text.partition(" on ")[0] == action)
            self._airflow("roles", "del-perms", name, "--action", action, "--resource", *resources)


def _resource(text: str) -> str:
    return text.partition(" on ")[2]


def _reduced(entry: Mapping[str, Any], left_out: Sequence[str]) -> Entry:
    kept = [text for text in entry.get("permissions") or [] if permission(text) not in left_out]
    return {**entry, "permissions": kept}
