"""Variables of all hosts: the inputs of roles that the registry gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.group import Group
from ansible.plugins.vars import BaseVarsPlugin
from ansible.template import trust_as_template
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import wiring
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import RegistryError
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_directory

DOCUMENTATION = """
name: registry_inputs
author: Airstrip
short_description: Inputs of roles that the registry gives
description:
  - C(inputs) of variables and components in the registry become expressions, as those of C(inventory/wiring.yml) are.
  - Where an inventory has C(group_vars/all/00_wiring.yml), they are variables of its group C(all). What stands in its
    C(group_vars) counts before them.
"""

_WIRING = Path("group_vars", "all", "00_wiring.yml")


class VarsModule(BaseVarsPlugin):  # type: ignore[misc]
    """The variables."""

    # So the order in ansible.cfg counts.
    REQUIRES_ENABLED = True

    def get_vars(self, loader: Any, path: str, entities: Sequence[Any], cache: bool = True) -> dict[str, Any]:  # noqa: ARG002 - as Ansible calls it
        """Return the inputs for the group of all hosts. Raises AnsibleParserError for a registry without a meaning."""
        super().get_vars(loader, path, entities)
        wanted = any(isinstance(entity, Group) and entity.name == "all" for entity in entities)
        return _inputs() if wanted and _is_wired(path) else {}


@cache
def _is_wired(directory: str) -> bool:
    return (Path(directory) / _WIRING).exists()


@cache
def _inputs() -> dict[str, Any]:
    try:
        registry, declared = read_directory(Path(__file__).resolve().parents[1] / "registry")
    except RegistryError as error:
        raise AnsibleParserError(str(error)) from error
    return {name: trust_as_template(expression) for name, expression in wiring(registry, declared).items()}
