"""Print what a host says of itself and no Ansible fact does, as JSON: the Python, the clock and the free space.

Arguments: the controller's time in seconds since the epoch, then paths. Runs on any Python 3.
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


seen = {
    "python": ".".join(map(str, sys.version_info[:2])),
    "clock_offset": round(time.time() - float(sys.argv[1]), 3),
    "free_mb": {path: free_mb(path) for path in sys.argv[2:]},
}
print(json.dumps(seen))
