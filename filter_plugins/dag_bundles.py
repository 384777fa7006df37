"""
Filters: what the components of Airflow are given for DAG bundles of the types `git` and `s3`.

What is wrong with them is in dag_bundle_problems.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils import dag_bundles
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping


def _rows(value: object, what: str) -> list[dict[str, Any]]:
    return [as_mapping(row, f"each of {what}") for row in as_list(value, what)]


def airflow_bundle_environment(bundles: object, servers: object, given: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables of the environment of all components that DAG bundles need; none without a `type`.

    Example: `airflow_dag_bundles | airflow_bundle_environment(airflow_bundle_servers, {'directory':
    '/etc/airflow/bundles', 'authorities': '/etc/ssl/certs/ca-certificates.crt'})`. No secret is in them.
    """
    rows, known = _rows(bundles, "airflow_dag_bundles"), _rows(servers, "airflow_bundle_servers")
    return dag_bundles.environment(rows, known, given["directory"], given["authorities"])


def airflow_bundle_files(servers: object, held: object, given: Mapping[str, str]) -> list[dict[str, str]]:
    """
    Return what Git, ssh and the S3 client read to reach servers, as the module file_set takes it; no secret is in it.

    Example: `airflow_bundle_servers | airflow_bundle_files(airflow_bundle_secrets | map(attribute='name'),
    {'directory': '/etc/airflow/bundles', 'program': text})`. `program` hands out secrets, of those servers that have
    one, which are `held`. Nothing without servers.
    """
    known, directory = _rows(servers, "airflow_bundle_servers"), given["directory"]
    if not known:
        return []
    texts = dag_bundles.files(known, [str(name) for name in as_list(held, "the names of secrets")], directory)
    return [
        {"path": directory, "state": "directory", "mode": "0750", "exclusive": "true"},
        *({"path": f"{directory}/{name}", "content": text} for name, text in sorted(texts.items())),
        {"path": f"{directory}/secret", "content": given["program"], "mode": "0750"},
    ]


def airflow_bundle_credentials(secrets: object) -> list[dict[str, Any]]:
    """
    Return the credentials of those components that fetch DAG bundles: `name`, `value` and `workers`.

    Example: `airflow_bundle_secrets | airflow_bundle_credentials`. `workers` are the names of those that get it, and
    empty for all.
    """
    return [
        {"name": f"bundle_{row['name']}", "value": dag_bundles.secret_text(row), "workers": row.get("workers") or []}
        for row in _rows(secrets, "airflow_bundle_secrets")
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_bundle_credentials": airflow_bundle_credentials,
            "airflow_bundle_environment": airflow_bundle_environment,
            "airflow_bundle_files": airflow_bundle_files,
        }
