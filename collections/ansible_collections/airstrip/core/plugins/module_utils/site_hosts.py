"""Which hosts of an inventory are the site's: the others are left alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches

from ansible_collections.airstrip.core.plugins.module_utils.site_registry import SITE, Component

# Groups besides those of the components: hosts of Airflow, and hosts from which a run removes what the site had there.
AIRFLOW, RETIRED = "airflow", "retired"

Groups = Mapping[str, Sequence[str]]


def site_hosts(registry: Mapping[str, Component], groups: Groups) -> list[str]:
    """Return the hosts of the site's groups, in the inventory's order: of an inventory without them, all hosts."""
    names = {AIRFLOW, RETIRED, *(entry.group for entry in registry.values())}
    placed = {host for name in names for host in groups.get(name, ())}
    return [str(host) for host in groups["all"] if host in placed or not placed]


def members(entry: Component, registry: Mapping[str, Component], groups: Groups) -> list[str]:
    """Return the hosts of a component, each once: those of its group, or of the components that it stands beside."""
    if entry.wanted_by and not members(registry[entry.wanted_by], registry, groups):
        return []
    if entry.group:
        return list(dict.fromkeys(map(str, groups.get(entry.group, ()))))
    if SITE in entry.beside:
        return [host for host in site_hosts(registry, groups) if host not in groups.get(RETIRED, ())]
    near = {host for name in entry.beside for host in members(registry[name], registry, groups)}
    return [str(host) for host in groups["all"] if host in near]


def group_problems(registry: Mapping[str, Component], groups: Groups, hosts: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the groups: names that look like one of the site's, and hosts retired and in use."""
    own = {entry.group for entry in registry.values()} - {""} | {AIRFLOW, RETIRED}
    for name in sorted({*groups} - own):
        near = get_close_matches(name, own, n=1, cutoff=0.85)
        if near and (alone := [str(host) for host in groups[name] if host not in hosts]):
            yield (
                f"The inventory group {name} is none of the site's, so nothing would be installed on "
                f"{', '.join(alone)}. Did you mean {near[0]}? If not, give that group another name."
            )
    for host in groups.get(RETIRED, ()):
        if inside := sorted(name for name in own - {RETIRED} if host in groups.get(name, ())):
            yield f"{host} is in the group {RETIRED} and in {' and '.join(inside)}. Take it out of one or the other."
