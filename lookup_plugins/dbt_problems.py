"""Lookup of what is wrong with a project of dbt."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.lookup import LookupBase
from ansible_collections.airstrip.core.plugins.plugin_utils.app_sources import Repository, SourceError, source_of

DOCUMENTATION = """
name: dbt_problems
author: Airstrip
short_description: What is wrong with a project of dbt, as it is on the controller
description:
  - Looks whether there is a project, and whether it has the profile that is written for it. Of a Git repository nothing
    is fetched.
options:
  _terms:
    description: The source of the project; empty if it is on the hosts.
    required: true
  profile: {description: Name of the profile., type: str, required: true}
  hosts_directory: {description: Directory of the project on the hosts., type: str, required: true}
  directory: {description: Directory from which paths count., type: path, required: true}
"""

EXAMPLES = """
- name: Refuse a project that dbt cannot run
  ansible.builtin.fail:
    msg: "{{ query('dbt_problems', 'projects/shop', profile='shop', hosts_directory='', directory='.') }}"
"""

RETURN = """
_raw:
  description: The problems, each with its remedy.
  type: list
  elements: str
"""

_FILE = "dbt_project.yml"


def project_problems(text: str, profile: str) -> Iterator[str]:
    """Yield what is wrong with a dbt_project.yml."""
    try:
        project = yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield f"dbt_project_source: its {_FILE} is no YAML ({' '.join(str(error).split())}). Correct it."
        return
    if not isinstance(project, Mapping) or not project.get("name"):
        yield f"dbt_project_source: its {_FILE} has no name. Give the project one."
    elif not project.get("profile"):
        yield f"dbt_project_source: its {_FILE} has no profile. Add `profile: {profile}`."
    elif project["profile"] != profile:
        yield (
            f"dbt_profile is {profile}, and the project's {_FILE} has the profile {project['profile']}. Set "
            f"dbt_profile to {project['profile']}."
        )


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup."""

    def run(self, terms: Sequence[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the problems."""
        self.set_options(var_options=variables, direct=kwargs)
        return [problem for term in terms for problem in self._problems(term)]

    def _problems(self, given: Any) -> Iterator[str]:
        if not given:
            if not str(self.get_option("hosts_directory")).startswith("/"):
                yield (
                    "dbt_project_source is empty, and dbt_project_directory no absolute path: dbt would have no "
                    "project. Set one of them."
                )
            return
        try:
            source = source_of(given, Path(self.get_option("directory")))
            if isinstance(source, Repository):
                return
            text = source.read(_FILE)
        except (SourceError, KeyError, OSError, UnicodeDecodeError, tarfile.TarError) as error:
            yield f"dbt_project_source cannot be read: {error}."
            return
        if text is None:
            yield f"dbt_project_source has no {_FILE}, so it is no project of dbt. Set it to the directory that has it."
            return
        yield from project_problems(text, self.get_option("profile"))
