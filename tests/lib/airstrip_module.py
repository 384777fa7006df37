"""The project's modules, each run in a process of its own, as Ansible does on a host."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from airstrip_tree import PROJECT

# Makes the project's module_utils importable under the names that they have on a host, and runs a module for each line
# that it reads, in a process of its own. It is forked from one that has imported Ansible's part and the module, which
# takes longer than most modules run. All is loaded before it becomes another user, who need not be able to read the
# project.
_SERVER = """
import importlib, json, os, sys
import ansible.module_utils.basic
project = sys.argv[1]
ansible.module_utils.__path__.append(project + "/module_utils")
sys.path[:0] = [project + "/library", project + "/collections"]
for line in sys.stdin:
    name, arguments, user, result, environment = json.loads(line)
    module = importlib.import_module(name)
    if process := os.fork():
        os.waitpid(process, 0)
        print("ended", flush=True)
        continue
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    sys.argv = [name, arguments]
    os.environ.clear()
    os.environ.update(environment)
    if user:
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    module.main()
    break
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
    result = tmp_path / "result.json"
    server = _server()
    assert server.stdin
    assert server.stdout
    order = [module, str(tmp_path / "arguments.json"), user, str(result), dict(os.environ)]
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    assert server.stdout.readline() == "ended\n"
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return {"failed": False, "changed": False} | found


@cache
def _server() -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", _SERVER, str(PROJECT)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
