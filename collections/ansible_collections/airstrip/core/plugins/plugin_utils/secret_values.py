"""The value of a secret, for lookups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase


def secret_value(lookup: LookupBase, name: str, variables: Mapping[str, Any]) -> Any:
    """Return the value of a variable, or of a name in the secrets file."""
    if name in variables:
        return lookup._templar.template(variables[name])
    plugin = lookup_loader.get("airflow_secret", loader=lookup._loader, templar=lookup._templar)
    return plugin.run([name], variables)[0]
