"""Filter: the name that systemd demands of a mount's unit."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError


def systemd_mount_unit(path: str) -> str:
    r"""
    Return the name of the mount unit of an absolute path, as `systemd-escape --path --suffix=mount` does.

    Example: `'/var/log/air-flow' | systemd_mount_unit` is `var-log-air\x2dflow.mount`. Raises AnsibleFilterError if
    the path is not absolute, or is that of the root directory.
    """
    clean = posixpath.normpath(str(path)).strip("/")
    if not str(path).startswith("/") or not clean:
        raise AnsibleFilterError(f"systemd_mount_unit: needs an absolute path below /, found {path!r}")
    # systemd.unit(5), "String Escaping for Inclusion in Unit Names".
    escaped = re.sub(
        rb"^\.|[^A-Za-z0-9:_./]", lambda match: f"\\x{match[0][0]:02x}".encode(), clean.encode(), flags=re.DOTALL
    )
    return escaped.decode().replace("/", "-") + ".mount"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"systemd_mount_unit": systemd_mount_unit}
