"""Miner: reads in each file what it is made of, and publishes that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from freshpoc_bus import FILES, MODELS, Bus
from freshpoc_service import serve

COMMENT = re.compile(r"\{#.*?#\}|--[^\n]*|/\*.*?\*/", re.DOTALL)
REFERENCE = re.compile(r"\bref\(\s*['\"]([^'\"]+)['\"]\s*\)")

bus = Bus("miner")


def mine(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file is: its name, which other ones it reads, and how many lines of data or code it has."""
    text = event["text"] if event["kind"] == "seed" else COMMENT.sub("", event["text"])
    lines = [line for line in text.splitlines() if line.strip()]
    return {
        **{key: event[key] for key in ("repo", "commit", "path", "kind")},
        "name": PurePosixPath(event["path"]).stem,
        "reads": sorted(set(REFERENCE.findall(text))) if event["kind"] == "model" else [],
        # The first line of a seed has the names of its columns.
        "lines": len(lines) - (event["kind"] == "seed"),
    }


def run(_: Mapping[str, str]) -> dict[str, int]:
    """Mine all files that have come."""
    events = bus.events(FILES)
    found = [mine(event) for _, event in events]
    bus.finish(FILES, [name for name, _ in events], MODELS, found)
    return {"files": len(events)}


if __name__ == "__main__":
    serve({"/run": run})
