"""
Filters: what the components of Airflow on a host are given, as credentials and in their environment.

A component is a row of the role's input `airflow_components`, which follows from the registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.broker_transport import transport_options
from ansible_collections.airstrip.core.plugins.module_utils.connection_uri import connection_uri

# The environment variable through which Airflow asks a command for a secret. What has none is read as a file.
OPTIONS = {
    "database_url": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "database_async_url": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "results_url": "AIRFLOW__CELERY__RESULT_BACKEND",
    "results_view_url": "AIRFLOW__CELERY__RESULT_BACKEND",
    "broker_url": "AIRFLOW__CELERY__BROKER_URL",
    "fernet_key": "AIRFLOW__CORE__FERNET_KEY",
    "jwt_secret": "AIRFLOW__API_AUTH__JWT_SECRET",
    "api_secret_key": "AIRFLOW__API__SECRET_KEY",
}
# Of what an operator's command needs to work on the metadata database: as a DAG processor has it, and no key that
# signs.
_COMMAND = ("database", "fernet_key")
_TRANSPORT = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__"
_CELERY = re.compile(r"(^|[,;=] *)(CeleryExecutor)(?= *($|[,;]))")

Row = Mapping[str, Any]


def _names(credentials: list[str], more: Mapping[str, Any]) -> list[str]:
    """Return the names of secrets behind those of a row: some stand for several."""
    several = {
        # Without parameters, Airflow makes the one from the other.
        "database": ["database_url", *(["database_async_url"] if more["asynchronous"] else [])],
        "webserver_config": [str(secret["name"]) for secret in more["webserver_config"]],
    }
    return [name for credential in credentials for name in several.get(credential, [credential])]


def airflow_instance_credentials(row: Row, instance: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the names of an instance's secrets, and the names of the files that have them.

    Example: `__airflow_component | airflow_instance_credentials(airflow_instance, __airflow_more_secrets)`. A worker
    has the file `broker_url.NAME`, with its own user, as `broker_url`.
    """
    found = {name: name for name in _names(row["credentials"], more)}
    return found | ({"broker_url": f"broker_url.{instance['name']}"} if "name" in instance else {})


def airflow_credentials(
    components: Mapping[str, Row], secrets: Mapping[str, str], more: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """
    Return the secrets that a host's components need, by the names of their files, in order.

    Example: `airflow_components | airflow_credentials(__airflow_secrets, __airflow_more_secrets)`. Each has `value`
    and,
    if Airflow asks a command for it, `option`, the variable of the environment. `secrets` are the values by name, of
    which only those are read that are needed. `more` has `asynchronous`, whether the metadata database needs a URL of
    its own for the async engine; `webserver_config`, secrets with `name` and `value`; `broker`, the parts of its URL;
    and `worker_users`, users of the broker by the names of workers, mappings with `user` and `password`: a worker
    without one has the schedulers'. Raises AnsibleFilterError for a name that nobody knows.
    """
    own = {str(secret["name"]): str(secret["value"]) for secret in more["webserver_config"]}
    files = {
        file: name
        for row in components.values()
        for instance in row["instances"]
        for name, file in airflow_instance_credentials(row, instance, more).items()
    }
    found = {}
    for file in sorted(files):
        name = files[file]
        user = more["worker_users"].get(file.partition(".")[2]) if file != name else None
        if user:
            value = connection_uri({**more["broker"], "user": user["user"], "password": user["password"]})
        elif name in own:
            value = own[name]
        elif name in secrets:
            value = secrets[name]
        else:
            raise AnsibleFilterError(f"airflow_credentials: nobody knows the secret {name!r}")
        found[file] = {"value": value, **({"option": OPTIONS[name]} if name in OPTIONS and name not in own else {})}
    return found


def airflow_credential_files(
    held: Mapping[str, Mapping[str, str]], secrets: Mapping[str, Any], directory: str
) -> list[dict[str, str]]:
    """
    Return the files of a host's secrets as file_set takes them; those of others that there are do not stay.

    Example: `__airflow_held | airflow_credential_files(__airflow_secrets, '/etc/airflow/credentials')`.
    """
    files = [{"path": f"{directory}/{name}", "content": secret["value"]} for name, secret in held.items()]
    return files + [{"path": f"{directory}/{name}", "state": "absent"} for name in secrets if name not in held]


def airflow_command_credentials(held: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the secrets of operators' commands by name, each with its file; none where no component has the database.

    Example: `__airflow_held | airflow_command_credentials(__airflow_more_secrets)`.
    """
    names = _names(list(_COMMAND), more) if "database_url" in held else []
    return {name: name for name in names}


def airflow_command_workers(held: Mapping[str, Any], names: list[str]) -> dict[str, dict[str, str]]:
    """
    Return the workers that a host's commands can ask, each with its secrets by name, and their files.

    Example: `__airflow_held | airflow_command_workers(airflow_worker_names)`. A scheduler's host has access to all of
    the site, which are `names`; another one to its own.
    """
    if "broker_url" in held:
        return {name: {"broker_url": "broker_url", "results_view_url": "results_view_url"} for name in names}
    own = [file.partition(".")[2] for file in held if file.startswith("broker_url.")]
    return {name: {"broker_url": f"broker_url.{name}", "results_url": "results_url"} for name in own}


def airflow_unit_environment(row: Row, instance: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the variables that a unit has beside those of all, by name.

    Example: `__airflow_component | airflow_unit_environment(airflow_instance, {...})`. `given` has `home`,
    AIRFLOW_HOME; `config`, the options of airflow.cfg; `bundles`, where it keeps those of commands; `queues` of the
    site; and `broker_database`. A bundle's files are code for whoever reads them, so no two units share where they are
    kept.
    """
    own = f"{given['home']}/{instance['directory']}"
    found = {"HOME": own}
    if given["config"]["dag_processor"]["dag_bundle_storage_path"] == given["bundles"]:
        found["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"] = f"{own}/bundles"
    if "executor" in row["uses"]:
        executor = str(given["config"]["core"]["executor"])
        found["AIRFLOW__CORE__EXECUTOR"] = _CELERY.sub(r"\1\2:airstrip_executor.CeleryExecutor", executor)
        found["AIRSTRIP_QUEUES"] = ",".join(given["queues"])
    if "transport" in row["uses"]:
        options = transport_options(str(instance["name"]), given["broker_database"])
        found |= {_TRANSPORT + option.upper(): value for option, value in options.items()}
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_command_credentials": airflow_command_credentials,
            "airflow_command_workers": airflow_command_workers,
            "airflow_credential_files": airflow_credential_files,
            "airflow_credentials": airflow_credentials,
            "airflow_instance_credentials": airflow_instance_credentials,
            "airflow_unit_environment": airflow_unit_environment,
        }
