#!/usr/bin/python
"""Module: a version of DAGs, as an archive."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.airstrip.core.plugins.module_utils.dag_files import DagFilesError, digest, listed, pack, unpack

DOCUMENTATION = r"""
module: dags_source
short_description: A version of DAGs, as an archive
description:
  - Makes an archive of a directory of DAG files, or of what a Git repository has of them at a commit.
  - The version is called after the commit, or after the content of the directory. So the same files are the same
    version wherever it is made.
  - Left out are C(.git), C(__pycache__) and C(*.pyc), and with Git what C(export-ignore) names. Submodules and files of
    Git LFS are not fetched.
  - It runs on the controller, and changes nothing but its store, which it fills in check mode, too.
author: Airstrip
options:
  source: {description: "A directory, or with O(repository) a branch, a tag or a commit.", type: str, required: true}
  repository: {description: URL or directory of a Git repository; empty for a directory., type: str, default: ""}
  subdirectory: {description: Directory of the DAGs inside of the repository., type: str, default: ""}
  working_directory: {description: Where relative paths begin., type: path, required: true}
  store: {description: Directory on the controller for the archives., type: path, required: true}
attributes:
  check_mode: {support: full}
"""

EXAMPLES = r"""
- name: Make the version
  dags_source:
    source: main
    repository: git@git.example.com:data/dags.git
    subdirectory: dags
    working_directory: "{{ playbook_dir }}"
    store: "{{ inventory_dir }}/.dags"
  delegate_to: localhost
"""

RETURN = r"""
version: {description: Name of the version., type: str, returned: success}
archive: {description: Path of the archive on the controller., type: str, returned: success}
digest: {description: Digest of all files., type: str, returned: success}
files: {description: "By path, what each file is.", type: dict, returned: success}
"""

_DIGITS = 16


class Repository:
    """A Git repository, local or not."""

    def __init__(self, module: AnsibleModule, place: str, scratch: Path) -> None:
        self._module = module
        self._place = place
        self._directory = place if Path(place).is_dir() else str(scratch / "repository")
        self._is_remote = self._directory != place

    def git(self, *arguments: str, check: bool = True) -> tuple[int, str]:
        """Run Git in the repository; return its status and what it said. Fails by default."""
        # No question is asked: there is nobody to answer it.
        code, out, err = self._module.run_command(
            ["git", "-C", self._directory, *arguments], environ_update={"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
        )
        if code and check:
            self._module.fail_json(msg=f"git {arguments[0]} of {self._place} failed: {err.strip() or out.strip()}")
        return code, out.strip()

    def commit(self, reference: str) -> str:
        """Return the commit that a reference names, which is fetched. Fails if there is none."""
        if reference.startswith("-"):
            self._module.fail_json(msg=f"dags_source is {reference!r}, which is no branch, tag or commit.")
        wanted = reference
        if self._is_remote:
            self._module.run_command(["git", "init", "--quiet", "--bare", self._directory], check_rc=True)
            wanted = "FETCH_HEAD"
            # Some servers give no commit by its number: then all of it.
            if self.git("fetch", "--quiet", "--depth=1", "--", self._place, reference, check=False)[0]:
                self.git("fetch", "--quiet", "--", self._place, "+refs/*:refs/*")
                wanted = reference
        code, found = self.git("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}", check=False)
        if code:
            self._module.fail_json(
                msg=f"dags_source is {reference!r}, and {self._place} has no such branch, tag or commit."
            )
        return found

    def export(self, commit: str, subdirectory: str, target: Path) -> None:
        """Write the files of a commit into a directory. Fails if it does not have the subdirectory."""
        archive = target.with_suffix(".tar")
        tree = f"{commit}:{subdirectory.strip('/')}"
        if self.git("cat-file", "-t", tree, check=False) != (0, "tree"):
            self._module.fail_json(
                msg=f"airflow_dags_subdirectory is {subdirectory!r}, which {self._place} does not have at {commit}."
            )
        self.git("archive", "--format=tar", f"--output={archive}", tree)
        unpack(archive, target)


def make(module: AnsibleModule, scratch: Path) -> dict[str, Any]:
    """Make the archive, unless it is there."""
    given = module.params
    place = Path(given["working_directory"])
    directory, version = place / Path(given["source"]).expanduser(), ""
    if given["repository"]:
        local = place / Path(given["repository"]).expanduser()
        repository = Repository(module, str(local) if local.is_dir() else given["repository"], scratch)
        version, directory = repository.commit(given["source"]), scratch / "files"
        repository.export(version, given["subdirectory"], directory)
    elif not directory.is_dir():
        module.fail_json(
            msg=f"dags_source is {given['source']!r}, and {directory} is no directory. If it is a branch, a tag or a "
            "commit, say of what: -e dags_repository=..., or airflow_dags_repository in the inventory."
        )
    files = listed(directory)
    version = version or f"files-{digest(files)[:_DIGITS]}"
    store = Path(given["store"])
    archive = store / f"{version}.{digest(files)}.tar.gz"
    if not archive.exists():
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = scratch / "archive"
        pack(directory, files, unfinished)
        shutil.copyfile(unfinished, archive.with_suffix(".part"))
        archive.with_suffix(".part").replace(archive)
    return {"changed": False, "version": version, "archive": str(archive), "digest": digest(files), "files": files}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "required": True},
            "repository": {"type": "str", "default": ""},
            "subdirectory": {"type": "str", "default": ""},
            "working_directory": {"type": "path", "required": True},
            "store": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        try:
            result = make(module, Path(scratch))
        except (DagFilesError, OSError, tarfile.TarError) as error:
            module.fail_json(msg=f"dags_source: {error}")
    if not any(name.endswith((".py", ".zip")) for name in result["files"]):
        module.fail_json(msg=f"dags_source: {module.params['source']} has no Python file, so there are no DAGs in it.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
