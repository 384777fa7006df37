"""The yardstick of a second run: 100 tasks that find everything as it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TASKS = 100
_DIRECTORY = "/var/tmp/airstrip-yardstick"  # noqa: S108 on a test host, by root


def plays(host: str) -> list[dict[str, Any]]:
    """Return the yardstick for a host as a playbook: directories and files in turn, each a task, without facts."""
    owned = {"owner": "root", "group": "root"}
    tasks: list[dict[str, Any]] = []
    for number in range(TASKS // 2):
        path = f"{_DIRECTORY}-{number}"
        tasks += [
            {
                "name": f"Provide directory {number}",
                "ansible.builtin.file": {"path": path, "state": "directory", "mode": "0755", **owned},
            },
            {
                "name": f"Write file {number}",
                "ansible.builtin.copy": {
                    "content": f"This is file {number}.\n", "dest": f"{path}/file", "mode": "0644", **owned,
                },
            },
        ]  # fmt: skip
    return [{"name": "Measure", "hosts": host, "gather_facts": False, "tasks": tasks}]


def write(directory: Path, host: str) -> Path:
    """Write the playbook for a host; return its path."""
    path = directory / "yardstick.yml"
    path.write_text(yaml.safe_dump(plays(host), sort_keys=False), encoding="utf-8")
    return path
