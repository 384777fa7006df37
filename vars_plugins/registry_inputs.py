"""The files in `group_vars` and `host_vars`, and below them the inputs of roles that the registry gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.vars.host_group_vars import VarsModule as HostGroupVars
from ansible.template import trust_as_template
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import wiring
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import RegistryError
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_directory

DOCUMENTATION = """
name: registry_inputs
author: Airstrip
short_description: Inputs of roles that the registry gives
description:
  - Does what P(ansible.builtin.host_group_vars#vars) does, in whose place it is enabled.
  - Where an inventory has C(group_vars/all/00_wiring.yml), C(inputs) of variables and components in the registry are
    variables of its group C(all), as expressions like those of C(inventory/wiring.yml). What stands in its
    C(group_vars) counts before them.
  - It is one plugin and not a second one, because Ansible looks each of them up six times for each task on each host.
"""

_WIRING = Path("group_vars", "all", "00_wiring.yml")


class VarsModule(HostGroupVars):  # type: ignore[misc]
    """The variables."""

    def get_vars(self, loader: Any, path: str, entities: Sequence[Any], cache: bool = True) -> dict[str, Any]:
        """Return the variables of groups and hosts. Raises AnsibleParserError for a registry without a meaning."""
        found: dict[str, Any] = super().get_vars(loader, path, entities, cache)
        wanted = any(entity.name == "all" for entity in entities) and _is_wired(path)
        return _inputs() | found if wanted else found


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
