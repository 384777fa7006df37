"""What is wrong with the file that pins what an app is built from: what is installed is no matter of luck."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# How uv and pip-compile say for which Python they have resolved.
_PYTHON = re.compile(r"^#.*(?:--python-version[ =]|--python[ =]|with Python )(?P<version>3\.\d+)", re.MULTILINE)
_PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?\s*==\s*[^\s;,]+(?:\s*;.*)?")
_HASH = re.compile(r"--hash[ =]sha256:[0-9a-f]{64}")
_OPTION = re.compile(r"-{1,2}[a-z]")
# Those that the npm of Debian 12 and 13 reads.
_LOCK_VERSIONS = (2, 3)
_AT_LEAST = re.compile(r"\^?(?:>=)?\s*v?(\d+)(?:\..*)?")


def python_lock_problems(text: str, python: str) -> Iterator[str]:
    """Yield what is wrong with a requirements.txt for a Python (major.minor)."""
    if (match := _PYTHON.search(text)) and match["version"] != python:
        yield (
            f"is made for Python {match['version']}, and the host has {python}. Make it again: uv pip compile "
            f"--generate-hashes --python-version {python}"
        )
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)(^|\s)#.*$", "", text))
    for line in filter(None, map(str.strip, joined.splitlines())):
        requirement = line.split(" --hash", 1)[0].strip()
        if _OPTION.match(requirement):
            yield f"has the option {requirement.split()[0]}. Take it out: it names packages and their hashes alone"
        elif not _PINNED.fullmatch(requirement):
            yield f"does not pin {requirement.split()[0]} with ==. Make it by uv pip compile --generate-hashes"
        elif not _HASH.search(line):
            yield f"has no hash of {requirement.split('==')[0].strip()}. Make it by uv pip compile --generate-hashes"


def nodejs_lock_problems(text: str, node: int) -> Iterator[str]:
    """Yield what is wrong with a package-lock.json for a Node.js (its major version)."""
    try:
        given = json.loads(text)
        packages = given["packages"]
    except (ValueError, KeyError, TypeError):
        yield "is no lock of npm. Make it by npm install --package-lock-only"
        return
    if given.get("lockfileVersion") not in _LOCK_VERSIONS:
        yield f"has the lockfileVersion {given.get('lockfileVersion')}. Make it again by npm 7 or later"
    for name, package in packages.items():
        # The first is the app itself; what lies in a directory of it is the app's, too.
        if name and not package.get("link") and name.startswith("node_modules/") and not package.get("integrity"):
            yield f"has no hash (integrity) of {name.removeprefix('node_modules/')}. Make it from a registry of npm"
        yield from _engine(name, package, node)


def _engine(name: str, package: Mapping[str, Any], node: int) -> Iterator[str]:
    engines = package.get("engines")
    wanted = engines.get("node", "") if isinstance(engines, Mapping) and not package.get("dev") else ""
    # Of several ranges, one has to hold; what is no simple bound, npm itself judges.
    bounds = [_AT_LEAST.fullmatch(part.strip()) for part in str(wanted).split("||")]
    least = [int(match[1]) for match in bounds if match]
    if least and len(least) == len(bounds) and node < min(least):
        what = name.removeprefix("node_modules/") or "the app"
        yield f"has {what}, which wants Node.js {wanted}, and the host's is {node}. Take an older version of it"
