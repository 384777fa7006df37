"""What is wrong with the way on which people come to a site."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from edge import airflow_edge_problems

FACTS: dict[str, Any] = {
    "load_balancers": {"edge-1": "10.0.0.1/24", "edge-2": "10.0.0.2/24"},
    "virtual_address": "10.0.0.100",
    "addresses": {"edge-1": "10.0.0.1", "edge-2": "10.0.0.2", "worker": "10.0.0.3"},
    "neighbours": {"edge-1": "02:42:00:00:00:02", "edge-2": ""},
    "own_neighbours": ["02:42:00:00:00:01", "02:42:00:00:00:02"],
    "public": ["10.0.0.1", "10.0.0.2"],
    "tls": True,
    "plain_allowed": False,
}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"load_balancers": {"edge-1": "10.0.0.1/24"}, "virtual_address": ""},
        {"load_balancers": {}, "virtual_address": ""},
        # One that does not answer, of which the network is not known.
        {"load_balancers": {"edge-1": "10.0.0.1/24", "edge-2": "/"}},
        {"tls": False},
        {"tls": False, "public": ["8.8.8.8"], "plain_allowed": True},
        {"virtual_address": "2001:db8::100", "load_balancers": {"edge-1": "2001:db8::1/64"}},
    ],
)
def test_these_are_fine(facts: dict[str, Any]) -> None:
    assert airflow_edge_problems(FACTS | facts) == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"virtual_address": ""}, "site_virtual_address is empty, and edge-1 and edge-2 are load balancers"),
        ({"load_balancers": {}}, "10.0.0.100, and no host is a load balancer"),
        ({"virtual_address": "edge"}, "is 'edge', which is no IP address"),
        ({"load_balancers": {"edge-1": "10.0.1.1/24"}}, "10.0.0.100 is not in 10.0.1.1/24, the network of edge-1"),
        ({"virtual_address": "10.0.0.3"}, "10.0.0.3 is the address of worker"),
        ({"neighbours": {"edge-1": "02:42:00:00:00:99"}}, "is taken: .*hardware address 02:42:00:00:00:99"),
        ({"tls": False, "public": ["10.0.0.1", "8.8.8.8"]}, "8.8.8.8 is a public address"),
    ],
)
def test_each_problem_names_variable_and_finding(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert airflow_edge_problems(FACTS | facts) == []
    assert len(airflow_edge_problems(FACTS | facts)) == 1


@pytest.mark.parametrize("facts", [None, {}, FACTS | {"other": 1}, FACTS | {"load_balancers": {"a": "10.0.0.0/99"}}])
def test_other_facts_are_refused(facts: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="airflow_edge_problems"):
        airflow_edge_problems(facts)
