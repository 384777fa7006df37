"""Print the releases of a host, the youngest first, and which of them are in use, as JSON.

In use is what the link `current` leads to, what a unit names, and what a process runs, whatever its unit says by now.
Argument: the directory of the releases and of the link. Runs on Python 3.7, and as root.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

UNITS = Path("/etc/systemd/system")


def read(path: Path) -> str:
    """Return what is in a file; nothing if it is gone meanwhile, or not for our eyes."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def texts(units: Path) -> Iterator[str]:
    """Yield what may name a release: units and their drop-ins, and what processes have loaded and were called by."""
    for pattern in ("*.service", "*.timer", "*.d/*.conf"):
        yield from map(read, units.glob(pattern))
    for pattern in ("maps", "cmdline"):
        yield from map(read, Path("/proc").glob("[0-9]*/" + pattern))


def releases(directory: Path) -> list[dict[str, object]]:
    """Return name and completeness of each release, the youngest first."""
    found = [path for path in directory.glob("releases/*") if path.is_dir() and not path.is_symlink()]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [{"name": path.name, "complete": (path / "complete").exists()} for path in found]


def used(directory: Path, units: Path) -> list[str]:
    """Return the names of the releases in use, whether or not they are there."""
    named = re.compile(re.escape(str(directory)) + r"/releases/([^/\s\0\"']+)")
    found = {name for text in texts(units) for name in named.findall(text)}
    link = directory / "current"
    return sorted(found | ({link.resolve().name} if link.is_symlink() else set()))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(json.dumps({"releases": releases(place), "used": used(place, UNITS)}))
