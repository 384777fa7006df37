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


# A host that nobody reaches: the addresses are for documentation (RFC 5737).
OTHERS = "all: {children: {webservers: {hosts: {web-1: {ansible_host: 192.0.2.1}}}}}\n"


@pytest.fixture(scope="module")
def recap(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """The tasks that were ok, and changed, on each host in a run of the checks alone.

    The inventory has a host more, which is none of the site's.
    """
    others = tmp_path_factory.mktemp("others") / "others.yml"
    others.write_text(OTHERS, encoding="utf-8")
    for name in site.hosts:
        testinfra.get_host(site.connection(name)).check_output("touch /run/airstrip-test-marker")
    result = site.command("ansible-playbook", "site.yml", "--tags", "validate", f"--inventory={others}")
    assert result.returncode == 0, result.stdout[-4000:]
    found = re.findall(r"^(\S+) +: ok=(\d+) +changed=(\d+) ", result.stdout, flags=re.MULTILINE)
    return {name: (int(ok), int(changed)) for name, ok, changed in found}


def test_checks_pass_and_report_no_change(recap: dict[str, tuple[int, int]], inventory_hostname: str) -> None:
    ok, changed = recap[inventory_hostname]
    assert ok >= 3
    assert changed == 0


@pytest.mark.only_in("local_executor")
def test_hosts_that_are_none_of_the_sites_are_left_alone(recap: dict[str, tuple[int, int]], site: Site) -> None:
    assert {*recap} == {*site.hosts}


@pytest.mark.usefixtures("recap")
def test_checks_leave_no_trace(host: Any) -> None:
    assert host.check_output(NEWER) == ""
