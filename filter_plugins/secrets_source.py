"""Filters: what is wrong with where a site's own secrets come from, and which ones it asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping
from ansible_collections.airstrip.core.plugins.plugin_utils.secrets_source import (
    VARIABLE,
    described,
    place,
    problems,
    server,
)


def secrets_source_problems(source: object, missing: object = ()) -> list[str]:
    """
    List what is wrong with the variable site_secrets_source, and which secrets are not where it says.

    Example: `{'type': 'vualt'} | secrets_source_problems`. `missing` are the names that have no value, of which only
    those count that are from there. Nothing for no source. Raises AnsibleFilterError on wrong types.
    """
    given, names = as_mapping(source, VARIABLE), as_list(missing, "secrets_source_problems: the missing")
    if not given:
        return []
    lost = [name for name in dict.fromkeys(map(str, names)) if place(given, name)]
    found = list(problems(given))
    if lost:
        places = ", ".join(f"{name} at {described(given, name)}" for name in lost)
        found.append(
            f"{VARIABLE}: {server(given)} does not have {places}. Put there what it lacks, say by paths where else it "
            "is, or by generated that it is made (docs/content.md, Secret backends)."
        )
    return found


def secrets_source_names(site: object, held: object, roles: object, users: object) -> list[str]:
    """
    Return the names of the secrets that a site asks for, but for those of its certificates.

    Example: `site | secrets_source_names(preflight_held_secrets, ['airflow_metrics'], ['ada'])`. `held` is what
    airflow_held_secrets gives; `roles` are those of the database and `users` those of Airflow whose passwords are the
    site's.
    """
    given = as_mapping(site, "secrets_source_names: the site")
    found = [*as_mapping(held, "secrets_source_names: the held"), "airflow_admin_password", *given["secrets"]]
    found += [*given["people"].values(), *(["monitoring_key"] if given["placed"].get("prometheus") else [])]
    found += [f"postgresql_role_{role}" for role in as_list(roles, "secrets_source_names: the roles")]
    return found + [f"airflow_user_{user}" for user in as_list(users, "secrets_source_names: the users")]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "secrets_source_names": secrets_source_names,
            "secrets_source_problems": secrets_source_problems,
        }
