"""Role keepalived: one address that survives its host. These tests stop things, and put them back."""

from __future__ import annotations

import time
from typing import Any

import pytest
import testinfra
from airstrip_edge import Probe, wait_for
from airstrip_site import Site
from airstrip_units import properties

DISTRIBUTED = pytest.mark.only_in("distributed")

# Silence of a host's network, from a process that outlives the connection which starts it.
OUTAGE = (
    "systemd-run --quiet --collect --unit airstrip-outage sh -c 'sleep 1;"
    ' device=$(ip -oneline address show to {address} | cut -d" " -f2); route=$(ip -4 route show default);'
    " ip link set $device down; sleep 10; ip link set $device up; ip -4 route replace $route'"
)


@pytest.fixture(name="balancers")
def fixture_balancers(site: Site) -> dict[str, Any]:
    return {name: testinfra.get_host(site.connection(name)) for name in site.group("load_balancer")}


def holders(site: Site, balancers: dict[str, Any]) -> list[str]:
    """Return the names of the load balancers that have the virtual address."""
    command = f"ip -brief address show to {site.virtual_address}"
    return [name for name, host in balancers.items() if host.check_output(command)]


def probe_of(site: Site) -> Probe:
    assert site.ca_certificate is not None
    return Probe(f"{site.edge_url}/api/v2/version", site.ca_certificate)


@DISTRIBUTED
def test_exactly_one_has_the_address(site: Site, balancers: dict[str, Any]) -> None:
    assert len(holders(site, balancers)) == 1


@DISTRIBUTED
def test_hosts_own_connections_come_from_their_own_address(host: Any, site: Site, inventory_hostname: str) -> None:
    route = host.check_output(f"ip route get {site.address(site.group('postgresql')[0])}")
    assert f"src {site.address(inventory_hostname)} " in route


@DISTRIBUTED
def test_check_runs_as_nobody_special(host: Any) -> None:
    assert host.run("su -s /bin/sh keepalived_script -c /usr/local/libexec/keepalived/check-haproxy").rc == 0
    file = host.file("/usr/local/libexec/keepalived/check-haproxy")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o755)
    journal = host.check_output("journalctl --unit keepalived --output cat")
    assert "SECURITY VIOLATION" not in journal
    assert "WARNING" not in journal


@DISTRIBUTED
def test_address_leaves_a_host_whose_haproxy_stops(site: Site, balancers: dict[str, Any]) -> None:
    (before,) = holders(site, balancers)
    with probe_of(site) as probe:
        time.sleep(2)
        balancers[before].check_output("systemctl stop haproxy")
        try:
            wait_for(lambda: holders(site, balancers) not in ([before], []), "another host has the address")
            (after,) = holders(site, balancers)
            time.sleep(3)
        finally:
            balancers[before].check_output("systemctl start haproxy")
        # It does not come back by itself.
        time.sleep(8)
        assert holders(site, balancers) == [after]
    print(f"HAProxy of the address's host stopped: {probe}")  # noqa: T201 - a figure for the report
    assert after != before
    assert probe.failed_seconds <= 3, probe.failures


@DISTRIBUTED
def test_address_leaves_a_host_that_falls_silent(site: Site, balancers: dict[str, Any]) -> None:
    (before,) = holders(site, balancers)
    (other,) = set(balancers) - {before}
    with probe_of(site) as probe:
        balancers[before].check_output(OUTAGE.format(address=site.address(before)))
        wait_for(lambda: holders(site, {other: balancers[other]}) == [other], "the other host has the address", 10)
        time.sleep(15)
    print(f"Host of the address silent: {probe}")  # noqa: T201 - a figure for the report
    wait_for(lambda: holders(site, balancers) == [other], "one host has the address")
    assert probe.failed_seconds <= 3, probe.failures
    for host in balancers.values():
        assert properties(host, "keepalived", "ActiveState") == {"ActiveState": "active"}


@pytest.mark.only_in("single_node", "single_node_bookworm", "local_executor")
def test_is_not_there_without_a_virtual_address(host: Any) -> None:
    assert not host.package("keepalived").is_installed
