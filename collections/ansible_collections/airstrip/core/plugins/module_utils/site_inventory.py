"""A site from what an inventory gives: values of the declared variables, and facts of the hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_model import LOOPBACK, Host, Site
from ansible_collections.airstrip.core.plugins.module_utils.site_names import NAMES
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import Variable, VariableError, shown

# What of a host's facts concerns other hosts: addresses, names, and what the slots of workers are worked out from.
FACTS = (*NAMES, "memtotal_mb", "processor_vcpus", "default_ipv4", "default_ipv6", "networks")


def networks(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the IPv4 networks of a host, that of the default route first.

    Each has `interface`, `address`, `network` and `macaddress`.
    """
    default, found = facts.get("default_ipv4") or {}, []
    names = [str(name) for name in facts.get("interfaces") or []]
    for name in sorted(names, key=lambda name: (name != default.get("interface"), name)):
        # Facts have no hyphen in their names.
        entry = facts.get(name.replace("-", "_")) or {}
        for ipv4 in (entry.get("ipv4"), *(entry.get("ipv4_secondaries") or [])):
            if isinstance(ipv4, Mapping) and {"network", "netmask"} <= {*ipv4}:
                network, address = f"{ipv4['network']}/{ipv4['netmask']}", str(ipv4.get("address", ""))
                macaddress = str(entry.get("macaddress", ""))
                found.append({"interface": name, "address": address, "network": network, "macaddress": macaddress})
    return found


@dataclass(frozen=True)
class Unknown:
    """A value that could not be worked out, and why: for a host without facts, maybe."""

    reason: str


@dataclass
class Inventory:
    """What is given.

    hosts   those of the site, in the inventory's order
    groups  hosts by group, likewise
    given   by host, the values that the inventory sets for declared variables
    facts   by host, its facts: none of one that did not answer and is not known
    """

    hosts: Sequence[str]
    groups: Mapping[str, Sequence[str]]
    given: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Mapping[str, Any]]
    problems: list[str] = field(default_factory=list)

    def value(self, variable: Variable, host: str) -> Any:
        """Return what a host has for a variable, its default where that is no value of it; Unknown stays so."""
        found = self.given[host].get(variable.name)
        if found is None:
            return variable.default
        if isinstance(found, Unknown):
            return found
        try:
            return variable.read(found)
        except VariableError as error:
            self._add(str(error))
            return variable.default

    def _add(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def common(self, variable: Variable) -> Any:
        """Return what all hosts have for a variable; what could not be worked out for some does not count."""
        values = {host: self.value(variable, host) for host in self.hosts}
        known = {host: item for host, item in values.items() if not isinstance(item, Unknown)}
        if not known:
            self._add(f"{variable.name} cannot be worked out: {next(iter(values.values())).reason}")
            return variable.default
        first = next(iter(known))
        if other := next((host for host in known if known[host] != known[first]), None):
            one, two = shown(known[first]), shown(known[other])
            self._add(
                f"{variable.name} is {one} on {first} and {two} on {other}; it is the site's: set it once, in "
                "group_vars/all"
            )
        return known[first]

    def _own(self, variable: Variable, host: str) -> Any:
        found = self.value(variable, host)
        if isinstance(found, Unknown):
            self._add(f"{variable.name} of {host} cannot be worked out: {found.reason}")
            return variable.default
        return found

    def host(self, name: str, declared: Mapping[str, Variable]) -> Host:
        """Return a host, as it is known."""
        facts = self.facts.get(name, {})
        own = {variable.name: self._own(variable, name) for variable in declared.values() if variable.per_host}
        said = next(filter(None, (_address(facts.get(fact)) for fact in ("default_ipv4", "default_ipv6"))), "")
        alone = LOOPBACK if len(self.hosts) == 1 else ""
        address = own["site_host_address"] or said or alone
        if not address:
            self._add(f"{name} has no address. Correct its name or set site_host_address for it.")
        return Host(
            name=name,
            address=str(address or name),
            listen_address=str((said if own["site_host_address_translated"] else "") or address or name),
            names=tuple(str(facts[fact]) for fact in ("fqdn", "hostname") if facts.get(fact)),
            memory_mb=_number(facts.get("memtotal_mb")),
            cores=_number(facts.get("processor_vcpus")),
            networks=tuple(
                (str(row["network"]), str(row["interface"]))
                for row in facts.get("networks") or ()
                if isinstance(row, Mapping) and {"network", "interface"} <= {*row}
            ),
            has_address=bool(address),
            variables=own,
        )

    def site(self, registry: Mapping[str, Component], declared: Mapping[str, Variable]) -> Site:
        """Return the site; what is wrong with the values is in `problems`."""
        variables = {name: self.common(variable) for name, variable in declared.items() if not variable.per_host}
        if variables["site_tls_enabled"] is None:
            variables["site_tls_enabled"] = len(self.hosts) > 1
        hosts = {name: self.host(name, declared) for name in self.hosts}
        return Site(registry, self.groups, variables, hosts)


def _address(fact: Any) -> str:
    return str(fact.get("address") or "") if isinstance(fact, Mapping) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
