#!/usr/bin/python
"""Module: the versions of DAGs on a host, and which of them is the current one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.airstrip.core.plugins.module_utils.dag_files import DagFilesError, digest, listed, unpack

DOCUMENTATION = r"""
module: dags_versions
short_description: The versions of DAGs on a host, and which of them is the current one
description:
  - Keeps C(versions/VERSION) in a directory, and the link C(current) to one of them. C(history) names those that were
    current, the last one at the end.
  - Each step is done at once or not at all, so a run that was cut off can begin anew.
author: Airstrip
options:
  directory: {description: The directory., type: path, required: true}
  state:
    description:
      - With V(look), nothing changes. V(present) makes a version out of O(archive). V(current) makes O(version) the
        current one. V(pruned) removes versions but those that are current, O(needed), or were so last.
    type: str
    choices: [look, present, current, pruned]
    default: look
  version: {description: Name of a version., type: str}
  archive: {description: "Archive on the host, which is removed then; with O(state=present).", type: path}
  digest: {description: "Digest that the version's files are to have; with O(state=present).", type: str}
  back: {description: Whether what was current after O(version) is forgotten., type: bool, default: false}
  files: {description: "Files of O(version) by path, for the diff.", type: dict, default: {}}
  keep: {description: "How many of those that were current are kept beside the current one.", type: int, default: 5}
  needed: {description: Versions that are kept however old they are., type: list, elements: str, default: []}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""

EXAMPLES = r"""
- name: Switch
  dags_versions:
    directory: /usr/local/share/airflow/dags
    state: current
    version: 3f2a9c1
"""

RETURN = r"""
version: {description: "That of O(version), empty for none.", type: str, returned: always}
current: {description: "Name of the current version, empty for none.", type: str, returned: always}
before: {description: "The one that was current before and is there; empty for none.", type: str, returned: always}
versions: {description: Names of all versions., type: list, elements: str, returned: always}
files: {description: "By path, of O(version) if it is there, else of the current one.", type: dict, returned: success}
removed: {description: Versions that were removed., type: list, elements: str, returned: always}
"""

# DAG processors read a file at once whose time is later than when they read it last. They notice a new version within
# 5 s, and read the old one until then.
_NOTICED = 10


