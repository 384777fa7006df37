"""What a host lets in and out, and the statements of nftables for it."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from firewall import firewall_egress_problems, firewall_egress_statements, firewall_ports, firewall_statements
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


OUT: dict[str, Any] = {"comment": "S3", "port": 443, "destinations": ["192.0.2.0/24"]}


def test_what_goes_out_is_matched_by_where_it_goes() -> None:
    site = {"service": "redis", "protocol": "tcp", "port": 6379, "destinations": ["10.0.0.2"]}
    vrrp = {"service": "vrrp", "protocol": "vrrp", "port": 0, "destinations": ["10.0.0.3"]}
    mine = OUT | {"port": "9000-9010", "destinations": ["0.0.0.0/0", "2001:db8::1"]}
    assert firewall_egress_statements([site, vrrp, mine], ["10.0.0.53"]) == [
        'ip daddr { 10.0.0.53 } udp dport 53 accept comment "DNS"',
        'ip daddr { 10.0.0.53 } tcp dport 53 accept comment "DNS"',
        'ip daddr { 10.0.0.2 } tcp dport 6379 accept comment "redis"',
        'ip daddr { 10.0.0.3 } meta l4proto 112 accept comment "vrrp"',
        'meta nfproto ipv4 tcp dport 9000-9010 accept comment "S3"',
        'ip6 daddr { 2001:db8::1 } tcp dport 9000-9010 accept comment "S3"',
    ]
    assert firewall_egress_statements([]) == []


BAD_DESTINATIONS = [
    (OUT | {"destinations": ["s3.example.com"]}, "'s3.example.com', a destination of 'S3', is neither an address nor"),
    (OUT | {"destinations": []}, "'S3' has no destinations. Give it addresses and networks"),
    ({"comment": "S3", "port": 443}, "'S3' has no destinations"),
    (OUT | {"destinations": "192.0.2.1"}, "the destinations of 'S3' must be a list, found str"),
    (
        OUT | {"port": 65536},
        "firewall_egress_destinations: the port of 'S3' is '65536'. Use a port between 1 and 65535",
    ),
    (OUT | {"protocol": "icmp"}, "firewall_egress_destinations: the protocol of 'S3' is 'icmp'. Use tcp or udp"),
    (OUT | {"comment": ""}, "firewall_egress_destinations: a rule has the comment ''. Give it one"),
    ("192.0.2.1", "each of them must be a mapping, found str"),
]


@pytest.mark.parametrize(("rule", "message"), BAD_DESTINATIONS)
def test_a_destination_that_nft_would_not_take_is_an_error_and_a_problem(rule: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        firewall_egress_statements([rule])
    # All that are wrong are told at once, and of what is open nothing can be said.
    problems = firewall_egress_problems([rule, OUT, rule], {"named": [{"variable": "v", "host": "db", "port": 5432}]})
    assert len(problems) == 2
    assert message in problems[0]


def test_a_name_server_is_an_address() -> None:
    with pytest.raises(AnsibleFilterError, match="firewall_egress_resolvers: 'dns', a destination of 'DNS'"):
        firewall_egress_statements([], ["dns"])


NFS = {"fstype": "nfs4", "mount": "/srv/airflow", "options": "rw,vers=4.2,hard,addr=192.0.2.9"}
SSH = ["10.0.0.1", "50000", "192.0.2.7", "2222"]


@pytest.mark.parametrize(
    ("facts", "way"),
    [
        ({"named": [{"variable": "site_database_host", "host": "db", "port": 443}]}, ""),
        (
            {"named": [{"variable": "site_database_host", "host": "db", "port": 5432}]},
            "db, port 5432 (site_database_ho",
        ),
        ({"named": [{"variable": "v", "host": "192.0.2.3", "port": 3141}]}, "192.0.2.3, port 3141"),
        ({"named": [{"variable": "v", "host": "192.0.2.3", "port": 443}]}, ""),
        ({"named": [{"variable": "v", "host": "198.51.100.3", "port": 443}]}, "198.51.100.3, port 443"),
        ({"mounts": [NFS]}, "192.0.2.9, port 2049 (/srv/airflow, which is mounted)"),
        ({"mounts": [NFS | {"options": "addr=192.0.2.9,port=443"}]}, ""),
        ({"mounts": [{"fstype": "ext4", "mount": "/", "options": "rw"}]}, ""),
        ({"addresses": ["10.0.0.1"], "connections": [SSH, [], ["UNKNOWN"]]}, "192.0.2.7, port 2222 (SSH of this run)"),
        # To itself, and from elsewhere.
        ({"addresses": ["10.0.0.1", "192.0.2.7"], "connections": [SSH]}, ""),
        ({"addresses": ["10.0.0.2"], "connections": [SSH]}, ""),
    ],
)
def test_what_a_host_needs_and_nothing_opens_is_a_problem(facts: dict[str, Any], way: str) -> None:
    given = [OUT, OUT | {"protocol": "udp", "port": "1-65535"}]
    problems = firewall_egress_problems(given, facts | {"resolvers": ["10.0.0.53"]})
    assert [problem for problem in problems if way not in problem] == []
    assert len(problems) == bool(way)
    assert all("firewall_egress_destinations: nothing lets the host out to" in problem for problem in problems)


def test_a_host_that_is_kept_in_asks_name_servers() -> None:
    (problem,) = firewall_egress_problems([OUT], {"resolvers": []})
    assert "firewall_egress_resolvers: of the name servers in /etc/resolv.conf, none is on another host" in problem
    assert firewall_egress_problems([OUT | {"protocol": "udp", "port": 53}], {}) == []
    assert firewall_egress_problems([OUT], {"resolvers": ["10.0.0.53"]}) == []
