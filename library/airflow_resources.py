#!/usr/bin/python
"""Module: what is declared of Airflow's pools, variables, connections, roles and users."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.airflow_api import ARGUMENT_SPEC, AirflowApiError
from ansible.module_utils.airflow_resources import DEFAULT_POOL, KINDS, Entry
from ansible.module_utils.airflow_resources_api import ResourcesApi, scrubbed
from ansible.module_utils.airflow_resources_plan import Plan, Rules, exported, plan, protected, secrets_of
from ansible.module_utils.airflow_resources_roles import Roles
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: airflow_resources
short_description: Declared pools, variables, connections, roles and users of Airflow
description:
  - Makes what is declared so, through Airflow's REST API, by one request for a list and one for all changes of a kind.
    Roles and users have no such request, so each that differs takes one. Permissions that FAB before 3.9 cannot take
    away go by Airflow's command.
  - What is not declared stays, unless its kind is to be purged.
  - Airflow shows C(***) in the place of secrets. So O(record), a file of root's, has a keyed digest of what was written
    last, and what is hidden is written again when another value is declared.
author: Airstrip
options:
  api_url: {description: "URL of an API server, for example http://127.0.0.1:8080.", type: str, required: true}
  api_username: {description: Name of an administrator. It is never purged., type: str, required: true}
  api_password: {description: Password of the administrator., type: str, required: true}
  api_ca_path: {description: "File with the authorities to trust; without it, the system's.", type: path}
  api_timeout: {description: Seconds that one request may take., type: int, default: 30}
  pools: {description: "Pools: C(name), C(slots) and so on.", type: list, elements: dict, default: []}
  variables: {description: "Variables: C(key), C(value) and so on.", type: list, elements: dict, default: []}
  connections: {description: "Connections: C(connection_id), C(conn_type) ...", type: list, elements: dict, default: []}
  roles: {description: "Roles: C(name) and C(permissions).", type: list, elements: dict, default: []}
  users:
    description:
      - Users, with C(username), C(email), C(roles), C(first_name), C(last_name) and C(password). Another password than
        the one that was declared before is set; with C(generated), it is for the beginning alone.
    type: list
    elements: dict
    default: []
  purge:
    description: Kinds of which all is deleted that is not declared.
    type: list
    elements: str
    choices: [pools, variables, connections, roles, users]
    default: []
  key: {description: Key of the digests., type: str}
  record: {description: File with the digests., type: path}
  command: {description: Airflow's command., type: path, default: /usr/local/bin/airflow}
  export:
    description: Kinds that are only read, and returned as they would be declared.
    type: list
    elements: str
    choices: [pools, variables, connections, roles, users]
    default: []
attributes:
  check_mode: {support: full}
  diff_mode: {support: full, description: Without what Airflow hides.}
"""

EXAMPLES = r"""
- name: Provide a pool
  airflow_resources:
    api_url: http://127.0.0.1:8080
    api_username: admin
    api_password: "{{ airflow_admin_password }}"
    pools: [{name: warehouse, slots: 4}]
    key: "{{ airflow_fernet_key }}"
    record: /etc/airstrip/airflow-resources/digests.json
"""

RETURN = r"""
differences: {description: "What differs, or differed, one line each.", type: list, returned: success}
requests: {description: Number of requests., type: int, returned: success}
exported: {description: "Declarations, by kind.", type: dict, returned: with O(export)}
"""


