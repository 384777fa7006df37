"""Action that works out a site: what stands where, and who talks to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.airstrip.core.plugins.module_utils.site_checks import address_problems, problems
from ansible_collections.airstrip.core.plugins.module_utils.site_hosts import group_problems, site_hosts
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import wiring as wiring_of
from ansible_collections.airstrip.core.plugins.module_utils.site_inventory import (
    FACTS,
    Inventory,
    Unknown,
    networks,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_names import name_problems
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import (
    Component,
    RegistryError,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_renamed import RENAMED
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import (
    PREFIX,
    Variable,
    read_directory,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact

DOCUMENTATION = """
name: site_model
author: Airstrip
short_description: Work out what stands where in a site, and who talks to whom
description:
  - Reads the registry of components, the inventory's groups, and of all hosts of the site the variables that the
    registry declares and the facts, and returns the site. It connects to no host, and gives the same with and without
    C(--limit).
  - Hosts of the site are those of its groups; an inventory may have others.
  - It never fails for what is wrong with a site, but lists that in RV(problems), and goes on with defaults.
  - Fails for a registry that has no meaning.
options:
  registry:
    description: Directory with the registry.
    type: path
    required: true
  wiring:
    description: File of the inventory's own values for the inputs of roles. Others for the same names are refused.
    type: path
    required: true
  known_facts_file:
    description: JSON file with facts by host, for hosts that have told none in this run; it may be missing.
    type: path
    required: true
"""

EXAMPLES = """
- name: Work out the site
  site_model:
    registry: "{{ role_path }}/../../registry"
    wiring: "{{ role_path }}/../../inventory/wiring.yml"
    known_facts_file: "{{ inventory_dir }}/.facts.json"
  run_once: true
  register: site
"""

RETURN = """
vars:
  description: The site's variables by name, without C(site_).
  type: dict
  returned: always
components:
  description: By name, C(hosts), C(units) and C(tier).
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
  description: By name, what each host has to know.
  type: dict
  returned: always
facts:
  description: By host, those of its facts that concern other hosts; also of those that left the inventory.
  type: dict
  returned: always
departed:
  description: Hosts of an earlier run that are not in the inventory, or in no group of the site, any more.
  type: list
  elements: str
  returned: always
fixed:
  description: Values of the site's variables that cannot change after the installation.
  type: dict
  returned: always
silent:
  description: Hosts that have told no facts in this run.
  type: list
  elements: str
  returned: always
problems:
  description: What is wrong, one message each.
  type: list
  elements: str
  returned: always
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads the variables of all hosts, and gives them to the model."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("registry", "wiring", "known_facts_file"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the site. Raises AnsibleActionFail for a registry that has no meaning."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False, "_ansible_verbose_override": True}
        specs = {name: {"type": "path", "required": True} for name in self._VALID_ARGS}
        _, options = self.validate_argument_spec(specs)
        given = task_vars or {}
        try:
            registry, declared = read_directory(Path(options["registry"]).resolve())
        except RegistryError as error:
            raise AnsibleActionFail(str(error)) from error
        known = known_facts(Path(options["known_facts_file"]))
        hosts = site_hosts(registry, given["groups"])
        found = Found(given["hostvars"], hosts, declared, known)
        wiring = yaml.safe_load(Path(options["wiring"]).read_text(encoding="utf-8")) | wiring_of(registry, declared)
        return result | found.site(registry, given["groups"], wiring, options["known_facts_file"])


