"""Action that finds a release of an app on a host, and brings its source there if it is to be built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.airstrip.core.plugins.plugin_utils.app_sources import (
    Source,
    SourceError,
    release_of,
    source_of,
)

DOCUMENTATION = """
name: app_release
author: Airstrip
short_description: Find a release of an app on a host
description:
  - Names the release after its source and all that it is built with, looks whether it is there, and if not puts the
    source there, as C(source.tar) in O(directory).
options:
  source:
    description: "A directory or an archive on the controller, or a dictionary with C(git), C(ref) and C(path)."
    type: raw
    required: true
  built_with: {description: What else makes another release of it., type: dict, default: {}}
  base: {description: Directory on the controller from which paths count., type: path, required: true}
  directory: {description: Directory of the app on the host., type: path, required: true}
attributes:
  check_mode: {support: full, description: Nothing is brought to the host.}
"""

EXAMPLES = """
- name: Find the release
  app_release:
    source: apps/etl
    built_with: {runtime: python, python: "3.13"}
    base: "{{ inventory_dir }}"
    directory: /opt/app/etl
  register: app_release
"""

RETURN = """
name: {description: "Name of the release, a digest.", type: str, returned: success}
path: {description: Its directory., type: str, returned: success}
complete: {description: Whether it is there., type: bool, returned: success}
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Names the release on the controller, and asks the host for it."""

    TRANSFERS_FILES = True
    _VALID_ARGS = frozenset(("source", "built_with", "base", "directory"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the release. Raises AnsibleActionFail for a source that cannot be taken."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        specs: dict[str, dict[str, Any]] = {name: {"type": "path", "required": True} for name in ("base", "directory")}
        specs |= {"source": {"type": "raw", "required": True}, "built_with": {"type": "dict", "default": {}}}
        _, given = self.validate_argument_spec(specs)
        try:
            source = source_of(given["source"], Path(given["base"]))
            name = release_of(source, given["built_with"])
        except SourceError as error:
            raise AnsibleActionFail(f"The source cannot be taken: {error}.") from error
        path = f"{given['directory']}/releases/{name}"
        found = self._execute_module(
            module_name="ansible.builtin.stat",
            module_args={"path": f"{path}/app", "get_checksum": False},
            task_vars=task_vars,
        )
        if found.get("failed") or found.get("unreachable"):
            return {**result, **found}
        complete = bool(found["stat"]["exists"])
        brought = {} if complete or self._task.check_mode else self._bring(source, given["directory"], task_vars)
        if brought.get("failed") or brought.get("unreachable"):
            return {**result, **brought}
        return result | {"name": name, "path": path, "complete": complete}

    def _bring(self, source: Source, directory: str, task_vars: Mapping[str, Any] | None) -> dict[str, Any]:
        """Copy the source to the host, as ansible.builtin.copy does."""
        with TemporaryDirectory() as temporary:
            file = Path(temporary, "source.tar")
            try:
                source.save(file)
            except SourceError as error:
                raise AnsibleActionFail(f"The source cannot be taken: {error}.") from error
            task = self._task.copy()
            task.args = {"src": str(file), "dest": f"{directory}/source.tar"}
            task.args |= {"owner": "root", "group": "root", "mode": "0644"}
            copy = self._shared_loader_obj.action_loader.get(
                "ansible.legacy.copy",
                task=task,
                connection=self._connection,
                play_context=self._play_context,
                loader=self._loader,
                templar=self._templar,
                shared_loader_obj=self._shared_loader_obj,
            )
            found: dict[str, Any] = copy.run(task_vars=dict(task_vars or {}))
            return found
