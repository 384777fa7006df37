"""What a host lets in, and the statements of nftables for it."""

from typing import Any

import pytest
from airstrip_topology import OPTIONS
from ansible.errors import AnsibleFilterError
from firewall import airflow_firewall_rules, firewall_statements
from hypothesis import given
from hypothesis import strategies as st
from topology import airflow_topology

ADDRESSES = {"data": "10.0.0.1", "control-1": "10.0.0.2", "control-2": "fd00::2", "worker": "10.0.0.11"}


def _connection(service: str, port: int, source: str, destination: str = "data") -> dict[str, Any]:
    local = source == destination
    return {
        "source": source,
        "source_address": "127.0.0.1" if local else ADDRESSES[source],
        "destination": destination,
        "destination_address": "127.0.0.1" if local else ADDRESSES[destination],
        "port": port,
        "service": service,
    }


def _public(service: str, port: int, destination: str) -> dict[str, Any]:
    return {
        "destination": destination,
        "destination_address": ADDRESSES[destination],
        "port": port,
        "service": service,
    }


TOPOLOGY: dict[str, Any] = {
    "connections": [
        _connection("redis", 6379, "worker"),
        _connection("postgresql", 5432, "control-2"),
        _connection("postgresql", 5432, "control-1"),
        _connection("postgresql", 5432, "control-1") | {"component": "scheduler"},
        _connection("postgresql", 5432, "data"),
        _connection("triggerer_logs", 8794, "control-1", "control-1"),
        _connection("api", 8080, "control-2", "control-1"),
        _connection("vrrp", 0, "control-2", "control-1"),
    ],
    "public": [_public("https", 443, "control-1"), _public("http", 80, "control-1")],
    "virtual_address": "10.0.0.100",
}


def _rule(service: str, port: int, *sources: str, protocol: str = "tcp") -> dict[str, Any]:
    return {"service": service, "protocol": protocol, "port": port, "sources": list(sources)}


@pytest.mark.parametrize(
    ("host", "rules"),
    [
        ("data", [_rule("postgresql", 5432, "10.0.0.2", "fd00::2"), _rule("redis", 6379, "10.0.0.11")]),
        (
            "control-1",
            [
                _rule("api", 8080, "fd00::2"),
                _rule("http", 80),
                _rule("https", 443),
                _rule("vrrp", 0, "fd00::2", protocol="vrrp"),
            ],
        ),
        ("control-2", []),
        ("elsewhere", []),
    ],
)
def test_a_host_lets_in_what_others_need_of_it(host: str, rules: list[dict[str, Any]]) -> None:
    assert airflow_firewall_rules(TOPOLOGY, host) == rules


def test_what_everybody_may_reach_names_no_sources() -> None:
    both = {"connections": [_connection("api", 8080, "worker", "control-1")], "public": []}
    assert airflow_firewall_rules(both, "control-1") == [_rule("api", 8080, "10.0.0.11")]
    both["public"] = [_public("api", 8080, "control-1")]
    assert airflow_firewall_rules(both, "control-1") == [_rule("api", 8080)]


