"""The project's registry, and a site by it, as the action site_model works it out."""

import importlib.util
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from airstrip_render import start
from airstrip_tree import PROJECT, Tree

start()  # before anything of a collection is imported: Ansible's own finder comes too late else

from ansible_collections.airstrip.core.plugins.module_utils.site_hosts import members, site_hosts  # noqa: E402
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import added  # noqa: E402
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import wiring as wiring_of  # noqa: E402
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import (  # noqa: E402
    STAGES,
    Component,
    read_registry,
)
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import Variable, read_all_variables  # noqa: E402
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact  # noqa: E402

__all__ = ["added_roles", "declared", "entries", "fact", "registry", "wiring", "work_out"]


# What the next three give is parsed once, and nobody changes it.
@cache
def entries() -> dict[str, Any]:
    """Return what the files say, by the names of the components."""
    tree = Tree()
    return {path.stem: tree.load(path) for path in tree.files("registry/*.yml") if path.stem != "site"}


@cache
def declared() -> dict[str, Variable]:
    """Return the variables of the site by name."""
    tree = Tree()
    return read_all_variables({path.stem: tree.load(path) for path in tree.files("registry/*.yml")})


@cache
def registry() -> dict[str, Component]:
    """Return the components by name."""
    return read_registry(entries(), declared())


def added_roles(groups: Mapping[str, Any], variables: Collection[str]) -> dict[str, list[str]]:
    """Return the roles that the registry applies, each with its hosts, by the groups and variables of an inventory."""
    found: dict[str, list[str]] = {}
    for entry in added(registry(), *STAGES):
        if entry.when.set and entry.when.set not in variables:
            continue
        found.setdefault(entry.role, []).extend(members(entry, registry(), groups))
    return found


def wiring() -> dict[str, Any]:
    """Return what each inventory gives to roles: by its link, and by the registry."""
    found: dict[str, Any] = Tree().load(PROJECT / "inventory" / "wiring.yml")
    return found | wiring_of(registry(), declared())


@cache
def _action() -> Any:
    spec = importlib.util.spec_from_file_location("site_model_action", PROJECT / "action_plugins" / "site_model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def work_out(hostvars: Any, groups: Mapping[str, Any], file: Path = Path("/nowhere")) -> dict[str, Any]:
    """Return the site of an inventory, as Ansible's own `hostvars` and `groups` give it."""
    action = _action()
    found = action.Found(hostvars, site_hosts(registry(), groups), declared(), action.known_facts(file))
    site: dict[str, Any] = found.site(registry(), groups, wiring(), str(file))
    return site