class Found:
    """What the variables of all hosts say.

    By `hostvars[host][name]` alone where a value counts: what comes out of that is no template any more.
    """

    def __init__(
        self, hostvars: Any, hosts: Sequence[str], declared: Mapping[str, Variable], known: Mapping[str, Any]
    ) -> None:
        self.declared, self.hosts, self.noted = declared, hosts, known
        self.raw = {host: hostvars.raw_get(host) for host in hosts}
        self.given, self.facts, self.known, self.silent = {}, {}, {}, []
        for host in hosts:
            values = hostvars[host]
            self.given[host] = {name: _value(values, name) for name in declared if name in self.raw[host]}
            own = self.given[host].get("site_known_facts")
            self.known[host] = own if own and isinstance(own, Mapping) else known.get(host, {})
            said = _value(values, "ansible_facts") if "ansible_facts" in self.raw[host] else {}
            if not isinstance(said, Mapping) or "hostname" not in said:
                self.silent.append(host)
            told = self.known[host] if host in self.silent else said
            more = {} if host in self.silent else {"networks": networks(told)}
            self.facts[host] = {name: told[name] for name in FACTS if name in told} | more

    def _overridden(self, host: str, name: str, wiring: Mapping[str, Any]) -> bool:
        return name in self.raw[host] and self.raw[host][name] != wiring.get(name)

    def misplaced(self, wiring: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with names: those that a variable of the site had, and inputs that follow from it."""
        for variable in self.declared.values():
            for name in (*variable.inputs, *variable.instead_of):
                if place := self._set_at(name, wiring):
                    yield f"{name} is set{place}, and its value is the site's: set {variable.name} in its place."

    def renamed(self, names: Mapping[str, str], wiring: Mapping[str, Any]) -> Iterator[str]:
        """Yield names that a role's input does not have any more."""
        for name, new in names.items():
            if place := self._set_at(name, wiring):
                yield f"{name} is set{place}, and is called {new} now: set that in its place."

    def _set_at(self, name: str, wiring: Mapping[str, Any]) -> str:
        """Return where a host's variable is set against the wiring, beginning with a space; nothing if none is."""
        host = next((host for host in self.hosts if self._overridden(host, name, wiring)), None)
        return "" if host is None else _place(self.raw[host][name]) or f" for {host}"

    def misspelt(self, wiring: Mapping[str, Any]) -> Iterator[str]:
        """Yield names that look like a variable of the site, and are none."""
        known = {*self.declared, *wiring, "site_known_facts_file"}
        names = {name for raw in self.raw.values() for name in raw if name.startswith(PREFIX)}
        for name in sorted(names - known):
            if near := get_close_matches(name, self.declared, n=1, cutoff=0.8):
                yield f"{name} is no variable of the site. Did you mean {near[0]}?"

    def unwired(self, wiring: Mapping[str, Any]) -> Iterator[str]:
        """Yield what to do where hosts lack what each inventory gives to roles: defaults would count without a word."""
        lacking = ((host, name) for host in self.hosts for name in wiring if name not in self.raw[host])
        for host, name in islice(lacking, 1):
            yield (
                f"{host} lacks variables that the project gives to roles, for example {name}. Use the project's "
                "ansible.cfg, which names the plugin registry_inputs, and an inventory with the link "
                "group_vars/all/00_wiring.yml."
            )

    def _certificates(
        self, result: dict[str, Any], registry: Mapping[str, Component], wiring: Mapping[str, Any]
    ) -> None:
        """Add what the site's authority signs, and by host the components that have another certificate."""
        result["certificates"] = []
        for host, here in result["hosts"].items():
            own = [name for name in here["certificates"] if self._overridden(host, registry[name].certificate, wiring)]
            here["own_certificates"] = own
            result["certificates"] += [
                {"name": f"{name}-{host}", "host": host, "component": name, "names": names}
                | {"secret": f"certificate_key_{name}_{host}", "client": registry[name].client}
                for name, names in here["certificates"].items()
                if name not in own
            ]

    def _unknown(self, file: str) -> Iterator[str]:
        for host in self.hosts:
            if not self.facts[host]:
                yield (
                    f"{host} does not answer, and {file} does not say what the other hosts' configuration needs of it. "
                    "Bring it back, take it out of the inventory, or set site_known_facts for it."
                )

    def site(
        self, registry: Mapping[str, Component], groups: Mapping[str, Any], wiring: Mapping[str, Any], file: str
    ) -> dict[str, Any]:
        """Return the site, with what else is known of it."""
        inventory = Inventory(self.hosts, groups, self.given, self.facts)
        site = inventory.site(registry, self.declared)
        result = fact(site)
        self._certificates(result, registry, wiring)
        edge = next((site.placed[name] for name in ("load_balancer", "api_server") if site.placed.get(name)), [])
        bearers = edge if len(edge) == 1 and not site.variables["site_virtual_address"] else []
        names = name_problems(self.facts, self.known, (site.variables["site_public_name"], bearers), file)
        wrong = [
            *self.unwired(wiring),
            *self.misplaced(wiring),
            *self.renamed(RENAMED, wiring),
            *self.misspelt(wiring),
            *group_problems(registry, groups, self.hosts),
            *inventory.problems,
            *self._unknown(file),
            *problems(site),
            *address_problems(site, {host: self.facts[host] for host in self.hosts if host not in self.silent}),
            *names,
        ]
        forget = site.variables["site_forget_hosts"]
        departed = {name: facts for name, facts in self.noted.items() if name not in self.hosts and name not in forget}
        result["departed"] = sorted(departed)
        fixed = [name for name, variable in self.declared.items() if variable.change == "refused"]
        result["fixed"] = {name: site.variables[name] for name in fixed}
        return result | {"facts": departed | self.facts, "silent": self.silent, "problems": wrong}


def _value(values: Any, name: str) -> Any:
    try:
        return values[name]
    except AnsibleError as error:
        return Unknown(" ".join(str(error).split()))


def _place(value: Any) -> str:
    """Say where a value was written, if Ansible knows."""
    try:
        from ansible._internal._datatag._tags import Origin  # noqa: PLC0415 - no published name yet
    except ImportError:
        return ""
    origin = Origin.get_tag(value)
    return f" ({origin})" if origin else ""


def known_facts(file: Path) -> dict[str, Any]:
    """Return what the last run has noted, by host."""
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found if isinstance(found, dict) else {}
