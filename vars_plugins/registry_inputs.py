"""Variables of all hosts: the inputs of roles that the registry alone knows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.inventory.group import Group
from ansible.plugins.vars import BaseVarsPlugin
from ansible.template import trust_as_template
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import wiring
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import read_component

DOCUMENTATION = """
name: registry_inputs
author: Airstrip
short_description: Inputs of roles that the registry alone knows
description:
  - What C(inventory/wiring.yml) is for the roles that playbooks name, this is for components with C(inputs) in the
    registry, so that such a component needs no line there. Its values, too, are set anew by an inventory's group_vars.
"""


class VarsModule(BaseVarsPlugin):  # type: ignore[misc]
    """The variables."""

    def get_vars(self, loader: Any, path: str, entities: Sequence[Any], cache: bool = True) -> dict[str, Any]:  # noqa: ARG002 - as Ansible calls it
        """Return the inputs for the group of all hosts of an inventory; nothing for what stands beside a playbook."""
        super().get_vars(loader, path, entities)
        wanted = any(isinstance(entity, Group) and entity.name == "all" for entity in entities)
        return _inputs() if wanted and Path(path) != Path(loader.get_basedir()) else {}


@cache
def _inputs() -> dict[str, Any]:
    files = (Path(__file__).resolve().parents[1] / "registry").glob("*.yml")
    entries = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files if file.stem != "site"}
    # Only those with inputs are read: the action site_model checks them all, and says what is wrong.
    components = {name: read_component(name, entry) for name, entry in entries.items() if "inputs" in (entry or {})}
    return {name: trust_as_template(expression) for name, expression in wiring(components).items()}
