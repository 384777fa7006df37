"""Filter: what is wrong with the way on which people come to a site. Its findings go to preflight_problems."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.addresses import ip
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

Facts = Mapping[str, Any]


def _placement(facts: Facts) -> Iterator[str]:
    balancers, virtual = facts["load_balancers"], facts["virtual_address"]
    if len(balancers) > 1 and not virtual:
        yield (
            f"site_virtual_address is empty, and {' and '.join(balancers)} are load balancers. Set it to a free "
            "address in their network, which moves to the one that lives, or keep one load balancer."
        )
    if virtual and not balancers:
        yield (
            f"site_virtual_address is {virtual}, and no host is a load balancer. Put two hosts into the inventory "
            "group load_balancer, or empty the variable."
        )


def _virtual_address(facts: Facts) -> Iterator[str]:
    virtual, balancers = facts["virtual_address"], facts["load_balancers"]
    if not virtual or not balancers:
        return
    address = ip(virtual)
    if address is None:
        yield f"site_virtual_address is {virtual!r}, which is no IP address. Set it to one."
        return
    for host, networks in balancers.items():
        # Of a host that does not answer they may not be known.
        if networks and not any(address in ipaddress.ip_network(network, strict=False) for network in networks):
            known = f"{networks[0]}, the network" if len(networks) == 1 else f"{', '.join(networks)}, the networks"
            yield (
                f"site_virtual_address: {virtual} is not in {known} of {host}. Set it to a free address in a network "
                "of all load balancers."
            )
    owners = [host for host, known in facts["addresses"].items() if ip(known) == address]
    found = [mac for mac in facts["neighbours"].values() if mac and mac not in facts["own_neighbours"]]
    if owners:
        yield f"site_virtual_address: {virtual} is the address of {owners[0]}. Set it to one that no host has."
    elif found:
        yield (
            f"site_virtual_address: {virtual} is taken: a host outside of the load balancers answers for it "
            f"(hardware address {found[0]}). Set it to a free address."
        )


def _plain(facts: Facts) -> Iterator[str]:
    if facts["tls"] or facts["plain_allowed"]:
        return
    reachable = [str(address) for address in facts["public"] if (found := ip(address)) and found.is_global]
    if reachable:
        yield (
            f"site_tls_enabled is false, and {reachable[0]} is a public address: passwords would cross the Internet "
            "in the clear. Set site_tls_enabled to true, or site_plain_http_allowed to true if that is meant."
        )


def _facts(site: Facts, answers: Facts) -> Facts:
    """Return what the checks need: each load balancer's networks and neighbour, the addresses, and the variables."""
    balancers, variables = list(site["placed"]["load_balancer"]), site["vars"]
    addresses = {host: entry["address"] for host, entry in site["hosts"].items()}
    networks = {host: site["facts"].get(host, {}).get("networks") or [] for host in balancers}
    return {
        "load_balancers": {host: [row["network"] for row in rows] for host, rows in networks.items()},
        "virtual_address": variables["virtual_address"],
        "addresses": addresses,
        "neighbours": {host: answers[host]["neighbour"] for host in balancers if host in answers},
        "own_neighbours": [row["macaddress"] for rows in networks.values() for row in rows],
        "public": [addresses[host] for host in balancers or site["placed"]["api_server"]],
        "tls": variables["tls_enabled"],
        "plain_allowed": variables["plain_http_allowed"],
    }


def airflow_edge_problems(site: object, answers: object) -> list[str]:
    """
    List what is wrong with load balancers, their virtual address, and plain HTTP; each message names the remedy.

    Example: `site | airflow_edge_problems({'edge-1': {'neighbour': ''}})`. The input is what the action site_model
    returns; `answers` has of each host that was asked the hardware address (`neighbour`) that it sees at the virtual
    address, empty for none. Raises AnsibleFilterError on missing facts and on a network that is none.
    """
    given, said = as_mapping(site, "airflow_edge_problems: the site"), as_mapping(answers, "airflow_edge_problems")
    try:
        facts = _facts(given, said)
        return [*_placement(facts), *_virtual_address(facts), *_plain(facts)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"airflow_edge_problems: {error!r}") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_edge_problems": airflow_edge_problems}
