"""What is wrong with the way on which people come to a site."""

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from edge import airflow_edge_problems

ADDRESSES = {"edge-1": "10.0.0.1", "edge-2": "10.0.0.2", "app": "10.0.0.3"}
MACS = {"edge-1": "02:42:00:00:00:01", "edge-2": "02:42:00:00:00:02"}
# What the load balancers see at the virtual address: one of them has it.
NEIGHBOURS = {"edge-1": MACS["edge-2"], "edge-2": ""}
PUBLIC = "8.8.8.8"


def problems(
    networks: dict[str, str] | None = None,
    addresses: dict[str, str] | None = None,
    neighbours: dict[str, str] | None = None,
    **variables: Any,
) -> list[str]:
    """Return what is wrong with a site, given the network of each load balancer; empty where it is not known."""
    edge = dict.fromkeys(MACS, "10.0.0.0/255.255.255.0") if networks is None else networks
    facts = {}
    for host, known in edge.items():
        rows = [{"interface": "eth0", "network": network, "macaddress": MACS[host]} for network in known.split()]
        facts[host] = {"networks": rows}
    site = {
        "placed": {"load_balancer": list(edge), "api_server": ["app"]},
        "hosts": {host: {"address": address} for host, address in (ADDRESSES | (addresses or {})).items()},
        "facts": facts,
        "vars": {"virtual_address": "10.0.0.100", "tls_enabled": True, "plain_http_allowed": False, **variables},
    }
    answers = {host: {"neighbour": mac} for host, mac in (NEIGHBOURS if neighbours is None else neighbours).items()}
    return airflow_edge_problems(site, answers)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"networks": {"edge-1": "192.168.7.0/24 10.0.0.0/24"}, "neighbours": {}},
        {"networks": {"edge-1": "10.0.0.0/24"}, "virtual_address": ""},
        {"networks": {}, "virtual_address": ""},
        # One that does not answer, of which the network is not known.
        {"networks": {"edge-1": "10.0.0.0/24", "edge-2": ""}, "neighbours": {"edge-1": ""}},
        {"tls_enabled": False},
        {"tls_enabled": False, "addresses": {"edge-1": PUBLIC}, "plain_http_allowed": True},
        # Nobody comes to it but the load balancers.
        {"tls_enabled": False, "addresses": {"app": PUBLIC}},
        {"virtual_address": "2001:db8::100", "networks": {"edge-1": "2001:db8::/64"}, "neighbours": {}},
    ],
)
def test_these_are_fine(given: dict[str, Any]) -> None:
    assert problems(**given) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"virtual_address": ""}, "site_virtual_address is empty, and edge-1 and edge-2 are load balancers"),
        ({"networks": {}}, "10.0.0.100, and no host is a load balancer"),
        ({"virtual_address": "edge"}, "is 'edge', which is no IP address"),
        (
            {"networks": {"edge-1": "10.0.1.0/24"}, "neighbours": {}},
            "10.0.0.100 is not in 10.0.1.0/24, the network of edge-1",
        ),
        ({"virtual_address": "10.0.0.3"}, "10.0.0.3 is the address of app"),
        ({"neighbours": {"edge-1": "02:42:00:00:00:99"}}, "hardware address 02:42:00:00:00:99"),
        ({"tls_enabled": False, "addresses": {"edge-2": PUBLIC}}, f"{PUBLIC} is a public address"),
        (
            {"networks": {}, "virtual_address": "", "tls_enabled": False, "addresses": {"app": PUBLIC}},
            f"{PUBLIC} is a public address",
        ),
    ],
)
def test_each_problem_names_variable_and_finding(given: dict[str, Any], message: str) -> None:
    (found,) = problems(**given)
    assert message in found


def test_other_shapes_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="airflow_edge_problems: the site must be a mapping"):
        airflow_edge_problems(None, {})
    with pytest.raises(AnsibleFilterError, match="airflow_edge_problems"):
        airflow_edge_problems({"placed": {}}, {})
    with pytest.raises(AnsibleFilterError, match=re.escape("10.0.0.0/99")):
        problems(networks={"edge-1": "10.0.0.0/99"})
