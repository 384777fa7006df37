"""Filter: the sandbox that systemd puts around a unit of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

# Exposure 1.3 in `systemd-analyze security`. What is not in it, and why: docs/hardening.md.
_SANDBOX: Mapping[str, Any] = {
    "AmbientCapabilities": "",
    "CapabilityBoundingSet": "",
    "KeyringMode": "private",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateTmp": "yes",
    "PrivateUsers": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHome": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectSystem": "strict",
    "RemoveIPC": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": ("@system-service", "~@privileged @resources"),
    "UMask": "0077",
}


def systemd_sandbox(own: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the options of [Service] that confine a unit: those of all units, and `own` in place of them or beside them.

    An own option that is none is left out. Lists are written as one line for each value. Example: `{'ProtectClock':
    none, 'MemoryMax': '256M'} | systemd_sandbox` may set the clock, as far as its capabilities let it, and has a limit.
    Raises AnsibleFilterError if `own` is no mapping, or leaves out what no unit has by default.
    """
    if not isinstance(own, Mapping):
        raise AnsibleFilterError(f"systemd_sandbox: needs a mapping of options, found {type(own).__name__}")
    unknown = sorted(name for name, value in own.items() if value is None and name not in _SANDBOX)
    if unknown:
        raise AnsibleFilterError(f"systemd_sandbox: {', '.join(unknown)} cannot be left out: no unit has it by default")
    together = {**_SANDBOX, **own}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in sorted(together.items())
        if value is not None
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"systemd_sandbox": systemd_sandbox}
