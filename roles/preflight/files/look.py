"""Print what a host says of itself and no Ansible fact does, as JSON: the Python, the clock and the free space.

Arguments: the controller's time in seconds since the epoch, then paths. Runs on any Python 3.
"""

import json
import os
import sys
import time


def free_mb(path: str) -> int:
    """Return the MB free on the file system of `path`, or of its nearest parent that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize // 2**20


seen = {
    "python": "%d.%d" % sys.version_info[:2],  # an f-string would be a syntax error where the message is due
    "clock_offset": round(time.time() - float(sys.argv[1]), 3),
    "free_mb": {path: free_mb(path) for path in sys.argv[2:]},
}
print(json.dumps(seen))