class Versions:
    """The directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._versions = directory / "versions"
        self._history = directory / "history"

    @property
    def current(self) -> str:
        """The current version, empty for none."""
        with suppress(OSError):
            return (self._directory / "current").readlink().name
        return ""

    @property
    def names(self) -> list[str]:
        """All versions; what begins with a dot is none."""
        with suppress(FileNotFoundError):
            return sorted(path.name for path in self._versions.iterdir() if not path.name.startswith("."))
        return []

    @property
    def history(self) -> list[str]:
        """Those that were current, the last one at the end."""
        with suppress(FileNotFoundError):
            return self._history.read_text(encoding="utf-8").split()
        return []

    @property
    def before(self) -> str:
        """The one that was current before and is still there."""
        past, there = self.history, self.names
        if self.current in past:
            past = past[: len(past) - past[::-1].index(self.current)]
        return next((name for name in reversed(past) if name != self.current and name in there), "")

    def files(self, version: str) -> dict[str, str]:
        """Return the files of a version."""
        return listed(self._versions / version) if version in self.names else {}

    def add(self, version: str, archive: Path, wanted: str) -> None:
        """Make a version. Raises DagFilesError if the archive holds anything else."""
        unfinished = self._versions / f".{version}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unpack(archive, unfinished)
        if digest(listed(unfinished)) != wanted:
            raise DagFilesError(f"{archive} is not what the controller sent")
        unfinished.rename(self._versions / version)
        archive.unlink()

    def switch(self, version: str, back: bool) -> None:
        """Make a version the current one: its place in the history first, so that a second try ends alike."""
        past = self.history
        if back and version in past:
            past = past[: len(past) - past[::-1].index(version)]
        elif past[-1:] != [version]:
            past.append(version)
        self._replace(self._history, "".join(f"{name}\n" for name in past))
        soon = time.time() + _NOTICED
        for path in (self._versions / version).rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.utime(path, (soon, soon))
        link = self._directory / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(f"versions/{version}")
        link.replace(self._directory / "current")

    def old(self, keep: int, needed: list[str]) -> list[str]:
        """Return the versions that may go, and what was cut off of others."""
        recent = [name for name in dict.fromkeys(reversed(self.history)) if name != self.current][:keep]
        stays = {self.current, *recent, *needed}
        return [name for name in self.names if name not in stays]

    def remove(self, versions: list[str]) -> None:
        """Remove versions, each at once for whoever looks for it."""
        for name in versions:
            (self._versions / name).rename(self._versions / f".{name}")
        for path in self._versions.glob(".*"):
            shutil.rmtree(path)
        there = self.names
        self._replace(self._history, "".join(f"{name}\n" for name in self.history if name in there))

    @staticmethod
    def _replace(path: Path, content: str) -> None:
        new = path.with_name(f".{path.name}")
        new.write_text(content, encoding="utf-8")
        new.replace(path)


def present(module: AnsibleModule, versions: Versions) -> bool:
    """Make the version unless it is there. Fails if it is there and is another one."""
    version = module.params["version"]
    if version in versions.names:
        if digest(versions.files(version)) != module.params["digest"]:
            module.fail_json(
                msg=f"Version {version} of the DAGs is on this host, with other files: of another "
                "airflow_dags_subdirectory, or changed by hand. Make a new commit, or remove that version if it is not "
                "the current one."
            )
        return False
    if not module.check_mode:
        versions.add(version, Path(module.params["archive"]), module.params["digest"])
    return True


def lines(files: Mapping[str, str]) -> str:
    """Return files for a diff."""
    return "".join(f"{name}: {what}\n" for name, what in sorted(files.items()))


def current(module: AnsibleModule, versions: Versions) -> dict[str, Any]:
    """Switch, unless it is done. Returns the rest of the result."""
    version, before = module.params["version"], versions.current
    if before == version:
        return {"changed": False}
    diff = {
        "before_header": before,
        "after_header": version,
        "before": lines(versions.files(before)),
        "after": lines(module.params["files"] or versions.files(version)),
    }
    if not module.check_mode:
        if version not in versions.names:
            module.fail_json(msg=f"Version {version} of the DAGs is not on this host, which has: {versions.names}")
        versions.switch(version, module.params["back"])
    return {"changed": True, "diff": diff}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Do what is asked for; return the result."""
    given = module.params
    versions = Versions(Path(given["directory"]))
    result: dict[str, Any] = {"changed": False, "removed": []}
    if given["state"] == "present":
        result["changed"] = present(module, versions)
    elif given["state"] == "current":
        result |= current(module, versions)
    elif given["state"] == "pruned":
        result["removed"] = versions.old(given["keep"], given["needed"])
        result["changed"] = bool(result["removed"])
        if result["changed"] and not module.check_mode:
            versions.remove(result["removed"])
    shown = given["version"] if given["version"] in versions.names else versions.current
    seen = {
        "version": given["version"] or "",
        "current": versions.current,
        "before": versions.before,
        "versions": versions.names,
    }
    return {**result, **seen, "files": versions.files(shown)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["look", "present", "current", "pruned"], "default": "look"},
            "version": {"type": "str"},
            "archive": {"type": "path"},
            "digest": {"type": "str"},
            "back": {"type": "bool", "default": False},
            "files": {"type": "dict", "default": {}},
            "keep": {"type": "int", "default": 5},
            "needed": {"type": "list", "elements": "str", "default": []},
        },
        required_if=[("state", "present", ["version", "digest"]), ("state", "current", ["version"])],
        supports_check_mode=True,
    )
    os.umask(0o022)
    try:
        result = run(module)
    except (DagFilesError, OSError) as error:
        module.fail_json(msg=f"The versions of the DAGs: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
