"""Lookup of the secrets that a run would generate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.airstrip.core.plugins.plugin_utils.secret_values import secret_value

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
        return [name for name in terms if secret_value(self, name, given) != secret_value(self, name, given)]
