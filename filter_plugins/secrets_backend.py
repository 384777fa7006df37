"""Filters: Airflow's secrets backends, which have connections and variables, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping
from ansible_collections.airstrip.core.plugins.plugin_utils.secret_stores import (
    BACKENDS,
    CLOUDS,
    VAULTS,
    store_problems,
)

_CLASSES = {
    **dict.fromkeys(VAULTS, "airflow.providers.hashicorp.secrets.vault.VaultBackend"),
    "aws_secrets_manager": "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend",
    "aws_ssm": "airflow.providers.amazon.aws.secrets.systems_manager.SystemsManagerParameterStoreBackend",
    "local_files": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
}
# Extras of apache-airflow that have these classes; their packages are called alike.
_PROVIDERS = {**dict.fromkeys(VAULTS, "hashicorp"), **dict.fromkeys(CLOUDS, "amazon")}
# Arguments that have the same name for Airflow; and the one that is the secret of a login.
_ARGUMENTS = (
    *("auth_mount_point", "connections_path", "connections_prefix", "endpoint_url", "kv_engine_version", "mount_point"),
    *("namespace", "region_name", "role_arn", "role_id", "url", "username", "variables_path", "variables_prefix"),
)
_SECRETS = {"approle": "secret_id", "ldap": "password", "token": "token", "userpass": "password"}
# Of components that have the metadata database, and of tasks. Airflow puts in the directory, which each unit has.
_OPTIONS = {
    "secrets_backend": ("AIRFLOW__SECRETS__BACKEND", "AIRFLOW__SECRETS__BACKEND_KWARGS"),
    "worker_secrets_backend": ("AIRFLOW__WORKERS__SECRETS_BACKEND", "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS"),
}
_LOGINS = {
    "site_secrets_backend": "airflow_secrets_backend_secret",
    "site_worker_secrets_backend": "airflow_worker_secrets_backend_secret",
}
_SECTIONS = {
    "site_secrets_backend": ("secrets", "backend"),
    "site_worker_secrets_backend": ("workers", "secrets_backend"),
}
_FILES = {"connections_file_path": "secrets_connections.json", "variables_file_path": "secrets_variables.json"}

Row = Mapping[str, Any]


def _kwargs(given: Mapping[str, Any], secret: str, ca_file: str) -> dict[str, Any]:
    """Return the arguments of the class."""
    found = {name: given[name] for name in _ARGUMENTS if name in given}
    found["verify"] = given.get("ca_file") or ca_file
    if given["type"] in VAULTS:
        method = str(given.get("auth_type", "token"))
        found |= {"auth_type": method, _SECRETS[method]: secret}
    elif given.get("access_key_id"):
        found |= {"aws_access_key_id": given["access_key_id"], "aws_secret_access_key": secret}
    return found | dict(given.get("options") or {})


def airflow_secrets_backend(declared: object, part: str, secret: str, ca_file: str) -> dict[str, Any]:
    """
    Return what a component needs for a backend: `credentials`, `environment`, and the arguments of its class as JSON.

    Example: `airflow_secrets_backend | airflow_secrets_backend('secrets_backend', secret, '/etc/ssl/ca.crt')`. `part`
    is the name of the credential, secrets_backend or worker_secrets_backend; `secret` is that of the login; `ca_file`
    has the authorities that count without `ca_file`. Nothing for no backend. Raises AnsibleFilterError on a type that
    there is not, which preflight has refused.
    """
    given = as_mapping(declared, part)
    if not given:
        return {"credentials": [], "environment": {}, "arguments": ""}
    if given.get("type") not in _CLASSES:
        raise AnsibleFilterError(f"airflow_{part}.type must be one of {', '.join(_CLASSES)}")
    option, arguments = _OPTIONS[part]
    environment = {option: _CLASSES[given["type"]]}
    if given["type"] == "local_files":
        files = {name: f"$CREDENTIALS_DIRECTORY/{file}" for name, file in _FILES.items()}
        environment[arguments] = json.dumps(files, sort_keys=True)
        return {"credentials": list(_FILES.values()), "environment": environment, "arguments": ""}
    kwargs = json.dumps(_kwargs(given, secret, ca_file), sort_keys=True)
    return {"credentials": [part], "environment": environment, "arguments": kwargs}


def _login(given: Row, variable: str, site: Row) -> Iterator[str]:
    """Yield what is wrong with the secret of a login, and with what stands in local files."""
    kind = given.get("type")
    has_login = kind in VAULTS or (kind in CLOUDS and given.get("access_key_id"))
    if has_login and _LOGINS[variable] not in site["set"]:
        yield f"{_LOGINS[variable]} is not set, and {variable} needs it: the secret of the login. Keep it in a vault."
    if kind == "local_files" and variable == "site_secrets_backend" and not site["files"]:
        yield (
            f"{variable}.type is local_files, and there are none. Set airflow_secrets_backend_connections or "
            "airflow_secrets_backend_variables."
        )


def _provider(given: Row, variable: str, site: Row) -> Iterator[str]:
    name = _PROVIDERS.get(str(given.get("type")))
    packages = [re.sub(r"[-_.]+", "-", str(item)).lower() for item in site["packages"]]
    package = f"apache-airflow-providers-{name}"
    if name and name not in site["extras"] and not any(re.match(rf"{package}(?![\w-])", item) for item in packages):
        yield (
            f"{variable}.type is {given['type']}, and the release does not have its provider. Add {package} to "
            "airflow_release_extra_packages."
        )


def _twice(variable: str, site: Row) -> Iterator[str]:
    """Yield where Airflow's own options say another backend."""
    section, option = _SECTIONS[variable]
    given = [name for name in site["overrides"].get(section) or {} if str(name).startswith(option)]
    found = [f"airflow_config_overrides.{section}.{name}" for name in given]
    start = f"AIRFLOW__{section}__{option}".upper()
    found += [f"airflow_environment.{name}" for name in site["environment"] if str(name).startswith(start)]
    yield from (f"{name} and {variable} both say what the backend is. Take one of them out." for name in found)


def airflow_secrets_backend_problems(backends: object, site: object) -> list[str]:
    """
    List what is wrong with backends, one message each with its remedy; nothing for those that are empty.

    Example: `{'site_secrets_backend': {'type': 'vualt'}} | airflow_secrets_backend_problems({'set': [], ...})`. `site`
    has `set`, the names of secrets that are set; `extras` and `packages` of the release; `files`, whether there are
    local ones; `overrides` and `environment`, Airflow's options as users set them. No message contains a secret.
    Raises AnsibleFilterError on wrong types.
    """
    what = "airflow_secrets_backend_problems"
    found: list[str] = []
    around = as_mapping(site, f"{what}: the site")
    for variable, backend in as_mapping(backends, f"{what}: the backends").items():
        given = as_mapping(backend, variable)
        is_server = variable == "site_secrets_backend"
        kinds = {kind: keys for kind, keys in BACKENDS.items() if is_server or kind != "local_files"}
        if given:
            found += store_problems(given, variable, kinds, f"belongs into {_LOGINS[variable]}")
            found += [*_login(given, variable, around), *_provider(given, variable, around), *_twice(variable, around)]
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_secrets_backend": airflow_secrets_backend,
            "airflow_secrets_backend_problems": airflow_secrets_backend_problems,
        }
