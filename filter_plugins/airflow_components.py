"""
Filters: what the components of Airflow on a host are given, as credentials and in their environment.

A component is a row of the role's input `airflow_components`, which follows from the registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.airflow_release import parse_version
from ansible_collections.airstrip.core.plugins.module_utils.broker_transport import looking_options, transport_options
from ansible_collections.airstrip.core.plugins.module_utils.connection_uri import connection_uri
from ansible_collections.airstrip.core.plugins.module_utils.dag_bundles import airflow_bundle

# The environment variable through which Airflow asks a command for a secret. What has none is read as a file.
OPTIONS = {
    "database_url": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "database_async_url": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "results_url": "AIRFLOW__CELERY__RESULT_BACKEND",
    "results_view_url": "AIRFLOW__CELERY__RESULT_BACKEND",
    "broker_url": "AIRFLOW__CELERY__BROKER_URL",
    "flower_broker_url": "AIRFLOW__CELERY__BROKER_URL",
    "fernet_key": "AIRFLOW__CORE__FERNET_KEY",
    "jwt_secret": "AIRFLOW__API_AUTH__JWT_SECRET",
    "api_secret_key": "AIRFLOW__API__SECRET_KEY",
    "secrets_backend": "AIRFLOW__SECRETS__BACKEND_KWARGS",
    "worker_secrets_backend": "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS",
}
# The variable with the path of the file, of those that a library reads itself.
_PATHS = {
    "remote_logs_aws": "AWS_SHARED_CREDENTIALS_FILE",
    "remote_logs_azure": "AZURE_CLIENT_CERTIFICATE_PATH",
    "remote_logs_google": "AIRFLOW__LOGGING__GOOGLE_KEY_PATH",
}
# Each URL's scheme, which the broker's parts have, and its connection.
_URLS = {
    "database_url": ("postgresql+psycopg2", "database"),
    "database_async_url": ("postgresql+asyncpg", "database"),
    "results_url": ("db+postgresql+psycopg2", "results"),
    "results_view_url": ("db+postgresql+psycopg2", "results_view"),
    "broker_url": ("", "broker"),
    "flower_broker_url": ("", "broker"),
}
_BACKENDS = ("secrets_backend", "worker_secrets_backend")
# Of what an operator's command needs to work on the metadata database: as a DAG processor has it, and no key that
# signs.
_COMMAND = ("database", "fernet_key")
_TRANSPORT = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__"
_CELERY = re.compile(r"(^|[,;=] *)(CeleryExecutor)(?= *($|[,;]))")

# What a task's process would import to send its metrics; with 3.2, that takes longer than all else of them.
_STATSD, _OLD_STATSD = "airflow.sdk.observability.metrics.statsd_logger", "airflow.metrics.statsd_logger"
# What Airflow imports in each task's own process, unless the worker that forks it has done so: `python -X importtime`
# shows it in the logs of tasks. Checked for 3.1.7 to 3.3.2.
_WORKER_MODULES = (
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.decorators.python",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
)
# Where that module was before.
_DAGBAG = ((3, 2), "airflow.models.dagbag")

Row = Mapping[str, Any]


def _names(credentials: list[str], connections: Mapping[str, Any], worker: str = "") -> list[str]:
    """Return the names of secrets behind those of a row: some stand for several, of which a worker may lack some."""
    several = {
        # Without parameters, Airflow makes the one from the other.
        "database": ["database_url", *(["database_async_url"] if connections["database"]["query"] else [])],
        "webserver_config": [
            *(str(secret["name"]) for secret in connections["webserver_config"]),
            *(["ldap_bind_password"] if connections["ldap"] else []),
            *(["oauth_client_secrets"] if connections["oauth"] else []),
        ],
        "remote_logs": connections["remote_logs"],
        "remote_logs_streamed": connections["remote_logs_streamed"],
        **{name: backend["credentials"] for name, backend in connections["backends"].items()},
        "bundles": [
            str(secret["name"])
            for secret in connections["bundles"]
            if not (worker and secret["workers"]) or worker in secret["workers"]
        ],
    }
    expanded = (several.get(credential, [credential]) for credential in credentials)
    return [name for names in expanded for name in names]


def _url(name: str, connections: Mapping[str, Any], user: Mapping[str, Any]) -> str:
    """Return a URL by its name, for another user maybe."""
    scheme, connection = _URLS[name]
    parts = {"scheme": scheme, **connections[connection], **user}
    if name == "database_async_url":
        # asyncpg has none of libpq's parameters, but reads a DSN beside its own ones.
        parts["query"] = {"dsn": f"postgresql://?{urlencode(parts['query'])}"}
    return connection_uri(parts)


def airflow_instance_credentials(
    row: Row, instance: Mapping[str, Any], connections: Mapping[str, Any]
) -> dict[str, str]:
    """
    Return the names of an instance's secrets, and the names of the files that have them.

    Example: `__airflow_component | airflow_instance_credentials(airflow_instance, __airflow_connections)`. A worker
    has the file `broker_url.SET`, with the user of all workers of its set, as `broker_url`.
    """
    found = {name: name for name in _names(row["credentials"], connections, instance.get("set", ""))}
    return found | ({"broker_url": f"broker_url.{instance['set']}"} if "set" in instance else {})


def _broker_users(components: Mapping[str, Row], rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the users of a host's own URLs of the broker, by their files: of its workers, and of its Flower."""
    shown = [instance["shows"] for row in components.values() for instance in row["instances"] if "shows" in instance]
    files = {
        "flower_broker_url" if row.get("looking") else f"broker_url.{row['worker']}": row
        for row in rows
        if not row.get("looking") or row["worker"] in shown
    }
    return {file: {"user": row["user"], "password": row["password"]} for file, row in files.items()}