@pytest.mark.parametrize("balancers", [[], ["control-1"], ["control-1", "control-2"]])
def test_rules_hold_exactly_the_connections_of_a_computed_topology(balancers: list[str]) -> None:
    control = ["control-1", "control-2"]
    hosts: dict[str, Any] = {"postgresql": ["data"], "redis": ["data"], "worker": ["worker"], "scheduler": control}
    hosts |= {"api_server": control, "triggerer": control, "dag_processor": control, "load_balancer": balancers}
    virtual = {"virtual_address": "10.0.0.100"} if len(balancers) > 1 else {}
    topology = airflow_topology(hosts, ADDRESSES, OPTIONS | virtual)
    found = {
        (source, host, rule["port"])
        for host in ADDRESSES
        for rule in airflow_firewall_rules(topology, host)
        for source in rule["sources"] or ["everybody"]
    }
    expected = {
        (ADDRESSES[row["source"]], row["destination"], row["port"])
        for row in topology["connections"]
        if row["source"] != row["destination"]
    }
    everybody = {(row["destination"], row["port"]) for row in topology["public"]}
    assert found == expected | {("everybody", *place) for place in everybody}


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ([], "airflow_firewall_rules: the topology must be a mapping, found list"),
        ({"public": []}, "airflow_firewall_rules: topology.connections must be a list, found NoneType"),
        ({"connections": []}, "airflow_firewall_rules: topology.public must be a list, found NoneType"),
        ({"connections": ["a"], "public": []}, "each of topology.connections must be a mapping, found str"),
        ({"connections": [{"destination": "a"}], "public": []}, "each of topology.connections needs 'source_address'"),
        ({"connections": [], "public": [{"destination": "a"}]}, "each of topology.public needs 'service'"),
    ],
)
def test_what_is_no_topology_is_an_error(topology: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_firewall_rules(topology, "a")


@pytest.mark.parametrize(
    ("rule", "statements"),
    [
        (_rule("https", 443), ['tcp dport 443 accept comment "https"']),
        (
            _rule("postgresql", 5432, "10.0.0.2", "10.0.0.3"),
            ['ip saddr { 10.0.0.2/31 } tcp dport 5432 accept comment "postgresql"'],
        ),
        (
            _rule("redis", 6379, "fd00::2", "10.0.0.2", "10.0.0.9"),
            [
                'ip saddr { 10.0.0.2, 10.0.0.9 } tcp dport 6379 accept comment "redis"',
                'ip6 saddr { fd00::2 } tcp dport 6379 accept comment "redis"',
            ],
        ),
        (
            _rule("vrrp", 0, "10.0.0.2", protocol="vrrp"),
            ['ip saddr { 10.0.0.2 } meta l4proto 112 accept comment "vrrp"'],
        ),
        ({"comment": "SSH", "port": 22}, ['tcp dport 22 accept comment "SSH"']),
        (
            {"comment": "overlap", "port": "22", "sources": ["10.0.0.0/8", "10.1.2.3/24", "10.1.2.3"]},
            ['ip saddr { 10.0.0.0/8 } tcp dport 22 accept comment "overlap"'],
        ),
        (
            {"comment": "everything", "port": 22, "sources": ["0.0.0.0/0", "10.0.0.1", "::/0"]},
            [
                'meta nfproto ipv4 tcp dport 22 accept comment "everything"',
                'meta nfproto ipv6 tcp dport 22 accept comment "everything"',
            ],
        ),
        (
            {"comment": "media", "port": "5000-5010", "protocol": "udp", "sources": None},
            ['udp dport 5000-5010 accept comment "media"'],
        ),
        ({"comment": "one", "port": "80-80"}, ['tcp dport 80 accept comment "one"']),
    ],
)
def test_rules_become_statements(rule: dict[str, Any], statements: list[str]) -> None:
    assert firewall_statements([rule]) == statements


def test_statements_are_in_the_order_of_the_rules() -> None:
    assert firewall_statements([_rule("b", 2), _rule("a", 1)]) == [
        'tcp dport 2 accept comment "b"',
        'tcp dport 1 accept comment "a"',
    ]


RULE: dict[str, Any] = {"comment": "mine", "port": 9100, "sources": []}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "firewall_statements: the rules must be a list, found dict"),
        (["a"], "each of the rules must be a mapping, found str"),
        ([RULE | {"protocol": "icmp"}], "the protocol of 'mine' is 'icmp'. Use tcp or udp."),
        ([RULE | {"port": 0}], "firewall_extra_rules, firewall_ssh_port: the port of 'mine' is ''. Use a port"),
        ([RULE | {"port": 65536}], "the port of 'mine' is '65536'. Use a port between 1 and 65535"),
        ([RULE | {"port": "20-10"}], "the port of 'mine' is '20-10'"),
        ([RULE | {"port": "ssh"}], "the port of 'mine' is 'ssh'"),
        ([RULE | {"port": "1,2"}], "the port of 'mine' is '1,2'"),
        ([RULE | {"sources": "10.0.0.1"}], "the sources of 'mine' must be a list, found str"),
        ([RULE | {"sources": ["office"]}], "'office', a source of 'mine', is neither an address nor a network"),
        ([RULE | {"sources": ["10.0.0.0/33"]}], "'10.0.0.0/33', a source of 'mine'"),
        ([{"port": 1}], "a rule has the comment ''. Give it one"),
        ([RULE | {"comment": 'a"b'}], "a rule has the comment 'a\"b'"),
        ([RULE | {"comment": "a\nb"}], "a rule has the comment"),
        ([RULE | {"comment": "x" * 129}], "of 128 bytes at most"),
    ],
)
def test_what_nft_would_not_take_is_an_error(rules: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        firewall_statements(rules)


@given(st.text(max_size=20), st.text(max_size=12), st.lists(st.text(max_size=12), max_size=3))
def test_nothing_of_a_users_rule_leaves_its_place(comment: str, port: str, sources: list[str]) -> None:
    try:
        statements = firewall_statements([{"comment": comment, "port": port, "sources": sources}])
    except AnsibleFilterError:
        return
    for statement in statements:
        assert statement.count('"') == 2
        assert "\n" not in statement
        assert statement.endswith(f'accept comment "{comment}"')
        assert "tcp dport " in statement
