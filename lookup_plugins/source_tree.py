"""Lookup of the files in a directory of the controller that hosts are to have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: source_tree
author: Airstrip
short_description: The files of a directory of the controller, and their digest
description:
  - Reads all files of a directory, or one file. Hidden files are left out, but C(.airflowignore), and so is what Python
    has compiled.
  - Python that cannot be compiled is refused, since no process that imports it would start; and so is what is no text.
options:
  _terms:
    description: Directories, or files; nothing for an empty one.
    required: true
  name:
    description: The name that a file is to have on the host. With it, the terms are files.
    type: str
    default: ""
"""

EXAMPLES = """
- name: Show the version of the plugins
  ansible.builtin.debug:
    msg: "{{ lookup('source_tree', 'files/plugins').digest }}"
"""

RETURN = """
_raw:
  description: Of each term C(digest), which is another one for other files, and C(files), contents by relative paths.
  type: list
  elements: dict
"""

_IGNORE = ".airflowignore"


def _paths(directory: Path) -> Iterator[Path]:
    if not directory.is_dir():
        raise AnsibleError(f"{directory} is no directory of the controller. Correct the variable that names it")
    for path in sorted(directory.rglob("*")):
        parts = path.relative_to(directory).parts
        is_hidden = any((part.startswith(".") and part != _IGNORE) or part == "__pycache__" for part in parts)
        if path.is_file() and not is_hidden:
            yield path


def _text(path: Path) -> str:
    """Return a file's text; raise AnsibleError for what is none, and for Python that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            compile(text, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise AnsibleError(f"{path}, line {error.lineno}: {error.msg}. Nothing that imports it would start") from error
    except UnicodeDecodeError as error:
        raise AnsibleError(
            f"{path} is no text. Put it into a Python package, and that into airflow_release_extra_packages"
        ) from error
    except (OSError, ValueError) as error:
        raise AnsibleError(f"{path} cannot be read: {error}") from error
    return text


def _tree(files: dict[str, str]) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]
    return {"digest": digest, "files": files}


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup."""

    def run(
        self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return the trees; raise AnsibleError for one that is missing, empty or wrong."""
        self.set_options(var_options=variables, direct=kwargs)
        name = self.get_option("name")
        found = []
        for term in filter(None, terms):
            root = Path(term)
            files = {name: _text(root)} if name else {str(p.relative_to(root)): _text(p) for p in _paths(root)}
            if not files:
                raise AnsibleError(f"{root} has no files. Put them there, or empty the variable that names it")
            found.append(_tree(files))
        return found
