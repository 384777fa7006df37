#!/usr/bin/python
"""Module: ask a Git server for what bundles want of it, as Airflow will."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.airstrip.core.plugins.module_utils import dag_bundles

DOCUMENTATION = r"""
module: git_bundle_look
short_description: Ask a Git server for what DAG bundles want of it
description:
  - Asks for the branch, tag or commit of each bundle, and where that is wanted for its directory and its submodules,
    with the same keys and the same configuration that Airflow's components get. Those lie in a directory of this
    module meanwhile, which only its user may enter.
  - It changes nothing, and never fails. RV(answers) says what was wrong.
author: Airstrip
options:
  bundles: {description: DAG bundles; those of other types are left out., type: list, elements: dict, required: true}
  servers: {description: How servers are reached., type: list, elements: dict, default: []}
  secrets: {description: "Their keys and tokens, by C(name).", type: list, elements: dict, default: []}
  program: {description: "Text of the program that hands out secrets.", type: str, required: true}
  proxies: {description: Variables of the environment for a proxy., type: dict, default: {}}
  timeout: {description: Seconds for one answer., type: int, default: 30}
attributes:
  check_mode: {support: full, description: It is the same then.}
notes:
  - Without Git, or ssh where a server is reached by it, nothing is asked.
"""

EXAMPLES = r"""
- name: Ask for the bundles
  git_bundle_look:
    bundles: [{name: dags, type: git, url: "ssh://git@git.example.com/dags.git", branch: main}]
    servers: [{name: git, url: "ssh://git@git.example.com/", known_hosts: "{{ lookup('file', 'known_hosts') }}"}]
    secrets: [{name: git, deploy_key: "{{ vault_deploy_key }}"}]
    program: "{{ lookup('file', 'bundle_secret.sh') }}"
"""

RETURN = r"""
answers:
  description: "For each bundle C(name), C(stage) (C(unasked), C(server), C(ref), C(subdir), C(submodule), or empty if
    all is there), C(error) in Git's words, and C(refs), the branches and tags that there are."
  type: list
  returned: always
"""
# A key's own words would be of no use, and a token may stand in a URL that somebody wrote by hand.
_USER_INFO = re.compile(r"(?<=://)[^@/\s]+@")


class _Git:
    """Git with the bundles' configuration in a directory of its own."""

    def __init__(self, directory: Path, given: Mapping[str, Any]) -> None:
        self.repository = directory / "repository"
        self._timeout = given["timeout"]
        files = dag_bundles.files(given["servers"], [row["name"] for row in given["secrets"]], str(directory))
        for name, text in (files | {"secret": given["program"]}).items():
            (directory / name).write_text(text, encoding="utf-8")
        (directory / "secret").chmod(0o700)
        for row in given["secrets"]:
            path = directory / f"bundle_{row['name']}"
            path.touch(mode=0o600)
            path.write_text(dag_bundles.secret_text(row), encoding="utf-8")
        own = {
            "CREDENTIALS_DIRECTORY": directory, "GIT_CONFIG_GLOBAL": directory / "gitconfig", "GIT_TERMINAL_PROMPT": 0,
            "HOME": directory, "LC_ALL": "C",
        }  # fmt: skip
        self._environment = {"PATH": os.environ.get("PATH", os.defpath)}
        self._environment |= {str(name): str(value) for name, value in (dict(given["proxies"]) | own).items()}

    def __call__(self, *arguments: str) -> tuple[str, str]:
        """Return Git's output, and its words if it fails."""
        try:
            done = subprocess.run(
                ["git", *arguments], capture_output=True, check=False, env=self._environment, errors="replace",
                stdin=subprocess.DEVNULL, text=True, timeout=self._timeout,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "", f"no answer after {self._timeout} s"
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        return done.stdout, _USER_INFO.sub("", said) if done.returncode else ""

    def of_repository(self, *arguments: str) -> tuple[str, str]:
        """Do the same in the repository."""
        return self("--git-dir", str(self.repository), *arguments)


def _refs(listed: str) -> list[str]:
    found = re.findall(r"\trefs/(?:heads|tags)/(\S+)", listed)
    return [name for name in found if not name.endswith("^{}")]


def _look(git: _Git, bundle: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a bundle stops, and why."""
    url, wanted = str(bundle["url"]), dag_bundles.ref(bundle)
    listed, error = git("ls-remote", "--heads", "--tags", "--", url)
    if error:
        return {"stage": "server", "error": error}
    refs = _refs(listed)
    if not bundle.get("commit") and wanted not in refs:
        return {"stage": "ref", "error": "", "refs": refs}
    if not any(bundle.get(key) for key in ("commit", "subdir", "submodules")):
        return {"stage": "", "error": ""}
    shutil.rmtree(git.repository, ignore_errors=True)
    git("init", "--quiet", "--bare", "--", str(git.repository))
    _, error = git.of_repository("fetch", "--quiet", "--depth=1", "--", url, wanted)
    if error:
        return {"stage": "ref", "error": error, "refs": refs}
    return next(_inside(git, bundle), {"stage": "", "error": ""})


def _inside(git: _Git, bundle: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is missing in the commit."""
    subdir = str(bundle.get("subdir") or "").strip("/")
    if subdir and not git.of_repository("ls-tree", "-d", "FETCH_HEAD", "--", subdir)[0]:
        yield {"stage": "subdir", "error": ""}
    if not bundle.get("submodules"):
        return
    blob = ("config", "--blob", "FETCH_HEAD:.gitmodules")
    for line in git.of_repository(*blob, "--get-regexp", r"^submodule\..*\.url$")[0].splitlines():
        address = line.partition(" ")[2]
        # Airflow clones from a copy on the host, beside which there is no such thing.
        _, error = ("", "relative") if address.startswith(".") else git("ls-remote", "--", address, "HEAD")
        if error:
            yield {"stage": "submodule", "error": error, "refs": [_USER_INFO.sub("", address)]}


def look(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the module says."""
    answers = []
    with tempfile.TemporaryDirectory(prefix="airstrip-bundles-") as directory:
        git = _Git(Path(directory), given)
        for bundle in (row for row in given["bundles"] if row.get("type") == "git"):
            missing = [
                name for name in ["git", *(["ssh"] if dag_bundles.is_ssh(bundle["url"]) else [])] if _lacks(name)
            ]
            found = {"stage": "unasked", "error": f"there is no {missing[0]} yet"} if missing else _look(git, bundle)
            answers.append({"name": bundle["name"], "refs": [], **found})
    return answers


def _lacks(program: str) -> bool:
    return shutil.which(program) is None


def main() -> None:
    """Run the module."""
    rows: dict[str, Any] = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "bundles": {"type": "list", "elements": "dict", "required": True},
            "servers": rows,
            "secrets": {**rows, "options": dag_bundles.SECRET_OPTIONS},
            "program": {"type": "str", "required": True, "no_log": False},
            "proxies": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, answers=look(module.params))


if __name__ == "__main__":
    main()
