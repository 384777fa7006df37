"""Filters: what a controller that has lost a site's secrets takes from the hosts, and what it makes anew."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

# What no host has, and what a new one means: the authority's key stays with the controller, and of passwords servers
# keep digests.
MADE_ANEW = {
    "airflow_ca_key": (
        "a new authority signs all certificates anew at the next run of site.yml. Stop the site before that "
        "(playbooks/stop.yml); give people the new {ca_file}"
    ),
    "airflow_admin_password": (
        "the account {admin} keeps its password. If you know that, put it into the file in place of the new one; else "
        "give the account the new one, on {host}: sudo airflow users reset-password --username {admin}"
    ),
    "redis_admin_password": "the broker takes it at the next run of site.yml",
}


def _is_silent(results: list[Mapping[str, Any]]) -> bool:
    """Tell whether a file could be neither read nor said to be missing."""
    return any("content" not in result and "not found" not in str(result.get("msg", "")) for result in results)


def airflow_secrets_read(looks: object) -> dict[str, Any]:
    """
    Return `files`, contents by host and path, and `silent`, the hosts of which not all could be read.

    Example: `{'w1': {'results': [{'airflow_secrets_recovery_path': '/a', 'content': 'YQ=='}]}} | airflow_secrets_read`
    gives `{'files': {'w1': {'/a': 'a'}}, 'silent': []}`, from what the module slurp has said of each host. A host
    without results is silent. Raises AnsibleFilterError on wrong types.
    """
    files: dict[str, dict[str, str]] = {}
    silent = []
    for host, look in as_mapping(looks, "airflow_secrets_read: the hosts").items():
        results = as_list(as_mapping(look, f"airflow_secrets_read: {host}").get("results", [{}]), host)
        files[host] = {
            result["airflow_secrets_recovery_path"]: base64.b64decode(result["content"]).decode()
            for result in results
            if "content" in result
        }
        silent += [host] if _is_silent(results) else []
    return {"files": files, "silent": silent}


def airflow_secrets_recovery(found: object, known: object, held: object) -> dict[str, list[str]]:
    """
    Return the names of secrets that are missing: `recovered` from hosts, `made` anew, and `left` for site.yml.

    Example: `{'airflow_jwt_secret': 'a'} | airflow_secrets_recovery({}, ['airflow_jwt_secret'])`. `found` are the
    secrets of the hosts, `known` those that the inventory has, `held` the names of all that hosts may have. `conflicts`
    are those that both have, but not the same. Raises AnsibleFilterError on wrong types.
    """
    hosts = as_mapping(found, "airflow_secrets_recovery: what was found")
    ours = as_mapping(known, "airflow_secrets_recovery: what is known")
    names = as_list(held, "airflow_secrets_recovery: the names")
    missing = sorted({*map(str, names), *MADE_ANEW} - set(ours))
    return {
        "recovered": [name for name in missing if name in hosts],
        "made": [name for name in missing if name in MADE_ANEW],
        "left": [name for name in missing if name not in hosts and name not in MADE_ANEW],
        "conflicts": [name for name, value in hosts.items() if name in ours and ours[name] != value],
    }


def _lines(names: Mapping[str, list[str]], said: Mapping[str, Any]) -> Iterator[str]:
    yield f"Recovered from the hosts: {', '.join(names['recovered']) or 'nothing that was missing'}."
    yield "Made anew, as no host has them:" if names["made"] else "Nothing had to be made anew."
    for name in names["made"]:
        yield f"  {name}: {MADE_ANEW[name].format(ca_file=said['ca_file'], admin=said['admin'], host=said['host'])}"
    later = {
        "postgresql_role": ("tell its clients", said["roles"]),
        "airflow_user": ("the accounts keep their passwords", said["users"]),
    }
    for kind, (meaning, owners) in later.items():
        if owners:
            yield f"  {kind}_<name>, if missing, at the next run of site.yml, for {', '.join(owners)}: {meaning}"
    if names["left"]:
        left = ", ".join(names["left"])
        yield f"Not on the hosts that could be read, so made anew by site.yml where they are needed: {left}."
    if said["silent"]:
        yield f"Could not be read, so look at them before you go on: {', '.join(said['silent'])}."
    yield f"All are in {said['file']}: back it up, and run site.yml."


def airflow_secrets_recovery_report(names: object, said: object) -> list[str]:
    """
    Return the lines of a report on what airflow_secrets_recovery has chosen.

    `said` has the secrets' `file`, the authority's `ca_file`, the `admin`'s name, the `host` of Airflow's commands, the
    hosts that are `silent`, and the `roles` of databases and the `users` whose passwords site.yml makes. Raises
    AnsibleFilterError on wrong types.
    """
    chosen = as_mapping(names, "airflow_secrets_recovery_report: the names")
    return list(_lines(chosen, as_mapping(said, "airflow_secrets_recovery_report: the site")))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_secrets_read": airflow_secrets_read,
            "airflow_secrets_recovery": airflow_secrets_recovery,
            "airflow_secrets_recovery_report": airflow_secrets_recovery_report,
        }
