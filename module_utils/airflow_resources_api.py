"""Airflow's resources over its REST API: lists of all pages, and changes of many entries in one request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible.module_utils.airflow_api import AirflowApi, AirflowApiError, segment
from ansible.module_utils.airflow_resources import DEFAULT_POOL, KINDS, MASK, Entry, Kind, shown
from ansible.module_utils.airflow_resources_plan import Plan, bodies

# Airflow gives no more than [api] maximum_page_limit of them, 100 by default.
_PAGE = 1000
_PERMISSIONS = "/auth/fab/v1/permissions"


class ResourcesApi:
    """The resources of one site, as one user sees them."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._api = AirflowApi(params)
        self.requests = 0

    def request(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """Return the answer of one request. Raises AirflowApiError without what was sent."""
        self.requests += 1
        try:
            return self._api.request(method, path, body, query)
        except AirflowApiError as error:
            raise AirflowApiError(plainly(str(error)), error.status) from None

    def all_of(self, path: str, items: str) -> list[Entry]:
        """Return all entries of a list. Raises AirflowApiError if it is not complete."""
        found: list[Entry] = []
        total = 1
        while len(found) < total:
            answer = self.request("GET", path, query={"limit": _PAGE, "offset": len(found)})
            page, total = answer[items], int(answer["total_entries"])
            found += page
            if not page:
                break
        if len(found) != total:
            raise AirflowApiError(f"GET {path}: {len(found)} of {total} entries came; they may change. Run again.")
        return found

    def entries(self, kind: Kind) -> dict[str, Entry]:
        """Return what there is of a kind, by name."""
        return {str(item[kind.key]): shown(kind, item) for item in self.all_of(kind.path, kind.name)}

    def permissions(self) -> tuple[set[str], set[str]]:
        """Return the actions and the resources that roles can have."""
        pairs = self.all_of(_PERMISSIONS, "actions")
        return {pair["action"]["name"] for pair in pairs}, {pair["resource"]["name"] for pair in pairs}

    def knows_dag(self, dag_id: str) -> bool:
        """Tell whether a DAG has been parsed."""
        try:
            self.request("GET", f"/api/v2/dags/{segment(dag_id)}")
        except AirflowApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def change(self, made: Plan) -> None:
        """Delete, create and change the entries of a kind in one request: it ends well even if something is refused."""
        path = made.kind.path
        created, updated = bodies(made)
        if made.kind.name == "pools":
            # The one that is always there, which a request for many does not change.
            for entry in [entry for entry in updated if entry["name"] == DEFAULT_POOL]:
                mask = {"update_mask": ["slots", "include_deferred"]}
                self.request("PATCH", f"{path}/{DEFAULT_POOL}", {"pool": entry.pop("name"), **entry}, mask)
            updated = [entry for entry in updated if "name" in entry]
        given = {"delete": made.delete, "create": created, "update": updated}
        actions = [{"action": action, "entities": entities} for action, entities in given.items() if entities]
        answer = self.request("PATCH", path, {"actions": actions}) if actions else {}
        parts = [answer.get(action) or {} for action in given]
        if refused := [plainly(str(error["error"])) for part in parts for error in part.get("errors") or []]:
            raise AirflowApiError(f"PATCH {path}: {'; '.join(refused)}")
        done, asked = sum(len(part.get("success") or []) for part in parts), sum(map(len, given.values()))
        if done != asked:
            raise AirflowApiError(f"PATCH {path}: Airflow says of {done} entries that they are done, not of {asked}.")

    def role(self, entry: Entry, exists: bool) -> None:
        """Create a role, or give it its permissions. FAB before 3.9 takes none away."""
        pairs = [text.partition(" on ") for text in entry["permissions"]]
        actions = [{"action": {"name": action}, "resource": {"name": resource}} for action, _, resource in pairs]
        path = KINDS["roles"].path
        method, place = ("PATCH", f"{path}/{segment(entry['name'])}") if exists else ("POST", path)
        self.request(method, place, {"name": entry["name"], "actions": actions})

    def user(self, entry: Entry, fields: Sequence[str], exists: bool) -> None:
        """Create a user, or change some fields."""
        body = {**entry, "roles": [{"name": role} for role in entry["roles"]]}
        path = KINDS["users"].path
        if exists:
            mask = {"update_mask": ",".join(fields)}
            self.request("PATCH", f"{path}/{segment(entry['username'])}", body, mask)
        else:
            self.request("POST", path, body)

    def delete(self, kind: Kind, name: str) -> None:
        """Delete one entry of a kind that has no bulk request."""
        self.request("DELETE", f"{kind.path}/{segment(name)}")


def plainly(text: str) -> str:
    """Return an error without what was sent: Airflow repeats wrong input, which may be a secret."""
    head, brace, body = text.partition("{")
    try:
        detail = json.loads(brace + body)["detail"]
    except (ValueError, KeyError, TypeError):
        # One that is cut off, or written by Python.
        return text if "input" not in text else f"{head}Airflow refuses a value, and repeats it; it is not shown."
    if isinstance(detail, list):
        said = [f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg')}" for item in detail]
        return f"{head}{'; '.join(said)}"
    return f"{head}{detail}"


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets: the last guard of what is shown."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
