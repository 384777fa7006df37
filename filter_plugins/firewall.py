"""
The nftables statements for what a host lets in and out.

A rule is a mapping of `protocol` (tcp, udp or vrrp), `port` (a number or a range; VRRP has none), a name (`service` of
the site's rules, `comment` of the user's) and `sources`: addresses and networks; none means everybody. A rule for what
goes out has `destinations` instead, and one at least.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

_LAST_PORT = 65535
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?\Z")
# By number: a minimal system has no /etc/protocols, by which nft would know the name.
_VRRP = "meta l4proto 112"
_MAX_COMMENT_BYTES = 128
# Address and port of the client, then of the server (ssh(1), ENVIRONMENT).
_SSH_FIELDS = 4
_BAD_COMMENT = re.compile(r'["\x00-\x1f\x7f]')


@dataclass(frozen=True)
class _Direction:
    """What rules for one direction are called: the user's variables, the key of their peers, and nftables' word."""

    rules: str
    ports: str
    peers: str
    key: str
    match: str


_IN = _Direction(
    rules="firewall_extra_rules",
    ports="firewall_extra_rules, firewall_ssh_port",
    peers="firewall_extra_rules, firewall_ssh_sources",
    key="sources",
    match="saddr",
)
_OUT = _Direction(
    rules="firewall_egress_destinations",
    ports="firewall_egress_destinations",
    peers="firewall_egress_destinations, firewall_egress_resolvers",
    key="destinations",
    match="daddr",
)


def _named(rule: Mapping[str, Any], direction: _Direction) -> str:
    name = str(rule.get("service") or rule.get("comment") or "")
    if not name or _BAD_COMMENT.search(name) or len(name.encode()) > _MAX_COMMENT_BYTES:
        raise AnsibleFilterError(
            f"{direction.rules}: a rule has the comment {name!r}. Give it one of one line, without double quotes, "
            f"of {_MAX_COMMENT_BYTES} bytes at most."
        )
    return name


def _matched(rule: Mapping[str, Any], name: str, direction: _Direction) -> str:
    """Return what a rule's packets have in common besides their peers."""
    protocol, port = str(rule.get("protocol") or "tcp"), str(rule.get("port") or "")
    if protocol == "vrrp":
        return _VRRP
    if protocol not in ("tcp", "udp"):
        raise AnsibleFilterError(f"{direction.rules}: the protocol of {name!r} is {protocol!r}. Use tcp or udp.")
    if not (span := _span(port)):
        raise AnsibleFilterError(
            f"{direction.ports}: the port of {name!r} is {port!r}. Use a port between 1 and {_LAST_PORT}, or a range "
            "such as 8000-8010."
        )
    first, last = span
    return f"{protocol} dport {first}" if first == last else f"{protocol} dport {first}-{last}"


def _span(port: str) -> tuple[int, int] | None:
    """Return the first and the last of one port or of a range; None of what is neither."""
    match = _PORTS.match(port)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    return (first, last) if 1 <= first <= last <= _LAST_PORT else None


def _networks(rule: Mapping[str, Any], name: str, direction: _Direction) -> Iterator[Any]:
    given = as_list(rule.get(direction.key) or [], f"{direction.peers}: the {direction.key} of {name!r}")
    if direction is _OUT and not given:
        raise AnsibleFilterError(
            f"{direction.rules}: {name!r} has no destinations. Give it addresses and networks; 0.0.0.0/0 and ::/0 are "
            "everywhere."
        )
    for peer in given:
        try:
            yield ipaddress.ip_network(str(peer), strict=False)
        except ValueError:
            raise AnsibleFilterError(
                f"{direction.peers}: {peer!r}, a {direction.key.removesuffix('s')} of {name!r}, is neither an address "
                "nor a network. Write it like 192.0.2.10, 192.0.2.0/24 or 2001:db8::/32."
            ) from None


def _peers(networks: list[Any], direction: _Direction) -> Iterator[str]:
    """Yield the matches for the peers, one for each of IPv4 and IPv6; an empty one for everybody."""
    if not networks:
        yield ""
    for version, keyword in ((4, "ip"), (6, "ip6")):
        # nft refuses sets whose networks overlap.
        merged = list(ipaddress.collapse_addresses([network for network in networks if network.version == version]))
        if merged and merged[0].prefixlen == 0:
            yield f"meta nfproto ipv{version} "
        elif merged:
            written = [str(net.network_address if net.prefixlen == net.max_prefixlen else net) for net in merged]
            yield f"{keyword} {direction.match} {{ {', '.join(written)} }} "


def _statements(rule: Mapping[str, Any], direction: _Direction) -> list[str]:
    name = _named(rule, direction)
    match, networks = _matched(rule, name, direction), list(_networks(rule, name, direction))
    return [f'{peers}{match} accept comment "{name}"' for peers in _peers(networks, direction)]


def firewall_statements(rules: object) -> list[str]:
    """
    Write rules as nftables statements, at most two for each: IPv4 and IPv6 are told apart.

    Example: `[{'service': 'redis', 'protocol': 'tcp', 'port': 6379, 'sources': ['10.0.0.2']}] | firewall_statements`
    gives `['ip saddr { 10.0.0.2 } tcp dport 6379 accept comment "redis"']`. Raises AnsibleFilterError on a protocol,
    port, source or comment that nft would not take.
    """
    given = as_list(rules, "firewall_statements: the rules")
    listed = [as_mapping(rule, "firewall_statements: each of the rules") for rule in given]
    return [statement for rule in listed for statement in _statements(rule, _IN)]


