"""What a host lets in, and the statements of nftables for it."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from firewall import firewall_ports, firewall_statements
from hypothesis import given
from hypothesis import strategies as st


def _rule(service: str, port: int, *sources: str, protocol: str = "tcp") -> dict[str, Any]:
    return {"service": service, "protocol": protocol, "port": port, "sources": list(sources)}


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


def test_ports_are_those_to_which_only_some_may_connect() -> None:
    some = {"sources": ["10.0.0.2"]}
    rules: list[dict[str, Any]] = [
        {"service": "redis", "port": 6379, **some},
        {"service": "again", "port": "6379", **some},
        {"service": "https", "port": 443, "sources": []},
        {"comment": "range", "port": "8000-8010", **some},
        {"service": "vrrp", "protocol": "vrrp", **some},
        {"comment": "SSH", "port": "22", **some},
        {"service": "api", "port": 80, **some},
    ]
    assert firewall_ports(rules, 22) == [80, 6379]
    with pytest.raises(AnsibleFilterError, match="firewall_ports: the rules must be a list"):
        firewall_ports("redis", 22)
