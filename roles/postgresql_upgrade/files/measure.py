"""Print what decides whether the data of a cluster that runs fit into a new one, as JSON.

Arguments: the versions of the old cluster and of the new one. Runs as the server's administrator.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

old, new = sys.argv[1:3]


def query(sql: str, database: str = "postgres") -> list[str]:
    """Return the lines of a query's answer."""
    argv = ["psql", f"--cluster={old}/main", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout.splitlines()


databases = query("SELECT datname FROM pg_database WHERE datallowconn")
status = os.statvfs(f"/var/lib/postgresql/{new}")
control_files = Path(f"/usr/share/postgresql/{new}/extension").glob("*.control")
print(
    json.dumps(
        {
            "size_mb": int(query("SELECT sum(pg_database_size(oid)) / 1048576 FROM pg_database")[0].partition(".")[0]),
            "free_mb": status.f_bavail * status.f_frsize // 2**20,
            "tablespaces": query(r"SELECT spcname FROM pg_tablespace WHERE spcname !~ '^pg_'"),
            "extensions": {name: query("SELECT extname FROM pg_extension", name) for name in databases},
            "available": sorted(path.stem for path in control_files),
        }
    )
)