def firewall_egress_statements(rules: object, resolvers: object = ()) -> list[str]:
    """
    Write rules for what goes out as nftables statements, as firewall_statements does with those for what comes in.

    Name servers are `resolvers`. Example: `[{'comment': 'S3', 'port': 443, 'destinations': ['192.0.2.0/24']}] |
    firewall_egress_statements` gives `['ip daddr { 192.0.2.0/24 } tcp dport 443 accept comment "S3"']`. Raises
    AnsibleFilterError on a protocol, port, destination or comment that nft would not take, and without destinations.
    """
    servers = [{"comment": "DNS", "port": 53, "destinations": resolvers}] if resolvers else []
    given = [rule | {"protocol": protocol} for rule in servers for protocol in ("udp", "tcp")]
    given += as_list(rules, "firewall_egress_destinations")
    listed = [as_mapping(rule, "firewall_egress_destinations: each of them") for rule in given]
    return [statement for rule in listed for statement in _statements(rule, _OUT)]


def firewall_ports(rules: object, ssh_port: object) -> list[int]:
    """
    List the ports to which only some may connect, without that of SSH; those of a range are left out.

    Example: `[{'service': 'redis', 'port': 6379, 'sources': ['10.0.0.2']}] | firewall_ports(22)` gives `[6379]`. Raises
    AnsibleFilterError if the rules are no list of mappings.
    """
    given = [
        as_mapping(rule, "firewall_ports: each of the rules") for rule in as_list(rules, "firewall_ports: the rules")
    ]
    ports = {str(rule.get("port") or "") for rule in given if rule.get("sources")}
    return sorted(int(port) for port in ports if port.isdecimal() and port != str(ssh_port))


def _lets_out(rule: Mapping[str, Any], way: Mapping[str, Any]) -> bool:
    """Tell whether a rule lets TCP out to a server. Where a name leads, nobody knows: any destination will do."""
    span, host = _span(str(rule.get("port") or "")), str(way["host"])
    if rule.get("protocol", "tcp") != "tcp" or not span or not span[0] <= int(way["port"]) <= span[1]:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    return any(address in network for network in _networks(rule, "", _OUT))


def _mounted(mounts: object) -> Iterator[dict[str, Any]]:
    """Yield the servers of the network file systems that are mounted, as Ansible's facts tell."""
    for mount in as_list(mounts, "firewall_egress_problems: mounts"):
        options = dict(option.partition("=")[::2] for option in str(mount.get("options")).split(","))
        if str(mount.get("fstype")) in ("nfs", "nfs4") and options.get("addr"):
            port = options.get("port") or "2049"
            yield {"variable": f"{mount.get('mount')}, which is mounted", "host": options["addr"], "port": int(port)}


def _controlled(connections: object, own: object) -> Iterator[dict[str, Any]]:
    """Yield where the controller connects by SSH, if it is on this host."""
    addresses = list(map(str, as_list(own, "firewall_egress_problems: addresses")))
    for connection in as_list(connections, "firewall_egress_problems: connections"):
        if len(connection) == _SSH_FIELDS and connection[0] in addresses and connection[2] not in addresses:
            yield {"variable": "SSH of this run", "host": connection[2], "port": int(connection[3])}


def firewall_egress_problems(destinations: object, facts: object) -> list[str]:
    """
    List what is wrong with the destinations that the user gives, and what of a host's ways out they leave closed.

    The facts are `resolvers` (addresses of name servers), `named`, servers of which only the name is known (`variable`,
    `host` and `port`), `mounts` and `addresses` of the host as Ansible's facts have them, and `connections`, by SSH, of
    all hosts. Example:
    `[] | firewall_egress_problems({'named': [{'variable': 'site_database_host', 'host': 'db', 'port': 5432}]})`.
    """
    given = as_mapping(facts, "firewall_egress_problems: the facts")
    problems: list[str] = []
    for rule in as_list(destinations, "firewall_egress_destinations"):
        try:
            _statements(as_mapping(rule, "firewall_egress_destinations: each of them"), _OUT)
        except AnsibleFilterError as error:
            problems.append(str(error))
    if problems:
        return problems
    listed = as_list(destinations, "firewall_egress_destinations")
    if not given.get("resolvers") and not any(_span(str(rule.get("port") or "")) == (53, 53) for rule in listed):
        problems.append(
            "firewall_egress_resolvers: of the name servers in /etc/resolv.conf, none is on another host. Set it to "
            "the addresses of those that the host's own asks."
        )
    ways = [
        *as_list(given.get("named") or [], "firewall_egress_problems: named"),
        *_mounted(given.get("mounts") or []),
        *_controlled(given.get("connections") or [], given.get("addresses") or []),
    ]
    return problems + [
        f"firewall_egress_destinations: nothing lets the host out to {way['host']}, port {way['port']} "
        f"({way['variable']}). Add its address or its network, with this port."
        for way in ways
        if not any(_lets_out(rule, way) for rule in listed)
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "firewall_egress_problems": firewall_egress_problems,
            "firewall_egress_statements": firewall_egress_statements,
            "firewall_ports": firewall_ports,
            "firewall_statements": firewall_statements,
        }
