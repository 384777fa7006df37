"""Hosts with two networks: the site keeps to its own, though the default route goes by the other."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from airstrip_site import Site

pytestmark = pytest.mark.only_in("distributed")

# What is on the hosts of the site's, and of the services that it sets up.
WRITTEN = "/etc /opt/airflow/bin /usr/local /var/lib/airflow /var/lib/postgresql"


def interfaces(host: Any) -> dict[str, str]:
    """Return the interface of each IPv4 address of a host that others can reach."""
    shown = host.check_output("ip -4 -oneline address show scope global")
    return {address: device for device, address in re.findall(r"^\d+: (\S+) +inet ([0-9.]+)/", shown, re.MULTILINE)}


@pytest.fixture
def own(site: Site, inventory_hostname: str) -> str:
    """The host's address in the site's network."""
    return site.address(inventory_hostname)


@pytest.fixture
def others(host: Any, site: Site, own: str) -> list[str]:
    """The host's addresses in other networks: there is one, and the way to everybody else goes by it."""
    found = [address for address in interfaces(host) if address not in (own, site.virtual_address)]
    assert len(found) == 1
    device = interfaces(host)[found[0]]
    assert re.fullmatch(rf"default via \S+ dev {device} *", host.check_output("ip -4 route show default").strip())
    assert device != interfaces(host)[own]
    return found


def test_nothing_listens_in_another_network_alone(host: Any, others: list[str]) -> None:
    listeners = [line.split()[3] for line in host.check_output("ss -Htln").splitlines()]
    assert listeners
    assert not [listener for listener in listeners if listener.rpartition(":")[0] in others]


def test_database_and_broker_listen_in_the_sites_network_alone(host: Any, site: Site, own: str) -> None:
    listeners = {
        line.split()[3] for line in host.check_output("ss -Htln '( sport = :5432 or sport = :6379 )'").splitlines()
    }
    held = {listener for listener in listeners if not listener.startswith(("127.0.0.1:", "[::1]:"))}
    assert held == ({f"{own}:5432", f"{own}:6379"} if host.backend.hostname in site.group("postgresql") else set())


def test_no_file_of_the_site_names_another_network(host: Any, others: list[str]) -> None:
    network = ipaddress.ip_network(f"{others[0]}/24", strict=False)
    prefix = str(network.network_address).removesuffix("0")
    found = host.run(f"grep -rIlF --exclude-dir=log '{prefix}' {WRITTEN} 2>/dev/null").stdout.split()
    # Docker's, as cloud-init's on a VM.
    assert set(found) <= {"/etc/hosts"}
    block = host.check_output("sed '/BEGIN Airstrip/,/END Airstrip/!d' /etc/hosts")
    assert block
    assert prefix not in block
    assert prefix not in host.check_output("nft list table inet airstrip")


def test_the_virtual_address_is_in_the_sites_network(host: Any, site: Site, own: str) -> None:
    held = interfaces(host)
    assert held.get(site.virtual_address, held[own]) == held[own]
