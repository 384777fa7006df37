"""
The nftables statements for what a host lets in.

A rule is a mapping of `protocol` (tcp, udp or vrrp), `port` (a number or a range; VRRP has none), `sources` (addresses
and networks; none means everybody) and a name: `service` of the site's rules, `comment` of the user's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

_LAST_PORT = 65535
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?\Z")
# By number: a minimal system has no /etc/protocols, by which nft would know the name.
_VRRP = "meta l4proto 112"
_MAX_COMMENT_BYTES = 128
_BAD_COMMENT = re.compile(r'["\x00-\x1f\x7f]')


def _named(rule: Mapping[str, Any]) -> str:
    name = str(rule.get("service") or rule.get("comment") or "")
    if not name or _BAD_COMMENT.search(name) or len(name.encode()) > _MAX_COMMENT_BYTES:
        raise AnsibleFilterError(
            f"firewall_extra_rules: a rule has the comment {name!r}. Give it one of one line, without double quotes, "
            f"of {_MAX_COMMENT_BYTES} bytes at most."
        )
    return name


def _matched(rule: Mapping[str, Any], name: str) -> str:
    """Return what a rule's packets have in common besides their sources."""
    protocol, port = str(rule.get("protocol") or "tcp"), str(rule.get("port") or "")
    if protocol == "vrrp":
        return _VRRP
    if protocol not in ("tcp", "udp"):
        raise AnsibleFilterError(f"firewall_extra_rules: the protocol of {name!r} is {protocol!r}. Use tcp or udp.")
    match = _PORTS.match(port)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= _LAST_PORT:
        raise AnsibleFilterError(
            f"firewall_extra_rules, firewall_ssh_port: the port of {name!r} is {port!r}. Use a port between 1 and "
            f"{_LAST_PORT}, or a range such as 8000-8010."
        )
    return f"{protocol} dport {first}" if first == last else f"{protocol} dport {first}-{last}"


def _networks(sources: object, name: str) -> Iterator[Any]:
    for source in as_list(sources, f"firewall_extra_rules, firewall_ssh_sources: the sources of {name!r}"):
        try:
            yield ipaddress.ip_network(str(source), strict=False)
        except ValueError:
            raise AnsibleFilterError(
                f"firewall_extra_rules, firewall_ssh_sources: {source!r}, a source of {name!r}, is neither an address "
                "nor a network. Write it like 192.0.2.10, 192.0.2.0/24 or 2001:db8::/32."
            ) from None


def _origins(sources: object, name: str) -> Iterator[str]:
    """Yield the matches for the sources, one for each of IPv4 and IPv6; an empty one for everybody."""
    networks = list(_networks(sources, name))
    if not networks:
        yield ""
    for version, keyword in ((4, "ip"), (6, "ip6")):
        # nft refuses sets whose networks overlap.
        merged = list(ipaddress.collapse_addresses([network for network in networks if network.version == version]))
        if merged and merged[0].prefixlen == 0:
            yield f"meta nfproto ipv{version} "
        elif merged:
            written = [str(net.network_address if net.prefixlen == net.max_prefixlen else net) for net in merged]
            yield f"{keyword} saddr {{ {', '.join(written)} }} "


def firewall_statements(rules: object) -> list[str]:
    """
    Write rules as nftables statements, at most two for each: IPv4 and IPv6 are told apart.

    Example: `[{'service': 'redis', 'protocol': 'tcp', 'port': 6379, 'sources': ['10.0.0.2']}] | firewall_statements`
    gives `['ip saddr { 10.0.0.2 } tcp dport 6379 accept comment "redis"']`. Raises AnsibleFilterError on a protocol,
    port, source or comment that nft would not take.
    """
    written: list[str] = []
    for entry in as_list(rules, "firewall_statements: the rules"):
        rule = as_mapping(entry, "firewall_statements: each of the rules")
        name = _named(rule)
        match = _matched(rule, name)
        written += [f'{origin}{match} accept comment "{name}"' for origin in _origins(rule.get("sources") or [], name)]
    return written


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


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"firewall_ports": firewall_ports, "firewall_statements": firewall_statements}
