#!/usr/bin/python
"""Module: whether a service runs with files that are older than those on the host."""

from __future__ import annotations

import glob
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: service_stale
short_description: Tell whether a service has not read its files since they changed
description:
  - Compares when files have changed with when systemd has started or reloaded a unit. A run that is killed between a
    file and its handler leaves such a service behind.
  - It changes nothing. RV(ignore:changed) says that the service is to read its files, so that the task can notify a
    handler.
  - A unit that does not run is not stale; it will read its files.
author: Airstrip
options:
  unit: {description: Name of the unit., type: str, required: true}
  paths: {description: "Files that it reads, or patterns of them.", type: list, elements: path, required: true}
attributes:
  check_mode: {support: full, description: It changes nothing.}
"""

EXAMPLES = r"""
- name: Look whether the load balancer has read its configuration
  service_stale:
    unit: haproxy.service
    paths: [/etc/haproxy/haproxy.cfg]
  notify: Reload HAProxy
"""

RETURN = r"""
newer: {description: The files that have changed since., type: list, elements: str, returned: success}
"""


def last_read(unit: str) -> float | None:
    """Return when a unit was started or reloaded last, in seconds since the epoch; None if it does not run."""
    # Of a reload, no other timestamp of systemd tells. The other clock would be in words, of whole seconds.
    argv = ["systemctl", "show", "--property=ActiveState,StateChangeTimestampMonotonic", "--", unit]
    result = subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = dict(line.split("=", 1) for line in result.stdout.splitlines())
    if found["ActiveState"] not in ("active", "reloading"):
        return None
    return time.time() - (time.monotonic() - int(found["StateChangeTimestampMonotonic"]) / 1e6)


def newer(paths: list[str], moment: float) -> list[str]:
    """Return those of some files, or patterns, that have changed since a moment."""
    present = sorted({path for pattern in paths for path in glob.glob(pattern)})  # noqa: PTH207 - they are absolute
    # Of contents, owner or mode; a file that was put in the place of another one is new.
    return [path for path in present if Path(path).stat().st_ctime > moment]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "paths": {"type": "list", "elements": "path", "required": True},
        },
        supports_check_mode=True,
    )
    moment = last_read(module.params["unit"])
    found = [] if moment is None else newer(module.params["paths"], moment)
    module.exit_json(changed=bool(found), newer=found)


if __name__ == "__main__":
    main()
