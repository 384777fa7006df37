"""What a release of Airflow is built from, and what it is called."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?\Z", re.ASCII)
# Sorts a final release behind its pre-releases.
_FINAL = "z"
_DIGITS = 12
# The first version whose API servers can run on gunicorn.
_GUNICORN = (3, 2)

Version = tuple[int, int, int, str, int]


def parse_version(version: object) -> Version | None:
    """Return the parts of a version, which compare as versions do; None if it is none."""
    match = _VERSION.match(version) if isinstance(version, str) else None
    if match is None:
        return None
    major, minor, patch, stage, number = match.groups()
    return int(major), int(minor), int(patch), stage or _FINAL, int(number or 0)


def requirements(
    version: str, extras: Sequence[str], extra_packages: Sequence[str], providers: Mapping[str, Any]
) -> list[str]:
    """Return what is installed, as pip's requirements; `providers` are the packages of extras by the lock's version.

    They are named besides the extras: some extras drop theirs silently on some Pythons (fab of 3.1 on 3.13).
    """
    parsed, names = parse_version(version), sorted(map(str, extras))
    has_gunicorn = parsed is not None and parsed[:2] >= _GUNICORN
    return [
        f"apache-airflow[{','.join(names)}]=={version}",
        *([f"apache-airflow-core[gunicorn]=={version}"] if has_gunicorn else []),
        *(str(providers[name]) for name in names if name in providers),
        *map(str, extra_packages),
    ]


def release_name(version: str, *, constraints: str, lock: str, python: str, requirements: Sequence[str]) -> str:
    """Return the name of a release: the version and 12 hexadecimal digits over all that it is built from.

    `lock` is the text of the lock, which counts where there are no constraints. The digits are the start of the
    SHA-256 of canonical JSON. Raises ValueError for a malformed version.
    """
    if parse_version(version) is None:
        raise ValueError(f"site_airflow_version must look like 3.3.2, found '{version}'")
    # As lookups read files: without white space at the end.
    inputs = {
        "lock": constraints or hashlib.sha256(lock.rstrip().encode()).hexdigest(),
        "python": python,
        "requirements": list(requirements),
    }
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return f"{version}-{hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]}"
