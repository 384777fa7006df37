"""Lookup of what is wrong with the sources of apps."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.airstrip.core.plugins.plugin_utils.app_locks import nodejs_lock_problems, python_lock_problems
from ansible_collections.airstrip.core.plugins.plugin_utils.app_sources import Repository, SourceError, source_of

DOCUMENTATION = """
name: app_problems
author: Airstrip
short_description: What is wrong with the sources of apps, as they are on the controller
description:
  - Looks whether there is a source, whether it pins what is installed for it, and whether that is for the host's
    Python or Node.js. Of a Git repository nothing is fetched; the build looks at that.
options:
  _terms:
    description: "Apps, each with C(name), C(source), C(runtime) and C(lock)."
    required: true
    type: list
    elements: dict
  python: {description: Version (major.minor) of the host's Python., type: str, required: true}
  node: {description: Major version of the host's Node.js., type: int, required: true}
  directory: {description: Directory from which paths count., type: path, required: true}
  variable: {description: The variable that has the apps., type: str, required: true}
"""

EXAMPLES = """
- name: Refuse what cannot be built
  ansible.builtin.fail:
    msg: "{{ query('app_problems', *apps, python='3.13', node=20, directory='.', variable='site_app_workers') }}"
"""

RETURN = """
_raw:
  description: The problems, each with its remedy.
  type: list
  elements: str
"""

LOCKS = {"python": "requirements.txt", "nodejs": "package-lock.json"}


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup."""

    def run(self, terms: Sequence[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the problems of all apps."""
        self.set_options(var_options=variables, direct=kwargs)
        variable = self.get_option("variable")
        return [f"{variable}: the app {app['name']} {problem}." for app in terms for problem in self._problems(app)]

    def _problems(self, app: Mapping[str, Any]) -> Iterator[str]:
        try:
            source = source_of(app["source"], Path(self.get_option("directory")))
            if not isinstance(source, Repository) and app["runtime"] in LOCKS:
                yield from self._of_lock(app, source.read)
        except (SourceError, OSError, UnicodeDecodeError, tarfile.TarError) as error:
            yield f"has a source that cannot be read: {error}"

    def _of_lock(self, app: Mapping[str, Any], read: Any) -> Iterator[str]:
        name = app.get("lock") or LOCKS[app["runtime"]]
        if (text := read(name)) is None:
            yield f"has no {name} in its source, which pins what is installed for it. Add it"
            return
        if app["runtime"] == "python":
            found = python_lock_problems(text, self.get_option("python"))
        else:
            found = nodejs_lock_problems(text, self.get_option("node"))
        for problem in found:
            yield f"has a {name} that {problem}"