class Resources:
    """One run."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params: dict[str, Any] = module.params
        self._api = ResourcesApi(module.params)
        self._roles = Roles(self._api, self._airflow)
        self._known: dict[str, Entry] = {}

    def run(self) -> dict[str, Any]:
        """Read all that is concerned, then change it. Raises AirflowApiError if Airflow refuses."""
        plans = self._plans()
        if problems := [problem for made in plans for problem in made.problems] + self._role_problems(plans):
            raise AirflowApiError("\n".join(problems))
        if not self._module.check_mode:
            for made in plans:
                self._make(made)
            # Roles after the users who have them.
            for made in reversed(plans):
                self._delete(made)
        lines = [line for made in plans for line in made.lines]
        lines += [f"roles: {text} waits until Airflow has parsed the DAG" for text in self._roles.waiting]
        diff = {"before": "", "after": "".join(f"{line}\n" for line in lines)}
        changed = any(made.changes for made in plans)
        return {"changed": changed, "differences": lines, "diff": diff, "requests": self._api.requests}

    def export(self) -> dict[str, Any]:
        """Return what there is, as it would be declared."""
        found = {}
        for kind in map(KINDS.__getitem__, self._params["export"]):
            kept = protected(kind, self._params["api_username"]) - {DEFAULT_POOL}
            entries = self._api.entries(kind)
            found[kind.name] = [exported(kind, entry) for name, entry in entries.items() if name not in kept]
        return {"changed": False, "exported": found, "requests": self._api.requests}

    def _plans(self) -> list[Plan]:
        noted, made = self._noted(), []
        for kind in KINDS.values():
            declared, purge = self._params[kind.name], kind.name in self._params["purge"]
            if not declared and not purge:
                continue
            present = self._api.entries(kind)
            if kind.name == "roles":
                self._known = present
                declared = self._roles.possible(declared, present, dry=self._module.check_mode)
            kept = protected(kind, self._params["api_username"])
            made.append(
                plan(kind, declared, present, Rules(purge, kept, self._params["key"], noted.get(kind.name, {})))
            )
        return made

    def _role_problems(self, plans: Sequence[Plan]) -> list[str]:
        """Return what is wrong with the roles of users who are to be changed."""
        users = [made for made in plans if made.kind.name == "users"]
        changed = [entry for made in users for entry in (*made.create, *(entry for entry, _ in made.update))]
        if not changed:
            return []
        gone = {name for made in plans if made.kind.name == "roles" for name in made.delete}
        known = {*(self._known or self._api.entries(KINDS["roles"])), *(role["name"] for role in self._params["roles"])}
        return [
            f"users: {entry['username']} is to have the role {role}, which Airflow does not have."
            for entry in changed
            for role in entry["roles"]
            if role not in known - gone
        ]

    def _make(self, made: Plan) -> None:
        kind = made.kind
        if kind.name == "roles":
            self._roles.make(made, self._known)
        elif kind.name == "users":
            for entry in made.create:
                self._api.user(entry, [], exists=False)
            for entry, fields in made.update:
                self._api.user(entry, fields, exists=True)
        else:
            self._api.change(made)
        self._note(kind.name, made.noted)

    def _delete(self, made: Plan) -> None:
        for name in made.delete if made.kind.name in ("roles", "users") else []:
            self._api.delete(made.kind, name)

    def _airflow(self, *arguments: str) -> None:
        status, output, errors = self._module.run_command([self._params["command"], *arguments])
        if status:
            raise AirflowApiError(f"airflow {' '.join(arguments)}: {(errors or output)[-500:]}")

    def _noted(self) -> dict[str, dict[str, dict[str, str]]]:
        try:
            found: dict[str, dict[str, dict[str, str]]] = json.loads(
                Path(self._params["record"]).read_text(encoding="ascii")
            )
        except (OSError, ValueError):
            return {}
        return found

    def _note(self, name: str, marks: Mapping[str, Mapping[str, str]]) -> None:
        """Keep the digests of a kind, for root alone."""
        before = self._noted()
        if before.get(name, {}) == marks:
            return
        path = Path(self._params["record"])
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            json.dump({**before, name: marks}, stream, indent=1, sort_keys=True)
        unfinished.replace(path)


def main() -> None:
    """Run the module."""
    entries: dict[str, Any] = {"type": "list", "elements": "dict", "default": []}
    spec: dict[str, Any] = ARGUMENT_SPEC | {
        **dict.fromkeys(KINDS, entries),
        "purge": {"type": "list", "elements": "str", "choices": [*KINDS], "default": []},
        "export": {"type": "list", "elements": "str", "choices": [*KINDS], "default": []},
        "key": {"type": "str", "no_log": True},
        "record": {"type": "path"},
        "command": {"type": "path", "default": "/usr/local/bin/airflow"},
    }
    required = [("export", "key", "record")]
    # Not even in the host's journal: what is declared has secrets among it.
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, required_one_of=required, no_log=True)
    resources = Resources(module)
    secrets = [*secrets_of({name: module.params[name] for name in KINDS})]
    try:
        module.exit_json(**(resources.export() if module.params["export"] else resources.run()))
    except AirflowApiError as error:
        module.fail_json(msg=scrubbed(str(error), secrets))


if __name__ == "__main__":
    main()
