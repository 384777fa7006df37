"""Print the clusters `main` of this host, and the marks that upgrades have left, as JSON.

Arguments: the directories of configuration, data and programs of all versions, then JSON to add to the answer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

configuration, data, programs = map(Path, sys.argv[1:4])


def start(directory: Path) -> str:
    """Return whether a cluster starts with the host, as Debian's generator of units reads it: comments do not count."""
    path = directory / "start.conf"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else ["auto"]
    return "".join(line.partition("#")[0].strip() for line in lines)


def clusters() -> dict[str, str]:
    """Return how each cluster starts, by version; without those whose programs are gone."""
    found = [path.parent for path in configuration.glob("*/main/postgresql.conf")]
    return {
        path.parent.name: start(path)
        for path in sorted(found)
        if (programs / path.parent.name / "bin" / "postgres").exists()
    }


def marks() -> dict[str, dict[str, object]]:
    """Return how far each upgrade has come, by the version that it leads to."""
    return {
        path.parent.name.rpartition("-")[2]: {
            "from": path.read_text(encoding="utf-8").strip(),
            "complete": (path.parent / "complete").exists(),
            "linked": (path.parent / "linked").exists(),
        }
        for path in sorted(data.glob("upgrade-to-*/begun"))
    }


print(json.dumps({"clusters": clusters(), "marks": marks(), **json.loads(sys.argv[4])}))
