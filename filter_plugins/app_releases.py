"""Filters: what a release of an app is built with, and which of the old ones may go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

# What of a host counts for each runtime.
_COUNTS = {"python": ("python", "system"), "nodejs": ("system",), "none": ()}
_KEEP = 2


def app_release_built_with(app: object, host: object) -> dict[str, str]:
    """
    Return what a release is built with beside its source: another of it makes another release.

    `host` has `python`, `system` and `program`. Example: `{'runtime': 'none'} | app_release_built_with(host)`.
    """
    given, known = (
        as_mapping(app, "app_release_built_with: the app"),
        as_mapping(host, "app_release_built_with: the host"),
    )
    found = {"runtime": str(given["runtime"]), "program": str(known["program"])}
    found |= {"lock": str(given["lock"])} if given["runtime"] == "python" else {}
    return found | {name: str(known[name]) for name in _COUNTS[given["runtime"]]}


def app_releases_old(files: object, results: object) -> list[str]:
    """
    Return the paths of releases that may go: of each app, all but the one in use and the youngest others.

    `files` is what ansible.builtin.find has found, and `results` what the action app_release has returned for each app,
    whose `keep` says how many others stay. Example: `found.files | app_releases_old(app_release.results)`.
    """
    found: list[str] = []
    rows = [as_mapping(file, "app_releases_old: a file") for file in as_list(files, "app_releases_old: the files")]
    for item in as_list(results, "app_releases_old: the results"):
        result: Mapping[str, Any] = as_mapping(item, "app_releases_old: a result")
        place = str(result["path"]).rsplit("/", 1)[0]
        own = [row for row in rows if str(row["path"]).rsplit("/", 1)[0] == place and row["path"] != result["path"]]
        youngest = sorted(own, key=lambda row: (row["ctime"], row["path"]), reverse=True)
        found += [str(row["path"]) for row in youngest[int(result["app_release_app"].get("keep", _KEEP)) :]]
    return found


def app_release_links(results: object) -> list[dict[str, str]]:
    """Return the link `current` to each release that the action app_release has found, as file_set takes it."""
    rows = [
        as_mapping(item, "app_release_links: a result") for item in as_list(results, "app_release_links: the results")
    ]
    return [
        {"path": f"{row['app_release_app']['directory']}/current", "state": "link", "src": str(row["path"])}
        for row in rows
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "app_release_links": app_release_links,
            "app_release_built_with": app_release_built_with,
            "app_releases_old": app_releases_old,
        }
