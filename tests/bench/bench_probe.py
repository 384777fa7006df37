"""Runs on a host: tells what the processes of systemd's units have used and hold.

Its argument is a JSON mapping of names to lists of units; it prints a JSON mapping of the names to processor seconds
since the units' start (`cpu`), memory in MB (`pss`: shared pages are divided among those that share them) and the
number of processes. The cgroups here have no memory controller, so memory is added up from the processes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def group(unit: str) -> Path | None:
    """Return the directory of a unit's cgroup; none if it does not run."""
    argv = ["systemctl", "show", "--property=ControlGroup", "--value", unit]
    name = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.strip()
    path = Path(f"/sys/fs/cgroup{name}")
    return path if name and path.is_dir() else None


def used(path: Path) -> float:
    """Return the processor seconds of a cgroup."""
    fields = dict(line.split() for line in (path / "cpu.stat").read_text(encoding="utf-8").splitlines())
    return int(fields["usage_usec"]) / 1e6


def memory(path: Path) -> list[float]:
    """Return the proportional memory of each process of a cgroup, in MB."""
    found = []
    for file in path.glob("**/cgroup.procs"):
        for process in file.read_text(encoding="utf-8").split():
            # One that has just ended is no part of it.
            with suppress(OSError):
                match = PSS.search(Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8"))
                found.append(int(match[1]) / 1024 if match else 0.0)
    return found


def main() -> None:
    """Print what all named units use."""
    found = {}
    for name, units in json.loads(sys.argv[1]).items():
        groups = [path for path in map(group, units) if path]
        held = [amount for path in groups for amount in memory(path)]
        found[name] = {"cpu": sum(map(used, groups)), "pss": sum(held), "processes": len(held)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
