"""Filters: code of the controller's that components import, as hosts have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

# Local settings may import shared modules, and not the other way round.
_IMPORTED = ("settings", "modules")


def airflow_code(trees: Mapping[str, Sequence[Mapping[str, Any]]], directory: str) -> dict[str, Any]:
    """
    Return where the present versions of code are: `paths` by kind, `environment` and `files`, as file_set takes them.

    Example: `{'plugins': [{'digest': 'a1', 'files': {'p.py': ''}}], 'modules': []} | airflow_code('/etc/airflow/code')`
    has the path `/etc/airflow/code/plugins-a1`. Trees are those of the lookup source_tree. The environment says where
    Python finds modules; of plugins, airflow.cfg does.
    """
    present = {kind: found[0] for kind, found in trees.items() if found}
    paths = {kind: f"{directory}/{kind}-{tree['digest']}" for kind, tree in present.items()}
    imported = [paths[kind] for kind in _IMPORTED if kind in paths]
    entries = [entry for kind, path in paths.items() for entry in _entries(path, present[kind]["files"])]
    return {
        "paths": paths,
        "environment": {"PYTHONPATH": ":".join(imported)} if imported else {},
        "files": [{"path": directory, "state": "directory", "mode": "0750"}, *entries] if entries else [],
    }


def _entries(path: str, files: Mapping[str, str]) -> Iterator[dict[str, str]]:
    parents = {parent for name in files for parent in PurePosixPath(path, name).parents}
    for parent in sorted(parent for parent in parents if parent.is_relative_to(path)):
        yield {"path": str(parent), "state": "directory", "mode": "0750"}
    for name, text in sorted(files.items()):
        yield {"path": f"{path}/{name}", "content": text}


def airflow_code_problems(wanted: Mapping[str, str], environment: Mapping[str, Any]) -> list[str]:
    """
    List what is wrong with code of the controller's, one message each: a variable of the user's that would hide it.

    Example: `__airflow_code.environment | airflow_code_problems(airflow_environment)`.
    """
    return [
        f"airflow_environment has {name}, which would hide airflow_modules_source and airflow_local_settings_file. "
        "Take it out, and put its modules into airflow_modules_source."
        for name in wanted
        if name in environment
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_code": airflow_code, "airflow_code_problems": airflow_code_problems}
