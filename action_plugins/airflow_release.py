"""Action that finds a release of Airflow on a host by all that it is built from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.airstrip.core.plugins.module_utils.airflow_release import release_name, requirements

DOCUMENTATION = """
name: airflow_release
author: Airstrip
short_description: Find a release of Airflow on a host
description:
  - Names the release after all that it is built from, and looks whether it is there, and complete. It changes nothing.
  - Fails for a version without a lock for the host's Python, unless there are constraints.
options:
  version: {description: Version of Airflow., type: str, required: true}
  extras: {description: Extras of apache-airflow., type: list, elements: str, required: true}
  extra_packages: {description: "More packages, as pip's requirements.", type: list, elements: str, required: true}
  system_modules: {description: Modules of the system's Python that it has., type: list, elements: str, default: []}
  python_version: {description: "Version (major.minor) of Python.", type: str, required: true}
  constraints: {description: "Constraints in place of the lock; empty for the lock.", type: str, default: ""}
  locks: {description: Directory of the locks on the controller., type: path, required: true}
  directory: {description: Directory of the releases on the host., type: path, required: true}
"""

EXAMPLES = """
- name: Find the release
  airflow_release:
    version: 3.3.2
    extras: [celery, fab]
    extra_packages: []
    python_version: "3.13"
    locks: "{{ role_path }}/files/locks"
    directory: /opt/airflow
  register: airflow_release
"""

RETURN = """
name:
  description: Name of the release, the version and a digest.
  type: str
  returned: always
directory:
  description: Its directory.
  type: str
  returned: always
packages:
  description: The directory of its Python packages.
  type: str
  returned: always
lock:
  description: File of its lock on the controller, which may be missing if there are constraints.
  type: str
  returned: always
providers:
  description: The packages of its extras, by extra; none without a lock.
  type: dict
  returned: always
revisions:
  description: The revisions of the schema that it expects, by table; none without a lock.
  type: dict
  returned: always
complete:
  description: Whether it is there, and was completed.
  type: bool
  returned: always
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Names the release on the controller, and asks the host for its mark of completeness."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(
        ("version", "extras", "extra_packages", "system_modules", "python_version", "constraints", "locks", "directory")
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the release. Raises AnsibleActionFail without a lock, and for what cannot be its input."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        specs: dict[str, dict[str, Any]] = {name: {"type": "str", "required": True} for name in self._VALID_ARGS}
        specs |= {name: {"type": "list", "elements": "str", "required": True} for name in ("extras", "extra_packages")}
        specs["system_modules"] = {"type": "list", "elements": "str", "default": []}
        specs["constraints"] = {"type": "str", "default": ""}
        _, given = self.validate_argument_spec(specs)
        release = find(given)
        found = self._execute_module(
            module_name="ansible.builtin.stat",
            module_args={"path": f"{release['directory']}/complete", "get_checksum": False},
            task_vars=task_vars,
        )
        if found.get("failed") or found.get("unreachable"):
            return {**result, **found}
        return result | release | {"complete": bool(found["stat"]["exists"])}


def find(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a release without the host, by the action's options; raise AnsibleActionFail as `run`."""
    directory, python = Path(given["locks"]) / given["version"], given["python_version"]
    lock, about = directory / f"py{python}.txt", directory / "metadata.json"
    metadata = json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {}
    if not given["constraints"] and not lock.is_file():
        raise AnsibleActionFail(
            f"site_airflow_version: there is no lock of Airflow {given['version']} for Python {python} ({lock}). Set "
            "another version, or airflow_release_constraints."
        )
    providers = metadata.get("providers", {})
    try:
        name = release_name(
            given["version"],
            constraints=given["constraints"],
            lock="" if given["constraints"] else lock.read_text(encoding="utf-8"),
            python=python,
            requirements=[
                *requirements(given["version"], given["extras"], given["extra_packages"], providers),
                *(f"system module {name}" for name in given.get("system_modules", ())),
            ],
        )
    except ValueError as error:
        raise AnsibleActionFail(str(error)) from error
    place = f"{given['directory']}/releases/{name}"
    return {
        "name": name,
        "directory": place,
        "packages": f"{place}/lib/python{python}/site-packages",
        "lock": str(lock),
        "providers": providers,
        "revisions": metadata.get("alembic_heads", {}),
    }
