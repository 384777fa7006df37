"""Lookup of rendered templates, without a copy of all variables for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: airstrip_template
author: Airstrip
short_description: The contents of templates, as ansible.builtin.template renders them
description:
  - C(ansible.builtin.template) does the work, and takes the same options.
  - It copies all variables for each template, to add some of its own, and all that they contain. The site's facts are
    among them, so on a site of a hundred hosts a copy takes a tenth of a second, for each file of each host. Here the
    copy ends at the first level. A template must therefore not change a variable in its place, and none of ours does.
options:
  _terms:
    description: Names of templates, in the role's directory C(templates).
    required: true
  template_vars:
    description: Variables of this template.
    type: dict
    default: {}
  each:
    description: "A variable, and its values: each template is rendered once for each of them."
    type: dict
"""

EXAMPLES = """
- name: Write the configuration
  file_set:
    entries:
      - {path: /etc/web/web.conf, content: "{{ lookup('airstrip_template', 'web.conf.j2') }}"}
"""

RETURN = """
_raw:
  description: The rendered templates.
  type: list
  elements: str
"""


class _FlatCopies(dict[str, Any]):
    """Variables, of which a deep copy has the values themselves."""

    def __deepcopy__(self, memo: object) -> dict[str, Any]:
        return dict(self)


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Return the rendered templates; raise AnsibleError for one that does not exist."""
        template = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        given, own = _FlatCopies(variables or {}), kwargs.pop("template_vars", {})
        turns = [{name: value} for name, values in kwargs.pop("each", {"": [None]}).items() for value in values]
        rendered = (template.run(terms, variables=given, template_vars={**own, **turn}, **kwargs) for turn in turns)
        return [text for texts in rendered for text in texts]
