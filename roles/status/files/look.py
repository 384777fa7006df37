"""Print how the units of a host are, which release their processes run, and whether the host is drained, as JSON.

Arguments: the directory of the releases and of the link `current`, the file of a host that is drained, a URL that
answers as long as its server is well (or nothing), then units, by name or pattern. Runs on Python 3.7, and as root.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

# How long a server may take to answer, in seconds.
PATIENCE = 5
PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,NRestarts,MainPID,StateChangeTimestampMonotonic"


def read(path: str) -> str:
    """Return what is in a file; nothing if it is gone, or not for our eyes."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def release_of(process: str, directory: str) -> str:
    """Return the release whose Python a process runs; nothing if it runs none.

    By its libraries, since `current` may lead elsewhere by now, and processes rename themselves. One that has just
    begun has loaded none: it still has its command line.
    """
    for name in ("maps", "cmdline"):
        found = re.search(re.escape(directory) + r"/releases/([^/\s\0]+)/", read("/proc/" + process + "/" + name))
        if found:
            return found.group(1)
    return ""


def described(text: str, directory: str) -> dict[str, object]:
    """Return a unit from what `systemctl show` prints of it."""
    seen = dict(line.partition("=")[::2] for line in text.splitlines())
    changed = int(seen["StateChangeTimestampMonotonic"]) / 1e6
    age = time.monotonic() - changed
    return {
        "unit": seen["Id"],
        "active": seen["ActiveState"],
        "sub": seen["SubState"],
        "result": seen["Result"],
        "restarts": int(seen["NRestarts"]),
        "age": round(age, 1) if changed else None,
        # By the clock of the host, as its journal has it.
        "since": round(time.time() - age, 1) if changed else None,
        "release": release_of(seen["MainPID"], directory) if seen["MainPID"] != "0" else "",
        "loaded": seen["LoadState"] == "loaded",
    }


def units(names: list[str], directory: str) -> list[dict[str, object]]:
    """Return the units that are there, each once, sorted by name."""
    argv = ["systemctl", "show", "--property=" + PROPERTIES, "--", *names]
    shown = subprocess.run(argv, check=False, stdout=subprocess.PIPE, text=True)
    if shown.returncode:
        # It has said why.
        sys.exit(shown.returncode)
    described_units = [described(text, directory) for text in shown.stdout.split("\n\n") if text.strip()]
    found = {str(unit["unit"]): unit for unit in described_units}
    return [unit for _, unit in sorted(found.items()) if unit.pop("loaded")]


def drained(path: str) -> dict[str, str] | None:
    """Return since when and why a host is drained; None if it is not."""
    if not Path(path).exists():
        return None
    try:
        content = json.loads(read(path))
        return {key: str(content.get(key) or "") for key in ("since", "reason")}
    except (AttributeError, ValueError):
        return {"since": "", "reason": ""}


def seconds_to_answer(url: str) -> float | None:
    """Return how long a server took to answer; None if it did not, or with an error."""
    began = time.monotonic()
    # Whatever proxy the host has: this is the host itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE):
            return round(time.monotonic() - began, 3)
    except OSError:
        return None


def main() -> None:
    """Look, and print."""
    directory, drain_file, url = sys.argv[1:4]
    link = Path(directory, "current")
    seen = {
        "units": units(sys.argv[4:], directory),
        "current": link.resolve().name if link.exists() else "",
        "drained": drained(drain_file),
        "answers": [seconds_to_answer(url)] if url else [],
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
