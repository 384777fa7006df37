"""Action that works out a site: what stands where, and who talks to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site, SiteError
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import (
    Component,
    RegistryError,
    read_registry,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact

DOCUMENTATION = """
name: site_model
author: Airstrip
short_description: Work out what stands where in a site, and who talks to whom
description:
  - Reads the registry of components, the inventory's groups, and the variables of all hosts that the registry names,
    and returns the site. It connects to no host, and gives the same with and without C(--limit).
  - Fails if a host has no address, a port is none, or a variable of the whole site differs between hosts.
options:
  registry:
    description: Directory with the registry.
    type: path
    required: true
"""

EXAMPLES = """
- name: Work out the site
  site_model:
    registry: "{{ playbook_dir }}/../registry"
  run_once: true
  register: site
"""

RETURN = """
components:
  description: By name, C(hosts) and C(units).
  type: dict
  returned: always
connections:
  description: Every way from a component to a service.
  type: list
  elements: dict
  returned: always
public:
  description: What everybody may reach.
  type: list
  elements: dict
  returned: always
hosts:
  description: By name, what each host that runs something has to know.
  type: dict
  returned: always
"""

# What conditions of the registry ask for, beside the variables that it names.
_ALWAYS = ("airflow_executor", "airflow_tls_enabled")
_ADDRESS = "airflow_host_address"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads the variables of all hosts, and gives them to the model."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("registry",))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the site. Raises AnsibleActionFail for a registry or a site that cannot be."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False, "_ansible_verbose_override": True}
        _, options = self.validate_argument_spec({"registry": {"type": "path", "required": True}})
        given = task_vars or {}
        hostvars, groups = given["hostvars"], given["groups"]
        try:
            registry = read_registry(_entries(Path(options["registry"])))
            variables = _variables(registry, hostvars, groups["all"])
            addresses = {host: str(hostvars[host][_ADDRESS]) for host in groups["all"]}
            return result | fact(Site(registry, groups, variables, addresses))
        except (RegistryError, SiteError) as error:
            raise AnsibleActionFail(str(error)) from error


def _entries(directory: Path) -> dict[str, Any]:
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in directory.glob("*.yml")}


def _named(registry: Mapping[str, Component]) -> Iterator[str]:
    """Yield the names of the site's variables in the registry."""
    for component in registry.values():
        conditions = [component.when, *(part.when for part in component.services + component.needs)]
        yield from (service.port for service in component.services)
        yield from (when.set for when in conditions)
        yield from ("airflow_version" for when in conditions if when.airflow)


def _variables(registry: Mapping[str, Component], hostvars: Mapping[str, Any], hosts: list[str]) -> dict[str, Any]:
    """Return the site's variables; raise SiteError for one that is not the same on all hosts.

    By `hostvars` alone: what comes out of it is no template any more.
    """
    found = {}
    for name in sorted({*_named(registry), *_ALWAYS} - {""}):
        values = {host: hostvars[host][name] for host in hosts}
        first = values[hosts[0]]
        if other := next((host for host in hosts if values[host] != first), None):
            raise SiteError(
                f"{name} is {first!r} on {hosts[0]} and {values[other]!r} on {other}; it is the site's: set it once, "
                "in group_vars/all"
            )
        found[name] = first
    return found
