"""Filter: where hosts hold the secrets of a site."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# File in the directory of credentials. Of a URL, the secret is the password of the user that the site's variable names.
_FILES = {
    "airflow_fernet_key": ("fernet_key", ""),
    "airflow_jwt_secret": ("jwt_secret", ""),
    "airflow_api_secret_key": ("api_secret_key", ""),
    "airflow_session_secret_key": ("session_secret_key", ""),
    "airflow_database_password": ("database_url", "database_user"),
    "airflow_results_database_password": ("results_url", "results_database_user"),
    "airflow_results_reader_password": ("results_view_url", "results_reader_user"),
    "airflow_broker_password": ("broker_url", "broker_user"),
}


def airflow_held_secrets(site: Mapping[str, Any], broker_users: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return where hosts hold each secret: what is there is not made anew, and can be recovered.

    Example: `site.vars | airflow_held_secrets(site.broker_users)`. By the secret's name, `path`, `user` if it is the
    password in a URL, and `is_held: false` where the file only tells that the secret was in use.
    """
    directory = f"{site['config_directory']}/credentials"
    found: dict[str, Any] = {
        name: {"path": f"{directory}/{file}"} | ({"user": site[user]} if user else {})
        for name, (file, user) in _FILES.items()
    }
    found["airflow_ca_key"] = {"path": f"{site['config_directory']}/ca.crt", "is_held": False}
    for user in broker_users:
        found[user["secret"]] = {"path": f"{directory}/broker_url.{user['worker']}", "user": user["user"]}
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_held_secrets": airflow_held_secrets}
