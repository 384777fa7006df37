"""Filters: where journals are sent, and what is wrong with the variables of logs before anything changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import (
    as_list,
    as_mapping,
    as_number,
    larger_than_disk,
)

_DATA = "/var/log/airstrip-journals"


def logs_problems(settings: object) -> list[str]:
    """
    List what is wrong with the variables of logs, one message each.

    `settings` is a mapping with `mb` (site_logs_mb) and `mounts` (of the facts). Raises AnsibleFilterError on others.
    """
    return list(_size(as_mapping(settings, "logs_problems: the settings")))


def _size(given: Mapping[str, Any]) -> Iterator[str]:
    wanted, mounts = as_number(given["mb"], "logs_problems: mb"), as_list(given["mounts"], "logs_problems: mounts")
    yield from larger_than_disk(wanted, mounts, _DATA, ("site_logs_mb", "journals"))


def journal_upload_files(servers: object, directory: str) -> list[dict[str, str]]:
    """
    Return a file for each server, as the module file_set takes them.

    It has the URL to which the journal is sent: [{name: m, address: 192.0.2.1, port: 19532}] gives `m.env`.
    """
    found = []
    for item in as_list(servers, "journal_upload_files: the servers"):
        server = as_mapping(item, "journal_upload_files: a server")
        address = f"[{server['address']}]" if ":" in str(server["address"]) else server["address"]
        content = f"URL=https://{address}:{server['port']}\n"
        found.append({"path": f"{directory}/{server['name']}.env", "content": content})
    return found


def journal_directories(senders: object, directory: str) -> list[dict[str, str]]:
    """Return the directory of the journals of each sender, as the module file_set takes them."""
    names = [str(name) for name in as_list(senders, "journal_directories: the senders")]
    return [{"path": f"{directory}/{name}", "state": "directory", "mode": "2750"} for name in names]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "journal_directories": journal_directories,
            "journal_upload_files": journal_upload_files,
            "logs_problems": logs_problems,
        }
