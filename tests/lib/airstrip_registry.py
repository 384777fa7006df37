"""The project's registry of components, read as the model of the site reads it."""

from typing import Any

from airstrip_tree import Tree
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import Component, read_registry


def entries() -> dict[str, Any]:
    """Return what the files say, by the names of the components."""
    tree = Tree()
    return {path.stem: tree.load(path) for path in tree.files("registry/*.yml")}


def registry() -> dict[str, Component]:
    """Return the components by name."""
    return read_registry(entries())
