"""Ingestion: fetches a repository of dbt, and publishes its models and seeds file by file."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from freshpoc_bus import FILES, Bus
from freshpoc_service import RefusedError, serve

LONGEST = 256 * 1024
SECONDS = 60
KINDS = {".sql": "model", ".csv": "seed"}
DIRECTORIES = {"models", "seeds", "data"}

bus = Bus("ingestion")


def _git(*arguments: str) -> str:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https", "GIT_CONFIG_NOSYSTEM": "1"}
    argv = ["git", *arguments]
    result = subprocess.run(argv, check=False, capture_output=True, env=environment, text=True, timeout=SECONDS)
    if result.returncode:
        raise OSError(result.stderr.strip().splitlines()[-1:])
    return result.stdout.strip()


def files(directory: Path) -> Iterator[dict[str, str]]:
    """Yield the models and seeds of a clone: `path`, `kind` and `text`."""
    for name in _git("-C", str(directory), "ls-files").splitlines():
        path = directory / name
        kind = KINDS.get(path.suffix)
        if not kind or name.split("/")[0] not in DIRECTORIES or path.is_symlink():
            continue
        if path.stat().st_size > LONGEST:
            raise RefusedError(f"{name} is larger than {LONGEST} bytes")
        yield {"path": name, "kind": kind, "text": path.read_text(encoding="utf-8")}


def trigger(query: Mapping[str, str]) -> dict[str, Any]:
    """Fetch `repo`, and publish what it has."""
    repo = query.get("repo", "")
    parts = urlsplit(repo)
    if parts.scheme != "https" or not parts.hostname or parts.password:
        raise RefusedError("repo has to be an https:// URL without a password in it")
    with tempfile.TemporaryDirectory() as place:
        _git("clone", "--quiet", "--depth", "1", "--", repo, place)
        commit = _git("-C", place, "rev-parse", "HEAD")
        events = [{"repo": repo, "commit": commit, **file} for file in files(Path(place))]
    if not events:
        raise RefusedError(f"{repo} has neither models nor seeds")
    bus.publish(FILES, events)
    return {"repo": repo, "commit": commit, "files": len(events)}


if __name__ == "__main__":
    serve({"/trigger": trigger})
