"""Role preflight: it runs alone, passes on a site that works, and changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
import testinfra
from airstrip_site import Site

# What a run may have touched: files of the system and of Airflow that are newer than the marker.
NEWER = (
    "find $(ls -d /etc /usr/local /opt/airflow /var/lib/airflow/*/bundles /srv/airflow/dags /srv/airflow/plugins"
    " 2>/dev/null) -newer /run/airstrip-test-marker -type f"
)


@pytest.fixture(scope="module")
def recap(site: Site) -> dict[str, tuple[int, int]]:
    """The tasks that were ok, and changed, on each host in a run of the checks alone."""
    for name in site.hosts:
        testinfra.get_host(site.connection(name)).check_output("touch /run/airstrip-test-marker")
    result = site.command("ansible-playbook", "site.yml", "--tags", "validate")
    assert result.returncode == 0, result.stdout[-4000:]
    found = re.findall(r"^(\S+) +: ok=(\d+) +changed=(\d+) ", result.stdout, flags=re.MULTILINE)
    return {name: (int(ok), int(changed)) for name, ok, changed in found}


def test_checks_pass_and_report_no_change(recap: dict[str, tuple[int, int]], inventory_hostname: str) -> None:
    ok, changed = recap[inventory_hostname]
    assert ok >= 3
    assert changed == 0


@pytest.mark.usefixtures("recap")
def test_checks_leave_no_trace(host: Any) -> None:
    assert host.check_output(NEWER) == ""
