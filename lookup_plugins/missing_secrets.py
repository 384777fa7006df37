"""Lookup of the secrets that a run would generate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: missing_secrets
author: Airstrip
short_description: Which secrets nobody has set and none was kept of
description:
  - Returns those of the given names whose secret a run would generate.
  - What is generated is another value each time that it is asked for and not kept. So V(airflow_secrets_persist) has to
    be false, else all of them are kept by this question.
  - A name that is no variable is one of the secrets file alone.
options:
  _terms:
    description: Names of the secrets, and of the variables that have them.
    required: true
"""

EXAMPLES = """
- name: Name the secrets that are yet to be generated
  ansible.builtin.debug:
    msg: "{{ query('missing_secrets', 'airflow_jwt_secret', 'airflow_fernet_key') }}"
  vars:
    airflow_secrets_persist: false
"""

RETURN = """
_raw:
  description: Their names. No secret is in it.
  type: list
  elements: str
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup V(missing_secrets)."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the names whose value changes from one question to the next."""
        self.set_options(var_options=variables, direct=kwargs)
        given = variables or {}
        return [name for name in terms if self._value(name, given) != self._value(name, given)]

    def _value(self, name: str, variables: Mapping[str, Any]) -> Any:
        """Return the value of a variable, or of a name in the secrets file."""
        if name in variables:
            return self._templar.template(variables[name])
        plugin = lookup_loader.get("airflow_secret", loader=self._loader, templar=self._templar)
        return plugin.run([name], variables)