def airflow_credentials(
    components: Mapping[str, Row], secrets: Mapping[str, str], connections: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """
    Return the secrets that a host's components need, by the names of their files, in order.

    Example: `airflow_components | airflow_credentials(__airflow_secrets, __airflow_connections)`. Each has `value` and,
    if Airflow asks a command for it, `option`, the variable of the environment; or `path`, if that variable is to have
    the file's path. `secrets` are values by name, of which
    only those are read that are needed; `connections` has the parts of URLs in `database`, `results`, `results_view`
    and `broker`, as connection_uri takes them; `worker_users`, mappings with `worker`, `user` and `password`: a worker
    without one is the schedulers' user; `webserver_config` and `bundles`, secrets with `name` and `value`; `ldap` and
    `oauth`, by which people log in, or nothing; and `backends`, which airflow_secrets_backend gives. Raises
    AnsibleFilterError for a name that nobody knows.
    """
    given = [*connections["webserver_config"], *connections["bundles"]]
    own = {str(secret["name"]): str(secret["value"]) for secret in given}
    users = _broker_users(components, connections["worker_users"])
    files = {
        file: name
        for row in components.values()
        for instance in row["instances"]
        for name, file in airflow_instance_credentials(row, instance, connections).items()
    }
    found = {}
    for file in sorted(files):
        name = files[file]
        if name in own:
            found[file] = {"value": own[name]}
            continue
        user = users.get(file, {})
        if name in connections["backends"]:
            value = connections["backends"][name]["arguments"]
        elif name not in _URLS and name not in secrets:
            raise AnsibleFilterError(f"airflow_credentials: nobody knows the secret {name!r}")
        else:
            value = _url(name, connections, user) if name in _URLS else secrets[name]
        variables = {"option": OPTIONS.get(name, ""), "path": _PATHS.get(name, "")}
        found[file] = {"value": value, **{key: variable for key, variable in variables.items() if variable}}
    return found


def airflow_credential_files(
    held: Mapping[str, Mapping[str, str]], secrets: Mapping[str, Any], directory: str
) -> list[dict[str, str]]:
    """
    Return the files of a host's secrets as file_set takes them; those of others that there are do not stay.

    Example: `__airflow_held | airflow_credential_files(__airflow_secrets, '/etc/airflow/credentials')`.
    """
    files = [{"path": f"{directory}/{name}", "content": secret["value"]} for name, secret in held.items()]
    return files + [
        {"path": f"{directory}/{name}", "state": "absent"}
        for name in [*secrets, *_URLS, *_BACKENDS]
        if name not in held
    ]


def airflow_command_credentials(held: Mapping[str, Any], connections: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the secrets of operators' commands by name, each with its file; none where no component has the database.

    Example: `__airflow_held | airflow_command_credentials(__airflow_connections)`. Where a component fetches DAG
    bundles, commands do so, too: those that read DAGs.
    """
    if "database_url" not in held:
        return {}
    optional = _names(["bundles", "secrets_backend"], connections)
    return {name: name for name in [*_names([*_COMMAND], connections), *(name for name in optional if name in held)]}


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


def airflow_bundles(
    more: list[Mapping[str, Any]], smoke_test: str, refresh_interval: int, given: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """
    Return the DAG bundles of a site, as Airflow's dag_bundle_config_list takes them.

    Example: `airflow_dag_bundles | airflow_bundles(airflow_smoke_test_directory, 20)`: the folder of the DAGs, or in
    its place the versions in the directory `deployed`; the smoke test's, and `more`, of which those with a `type` are
    ours. Directories are looked through anew after `refresh_interval` seconds, which costs little; other bundles ask a
    server, and have Airflow's own interval unless they say otherwise. `given` may have `deployed`, and in `servers`
    those of object stores, to which the user interface links.
    """
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    own: list[dict[str, Any]] = [{"name": "dags-folder", "classpath": local, "kwargs": {}}]
    if deployed := (given or {}).get("deployed"):
        # Whether the link leads elsewhere costs nothing: at each look, every 5 s by bundle_refresh_check_interval.
        kwargs = {"directory": deployed, "refresh_interval": 1}
        own = [{"name": "dags-folder", "classpath": "airstrip_dags.VersionedBundle", "kwargs": kwargs}]
    own.append({"name": "airstrip-smoke-test", "classpath": local, "kwargs": {"path": smoke_test}})
    interval = {"refresh_interval": int(refresh_interval)}
    return [
        {**row, "kwargs": interval | dict(row.get("kwargs") or {})}
        if row.get("classpath") == local
        else airflow_bundle(row, (given or {}).get("servers", ()))
        for row in [*own, *more]
    ]


def airflow_worker_modules(version: str, metrics: bool = False) -> list[str]:
    """
    Return the modules that a worker imports before it forks for tasks, with `metrics` those that send these by StatsD.

    Example: `'3.3.2' | airflow_worker_modules(metrics=true)`.
    """
    parsed, (since, before) = parse_version(version), _DAGBAG
    is_old = parsed is not None and parsed[:2] < since
    names = [before if is_old and name.endswith(".dagbag") else name for name in _WORKER_MODULES]
    return names + ([_OLD_STATSD if is_old else _STATSD, "statsd"] if metrics else [])


def airflow_unit_environment(row: Row, instance: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the variables that a unit has beside those of all, by name.

    Example: `__airflow_component | airflow_unit_environment(airflow_instance, {...})`. `given` has `home`,
    AIRFLOW_HOME; `config`, the options of airflow.cfg; `bundles`, where it keeps those of commands; `queues` of the
    site; `broker_database`; `flower_read_only`; and `backends`, with the `environment` of secrets backends. A bundle's
    files are code for whoever reads them, so no two units share where they are kept.
    """
    own = f"{given['home']}/{instance['directory']}"
    found = {"HOME": own}
    for name in row["credentials"]:
        found |= given["backends"].get(name, {}).get("environment", {})
    if given["config"]["dag_processor"]["dag_bundle_storage_path"] == given["bundles"]:
        found["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"] = f"{own}/bundles"
    if "executor" in row["uses"]:
        executor = str(given["config"]["core"]["executor"])
        found["AIRFLOW__CORE__EXECUTOR"] = _CELERY.sub(r"\1\2:airstrip_executor.CeleryExecutor", executor)
        found["AIRSTRIP_QUEUES"] = ",".join(given["queues"])
    if "transport" in row["uses"]:
        is_looking = "shows" in instance
        options = (looking_options if is_looking else transport_options)(
            str(instance["shows" if is_looking else "set"]), given["broker_database"]
        )
        found |= {_TRANSPORT + option.upper(): value for option, value in options.items()}
    if "flower_config" in row["uses"]:
        found["AIRSTRIP_FLOWER_READ_ONLY"] = "yes" if given["flower_read_only"] else "no"
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_bundles": airflow_bundles,
            "airflow_command_credentials": airflow_command_credentials,
            "airflow_command_workers": airflow_command_workers,
            "airflow_credential_files": airflow_credential_files,
            "airflow_credentials": airflow_credentials,
            "airflow_instance_credentials": airflow_instance_credentials,
            "airflow_unit_environment": airflow_unit_environment,
            "airflow_worker_modules": airflow_worker_modules,
        }
