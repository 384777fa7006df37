"""The project's modules, each run in a process of its own, as Ansible does on a host."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from airstrip_tree import PROJECT

# Makes the project's module_utils importable under the names that they have on a host. All is loaded before it becomes
# another user, who need not be able to read the project.
_START = """
import importlib, os, sys
import ansible.module_utils
project, name, arguments, user = sys.argv[1:]
ansible.module_utils.__path__.append(project + "/module_utils")
sys.path[:0] = [project + "/library", project + "/collections"]
module = importlib.import_module(name)
sys.argv = [name, arguments]
if user:
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))
module.main()
"""


def load(path: Path) -> Any:
    """Return a Python file as a module, for tests of the functions in it."""
    spec = importlib.util.spec_from_file_location(f"{path.stem}_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for the types that they name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run_module(
    tmp_path: Path, module: str, arguments: dict[str, Any], *, check: bool = False, user: str = ""
) -> dict[str, Any]:
    """Run a module, as root possibly as the user of a number; return its result, with `failed` and `changed`."""
    given = {"ANSIBLE_MODULE_ARGS": {"_ansible_diff": True, **arguments, "_ansible_check_mode": check}}
    (tmp_path / "arguments.json").write_text(json.dumps(given), encoding="utf-8")
    argv = [sys.executable, "-c", _START, str(PROJECT), module, str(tmp_path / "arguments.json"), user]
    result = subprocess.run(argv, capture_output=True, check=False, text=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return {"failed": False, "changed": False} | found
