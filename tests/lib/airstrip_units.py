"""systemd units of a host, as the tests of a site ask about them."""

from __future__ import annotations

import re
from typing import Any

_OF_SITE = (
    "'airflow-*.service' haproxy.service keepalived.service 'postgresql@*' redis-server.service valkey-server.service"
)


def units(host: Any, pattern: str = "airflow*") -> list[str]:
    """Return the names of the installed unit files of services that match `pattern`, sorted."""
    listed = host.check_output(
        f"find /etc/systemd/system -maxdepth 1 -type f -name '{pattern}.service' -printf '%f\\n'"
    )
    return sorted(listed.split())


def properties(host: Any, unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit as `systemctl show` prints them."""
    shown = host.check_output(f"systemctl show '{unit}' --property={','.join(names)}")
    return dict(line.split("=", 1) for line in shown.splitlines())


def exposure(host: Any, unit: str) -> float:
    """Return a unit's overall exposure level, 0 (least) to 10, from `systemd-analyze security`."""
    shown = host.check_output(f"systemd-analyze security --no-pager '{unit}'")
    found = re.search(r"Overall exposure level for .*: (\d+\.\d+) ", shown)
    if found is None:
        raise ValueError(f"systemd-analyze security tells no exposure of {unit}: {shown[-500:]}")
    return float(found[1])


def processes(host: Any, unit: str) -> list[int]:
    """Return the ids of all processes of a unit; none if it is stopped."""
    group = properties(host, unit, "ControlGroup")["ControlGroup"]
    if not group:
        return []
    listed = host.run(f"find '/sys/fs/cgroup{group}' -name cgroup.procs -exec cat {{}} +")
    return [int(process) for process in listed.stdout.split()]


def active(host: Any) -> list[str]:
    """Return the units of the site that run on a host."""
    command = f"systemctl list-units --plain --no-legend --state=active,activating,deactivating {_OF_SITE}"
    return [line.split()[0] for line in host.check_output(command).splitlines()]
