"""Filter: what of a host's system stands in the way of a site. Its findings go to preflight_problems.

A check is a function of what the host has said, what it is to have, and the site.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

Given = Mapping[str, Any]


def _of_the_site(unit: str, said: Given, site: Given) -> bool:
    """Tell whether a unit is that of a component, or was when the last run placed it."""
    entries = (*site["known"].values(), *said["record"]["components"].values())
    return any(fnmatch.fnmatchcase(unit, pattern) for entry in entries for pattern in entry["units"])


def _ports(said: Given, here: Given, site: Given) -> Iterator[str]:
    for row in said["system"]["listeners"]:
        unit, process = row["unit"], row["process"] or "an unknown process"
        if unit and _of_the_site(unit, said, site):
            continue
        names = " and ".join(entry["owner"] for entry in here["ports"] if entry["port"] == row["port"])
        stop = f"Stop it (systemctl disable --now {unit})" if unit.endswith(".service") else "Stop it"
        yield (
            f"{names}: port {row['port']} is held by {process}{f' ({unit})' if unit else ''}, which is none of the "
            f"site. {stop}, or set {names} to another port."
        )


def _programs(said: Given, _here: Given, _site: Given) -> Iterator[str]:
    for path in said["system"]["no_exec"]:
        yield (
            f"site_install_directory: {path} is on a file system that is mounted with noexec, so nothing installed "
            "there could run. Mount it with exec, or set site_install_directory to another directory."
        )


def _folders(said: Given, _here: Given, site: Given) -> Iterator[str]:
    own = {f"airflow_{name}_folder": f"{site['vars']['shared_storage_path']}/{name}" for name in ("dags", "plugins")}
    for name, path in said["system"]["missing"].items():
        # Airflow would find nothing there, and not complain.
        if path != own[name]:
            yield (
                f"{name} is {path}, and there is no such directory. Make it, or leave {name} out: then it is "
                f"{own[name]}, which a run makes."
            )


def _user(said: Given, _here: Given, site: Given) -> Iterator[str]:
    found, name, uid = said["system"]["user"], site["vars"]["user"], site["vars"]["uid"]
    if found["uid"] is not None and found["uid"] != uid:
        busy = f", with processes ({', '.join(found['processes'])})" if found["processes"] else ""
        yield (
            f"site_user: there is a user {name} with the id {found['uid']}{busy}, and the site's has {uid}. Set "
            f"site_uid to {found['uid']} if every host has it, take an old installation of Airflow over "
            "(docs/operations-adopt.md), remove that user, or set site_user to another name."
        )
    if found["owner"] and found["owner"] != name:
        yield (
            f"site_uid: the id {uid} is that of the user {found['owner']}. Set site_uid to one that is free on all "
            "hosts."
        )


def _group(said: Given, _here: Given, site: Given) -> Iterator[str]:
    found, name, gid = said["system"]["group"], site["vars"]["group"], site["vars"]["gid"]
    if found["gid"] is not None and found["gid"] != gid:
        yield (
            f"site_group: there is a group {name} with the id {found['gid']}, and the site's has {gid}. Set site_gid "
            f"to {found['gid']} if every host has it, remove that group, or set site_group to another name."
        )
    if found["owner"] and found["owner"] != name:
        yield (
            f"site_gid: the id {gid} is that of the group {found['owner']}. Set site_gid to one that is free on all "
            "hosts."
        )


def _discs(said: Given, _here: Given, _site: Given) -> Iterator[str]:
    for path in said["sources"]["discs"]:
        yield (
            f"{path} names a disc as a source of packages (cdrom:), which nobody puts in during a run. Put a # before "
            "that line, or Enabled: no into its entry."
        )


def _silent_sources(said: Given, _here: Given, _site: Given) -> Iterator[str]:
    if silent := said["sources"]["silent"]:
        yield (
            f"apt cannot read its sources of packages: {'; '.join(silent)}. Correct or remove them in "
            "/etc/apt/sources.list and /etc/apt/sources.list.d until `apt-get update` succeeds, open the way to them, "
            "or set site_http_proxy and site_https_proxy."
        )


_CHECKS = {
    "sources": (_discs, _silent_sources),
    "system": (_ports, _programs, _folders, _user, _group),
}


def airflow_host_problems(said: object, here: object, site: object) -> list[str]:
    """
    List what of a host's system stands in the way of a site; each message names the variable and the remedy.

    Example: `preflight_facts | airflow_host_problems(site_here, site)`. The input is the answer of the module
    site_host_facts, of whose parts those that were not asked for are empty; `here` is what the site says of that host,
    and `site` what the action site_model returns. Raises AnsibleFilterError on an answer that lacks something.
    """
    given = [
        as_mapping(value, f"airflow_host_problems: {name}")
        for value, name in ((said, "the answer"), (here, "here"), (site, "the site"))
    ]
    try:
        asked = [check for part, checks in _CHECKS.items() if given[0][part] for check in checks]
        return [problem for check in asked for problem in check(*given)]
    except (AttributeError, KeyError, TypeError) as error:
        raise AnsibleFilterError(f"airflow_host_problems: {error!r}") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_host_problems": airflow_host_problems}
