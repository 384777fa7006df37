#!/usr/bin/python
"""Module: users of Airflow's FAB auth manager."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.airflow_api import ARGUMENT_SPEC, AirflowApi, AirflowApiError, segment
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: airflow_user
short_description: Users of Airflow's FAB auth manager
description:
  - Creates, changes and deletes a user through Airflow's REST API (C(/auth/fab/v1/users)).
  - A password is set when the user is created, and afterwards only if O(update_password=always), because Airflow
    does not tell whether it is still the same; then the module always reports a change.
author: Airstrip
options:
  api_url: {description: "URL of an API server, for example http://127.0.0.1:8080.", type: str, required: true}
  api_username: {description: Name of an administrator., type: str, required: true}
  api_password: {description: Password of the administrator., type: str, required: true}
  api_ca_path: {description: "File with the authorities to trust; without it, the system's.", type: path}
  api_timeout: {description: Seconds that one request may take., type: int, default: 30}
  username: {description: "Name of the user, without a slash.", type: str, required: true}
  email: {description: Mail address; needed if O(state=present)., type: str}
  first_name: {description: First name; needed if O(state=present)., type: str}
  last_name: {description: Last name; needed if O(state=present)., type: str}
  roles: {description: All roles of the user., type: list, elements: str, default: []}
  password: {description: Password; needed to create the user., type: str}
  update_password: {description: When to set the password., type: str, choices: [on_create, always], default: on_create}
  state: {description: Whether the user exists., type: str, choices: [present, absent], default: present}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full, description: Without passwords.}
"""

EXAMPLES = r"""
- name: Provide an analyst
  airflow_user:
    api_url: http://127.0.0.1:8080
    api_username: admin
    api_password: "{{ airflow_admin_password }}"
    username: ada
    email: ada@example.com
    first_name: Ada
    last_name: Lovelace
    roles: [Viewer]
    password: "{{ vault_ada_password }}"
"""

RETURN = r"""
user: {description: "The user as it is now, without the password.", type: dict, returned: always}
"""

_USERS = "/auth/fab/v1/users"
_FIELDS = ("email", "first_name", "last_name")


class User:
    """One user, as it is and as it shall be."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params: dict[str, Any] = module.params
        if not re.fullmatch(r"[^/]+", self._params["username"]):
            raise AirflowApiError("Airflow's API finds no user whose name is empty or has a slash; give another name")
        self._api = AirflowApi(module.params)
        self._path = f"{_USERS}/{segment(self._params['username'])}"

    def current(self) -> dict[str, Any]:
        """Return the user as Airflow has it, without what changes by itself; empty if there is none."""
        try:
            user = self._api.request("GET", self._path)
        except AirflowApiError as error:
            if error.status == 404:
                return {}
            raise
        return self._view({**user, "roles": [role["name"] for role in user["roles"]]})

    def wanted(self) -> dict[str, Any]:
        """Return the user as it shall be; empty if it shall not exist."""
        return {} if self._params["state"] == "absent" else self._view(self._params)

    def _view(self, user: Mapping[str, Any]) -> dict[str, Any]:
        named = {name: user[name] for name in ("username", *_FIELDS)}
        return {**named, "roles": sorted(user["roles"])}

    def apply(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Make `before` into `after`. Raises AirflowApiError if Airflow refuses."""
        if not after:
            self._api.request("DELETE", self._path)
            return
        body = {**after, "roles": [{"name": role} for role in after["roles"]]}
        if not before:
            self._api.request("POST", _USERS, {**body, "password": self._params["password"]})
            return
        mask = [name for name in (*_FIELDS, "roles") if before[name] != after[name]]
        if self._params["update_password"] == "always" and self._params["password"]:
            body["password"] = self._params["password"]
            mask.append("password")
        self._api.request("PATCH", self._path, body, {"update_mask": ",".join(mask)})


def _run(module: AnsibleModule) -> dict[str, Any]:
    user = User(module)
    before, after = user.current(), user.wanted()
    if after and not before and not module.params["password"]:
        module.fail_json(msg=f"user {module.params['username']} does not exist: its creation needs a password")
    sets_password = bool(before and after and module.params["update_password"] == "always")
    changed = before != after or sets_password
    if changed and not module.check_mode:
        user.apply(before, after)
    return {"changed": changed, "user": after, "diff": {"before": before, "after": after}}


def main() -> None:
    """Run the module."""
    spec = ARGUMENT_SPEC | {
        "username": {"type": "str", "required": True},
        "email": {"type": "str"},
        "first_name": {"type": "str"},
        "last_name": {"type": "str"},
        "roles": {"type": "list", "elements": "str", "default": []},
        "password": {"type": "str", "no_log": True},
        "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    module = AnsibleModule(
        argument_spec=spec,
        supports_check_mode=True,
        required_if=[("state", "present", ("email", "first_name", "last_name", "roles"))],
    )
    try:
        module.exit_json(**_run(module))
    except AirflowApiError as error:
        module.fail_json(msg=f"user {module.params['username']}: {error}")


if __name__ == "__main__":
    main()
