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
# What cuts off who still has the old one, unless it is that of somebody else: which variable names that.
_CUTTING_OFF = {
    "airflow_jwt_secret": "",
    "airflow_database_password": "database_host",
    "airflow_results_database_password": "database_host",
    "airflow_results_reader_password": "database_host",
    "airflow_broker_password": "broker_host",
}


def airflow_held_secrets(site: Mapping[str, Any], broker_users: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return where hosts hold each secret: what is there is not made anew, and can be recovered.

    Example: `site.vars | airflow_held_secrets(site.broker_users)`. By the secret's name, `path`, `user` if it is the
    password in a URL, `is_held: false` where the file only tells that the secret was in use, and `cuts_off: true` where
    a new one cuts off who still has the old one.
    """
    directory = f"{site['config_directory']}/credentials"
    found: dict[str, Any] = {
        name: {"path": f"{directory}/{file}"} | ({"user": site[user]} if user else {})
        for name, (file, user) in _FILES.items()
    }
    for name, server in _CUTTING_OFF.items():
        found[name]["cuts_off"] = not (server and site[server])
    authority = {"path": f"{site['config_directory']}/ca.crt", "is_held": False}
    # Of several authorities in a bundle of one's own, each will do.
    found["airflow_ca_key"] = authority | {"cuts_off": not site["ca_certificate_file"]}
    for user in broker_users:
        path = f"{directory}/{'flower_broker_url' if user.get('looking') else 'broker_url.' + user['worker']}"
        found[user["secret"]] = {"path": path, "user": user["user"], "cuts_off": not site["broker_host"]}
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_held_secrets": airflow_held_secrets}
