"""The project's modules, each run in a process of its own, as Ansible does on a host."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from airstrip_tree import PROJECT

# Makes the project's module_utils importable under the name that they have on a host.
_START = """
import runpy, sys
import ansible.module_utils
project, module, arguments = sys.argv[1:]
ansible.module_utils.__path__.append(project + "/module_utils")
sys.argv = [module, arguments]
runpy.run_path(f"{project}/library/{module}.py", run_name="__main__")
"""


def run_module(
    tmp_path: Path, module: str, arguments: dict[str, Any], *, check: bool = False, diff: bool = True
) -> dict[str, Any]:
    """Run a module; return its result, with `failed` and `changed` in any case."""
    given = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}}
    (tmp_path / "arguments.json").write_text(json.dumps(given), encoding="utf-8")
    argv = [sys.executable, "-c", _START, str(PROJECT), module, str(tmp_path / "arguments.json")]
    result = subprocess.run(argv, capture_output=True, check=False, text=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return {"failed": False, "changed": False} | found
