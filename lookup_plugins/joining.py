"""Lookup of the hosts of a play that is about hosts which join or leave a site, and about those whom they concern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.airstrip.core.plugins.module_utils.site_hosts import site_hosts
from ansible_collections.airstrip.core.plugins.module_utils.site_neighbours import neighbours
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import RegistryError
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_directory

DOCUMENTATION = """
name: joining
author: Airstrip
short_description: The hosts that --limit names, and those whom they concern
description:
  - For the playbooks C(join.yml) and C(retire.yml), whose C(--limit) names the hosts that join or leave. Access lists
    and firewalls of a few others have to follow, which the limit would leave out of each play.
  - So it sets for which hosts its play and those after it run, until it is asked again. It is to stand in the keyword
    C(hosts) of a play, which Ansible works out on the controller, before it asks the limit for the play's hosts.
  - Without C(--limit), and in a playbook's first play, it returns all hosts, and limits nothing.
options:
  _terms:
    description:
      - V(named), the hosts of C(--limit); V(neighbours), those whom they concern; or V(both).
    required: true
"""

EXAMPLES = """
- name: Let the new hosts in
  hosts: "{{ lookup('joining', 'neighbours') }}"
"""

RETURN = """
_raw:
  description: A list of hosts, in the inventory's order.
  type: list
  elements: list
"""

_TERMS = ("named", "neighbours", "both")
# Where the limit that was given is kept.
_GIVEN = "_airstrip_given_limit"


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup V(joining)."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[list[str]]:  # noqa: ARG002 - as Ansible calls it
        """Return the hosts of one term. Raises AnsibleLookupError for another one, or a registry without a meaning."""
        given = variables or {}
        if len(terms) != 1 or terms[0] not in _TERMS:
            raise AnsibleLookupError(f"joining: {', '.join(map(str, terms))!r} is none of {', '.join(_TERMS)}")
        try:
            registry, _ = read_directory(Path(__file__).resolve().parents[1] / "registry")
        except RegistryError as error:
            raise AnsibleLookupError(str(error)) from error
        groups = given["groups"]
        # Before there was a play, Ansible has no variables of hosts; it asks once when it reads the playbook.
        if not given.get("ansible_limit") or "hostvars" not in given:
            return [site_hosts(registry, groups)]
        # Nothing public leads from a lookup to the inventory.
        inventory = given["hostvars"]._inventory
        if not hasattr(inventory, _GIVEN):
            setattr(inventory, _GIVEN, [host.name for host in inventory.get_hosts("all")])
        named = [host for host in site_hosts(registry, groups) if host in getattr(inventory, _GIVEN)]
        others = neighbours(registry, groups, named)
        chosen = {"named": named, "neighbours": others, "both": [*named, *others]}[terms[0]]
        # An empty limit would be none.
        inventory.subset(",".join(chosen) or "!all")
        return [chosen]
