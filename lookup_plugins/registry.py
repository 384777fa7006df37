"""Lookup of what the registry adds to the plays, which no playbook names, and of the site's hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.airstrip.core.plugins.module_utils.site_hosts import site_hosts
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import added, hosts_of, users
from ansible_collections.airstrip.core.plugins.module_utils.site_neighbours import is_server
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import STAGES, Component, RegistryError
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_directory

DOCUMENTATION = """
name: registry
author: Airstrip
short_description: The site's hosts, and hosts and roles of the components that no playbook names
description:
  - For the keywords of a play, which Ansible works out before there is a host. Once a play has made C(site), hosts are
    those on which the components are placed. Before, as where plays are only listed, conditions of the registry are not
    known, so hosts may turn out to have nothing to do.
options:
  _terms:
    description:
      - What is wanted of the components, V(hosts) on which they are placed or their V(roles); or V(users), the hosts of
        all of them and of what needs them. V(site) are the hosts of the site's groups; others of an inventory are
        left alone. V(servers) are the components whose hosts leave a site by a run for all of it.
    required: true
  stage:
    description: Those whose roles are applied then alone.
    type: str
    choices: [before_airflow, after_airflow]
"""

EXAMPLES = """
- name: Provide what is needed before Airflow
  hosts: "{{ lookup('registry', 'hosts', stage='before_airflow') }}"
"""

RETURN = """
_raw:
  description: For each term a list, of hosts in the inventory's order, or of roles in that in which they are applied.
  type: list
  elements: list
"""


def _placed(components: Sequence[Component], given: Mapping[str, Any], hosts: list[str]) -> list[str]:
    """Return those of the hosts on which a component is placed; all of them, if there is no `site` yet."""
    # Where plays are only listed, there are no variables of hosts.
    for host in hosts if "hostvars" in given else ():
        # Raw, since it is a fact: to look for templates in all of it takes longer than the play.
        known = given["hostvars"].raw_get(host)
        if "site" in known:
            placed = {name for entry in components for name in known["site"]["placed"].get(entry.name, ())}
            return [name for name in hosts if name in placed]
    return hosts


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup V(registry)."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[list[str]]:
        """Return hosts or roles. Raises AnsibleLookupError for another term, or a registry that has no meaning."""
        given = variables or {}
        self.set_options(var_options=given, direct=kwargs)
        try:
            registry, _ = read_directory(Path(__file__).resolve().parents[1] / "registry")
        except RegistryError as error:
            raise AnsibleLookupError(str(error)) from error
        stage = self.get_option("stage")
        own = added(registry, *([stage] if stage else STAGES))
        using = users(registry, given["groups"])
        found = {
            "hosts": _placed(own, given, hosts_of(own, registry, given["groups"])),
            "roles": list(dict.fromkeys(entry.role for entry in own)),
            "users": _placed(using, given, hosts_of(using, registry, given["groups"])),
            "site": site_hosts(registry, given["groups"]),
            "servers": [entry.name for entry in registry.values() if is_server(entry)],
        }
        if unknown := [term for term in terms if term not in found]:
            raise AnsibleLookupError(f"registry: {unknown[0]!r} is none of {', '.join(found)}")
        return [found[term] for term in terms]
