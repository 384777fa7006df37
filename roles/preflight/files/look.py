"""Print what a host says of itself and no Ansible fact does, as JSON: Python, clock, release of Airflow, free space.

Arguments: the controller's time in seconds since the epoch, the link to the release, then paths. Runs on any Python 3.
"""

import json
import os
import sys
import time
from pathlib import Path


def free_mb(path: str) -> int:
    """Return the MB free on the file system of `path`, or of its nearest parent that exists."""
    present = Path(path)
    while not present.exists():
        present = present.parent
    status = os.statvfs(present)
    return status.f_bavail * status.f_frsize // 2**20


def target(link: str) -> str:
    """Return where a link leads, whether or not there is something; nothing if there is no link."""
    return os.readlink(link) if Path(link).is_symlink() else ""  # noqa: PTH115 Path.readlink is new in Python 3.9


seen = {
    "python": ".".join(map(str, sys.version_info[:2])),
    "clock_offset": round(time.time() - float(sys.argv[1]), 3),
    "release": target(sys.argv[2]),
    "free_mb": {path: free_mb(path) for path in sys.argv[3:]},
}
print(json.dumps(seen))
