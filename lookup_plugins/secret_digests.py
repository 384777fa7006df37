"""Lookup of digests of secrets, by which a later run knows whether they have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.airstrip.core.plugins.module_utils.held_secret import digest
from ansible_collections.airstrip.core.plugins.plugin_utils.secret_values import secret_value

DOCUMENTATION = """
name: secret_digests
author: Airstrip
short_description: Digests of secrets by their names
description:
  - Returns a dictionary with a digest of each secret that has a value. The name goes into the digest, so two secrets of
    one value have different ones.
  - A secret that is generated in this run has another value each time that it is asked for, unless it is kept.
options:
  _terms:
    description:
      - One dictionary, by the names of secrets and of the variables that have them, as P(airflow_held_secrets#filter)
        gives it. Those with C(cuts_off) count.
    required: true
"""

EXAMPLES = """
- name: Note what the hosts have got
  ansible.builtin.set_fact:
    noted: "{{ lookup('secret_digests', preflight_held_secrets) }}"
"""

RETURN = """
_raw:
  description: The dictionary. No secret is in it.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup V(secret_digests)."""

    def run(self, terms: Sequence[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Return the digests."""
        self.set_options(var_options=variables, direct=kwargs)
        names = [str(name) for places in terms for name, place in places.items() if place.get("cuts_off")]
        values = {name: secret_value(self, name, variables or {}) for name in names}
        return [{name: digest(name, str(value)) for name, value in values.items() if value}]
