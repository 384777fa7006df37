"""
Filters: where task logs are kept beside the hosts, as Airflow and the clouds' own libraries take it.

The place is site_remote_logs, a mapping of which docs/logs.md has the keys; an empty one is none. Its key is no part of
it: that reaches the components as a file, which the libraries read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

# As Airflow reads the environment: AIRFLOW_CONN_ and the id in capitals.
CONNECTION = "airstrip_remote_logs"
# The section of the file with the key, which nobody uses but who names it.
PROFILE = "airstrip_remote_logs"
_AWS = ("s3", "cloudwatch")
REGION = "us-east-1"
# Days, if nothing is said.
KEEP_DAYS, UNFINISHED_DAYS = 7, 1


def _parts(store: object) -> tuple[str, str, str, dict[str, Any]]:
    """Return scheme, bucket (or container), prefix in it, and the whole mapping."""
    given = as_mapping(store, "site_remote_logs")
    parts = urlsplit(str(given.get("url", "")))
    return parts.scheme, parts.netloc, parts.path.strip("/"), given


def _own_connection(given: Mapping[str, Any]) -> str:
    return str(given.get("connection") or "")


def remote_logs_config(store: object) -> dict[str, dict[str, Any]]:
    """
    Return the options of airflow.cfg, by section.

    Example: `{'url': 's3://logs/airflow'} | remote_logs_config`.
    """
    scheme, bucket, prefix, given = _parts(store)
    if not given:
        return {}
    logging = {
        "remote_logging": True,
        "remote_base_log_folder": f"wasb://{prefix}" if scheme == "wasb" else str(given["url"]).rstrip("/"),
        "delete_local_logs": bool(given.get("delete_local", False)),
    }
    # Google's handler takes its key from a file of its own, and would look for a connection first.
    if scheme != "gs" or _own_connection(given):
        logging["remote_log_conn_id"] = _own_connection(given) or CONNECTION
    azure = {"azure_remote_logging": {"remote_wasb_log_container": bucket}} if scheme == "wasb" else {}
    return {"logging": logging} | azure


def remote_logs_environment(store: object, ca_bundle: str) -> dict[str, str]:
    """
    Return the environment of the components: Airflow's connection, without a secret.

    Example: `{'url': 's3://logs'} | remote_logs_environment('/etc/ssl/certs/ca-certificates.crt')`. `ca_bundle` is the
    file with the authorities that may have signed the server's certificate.
    """
    scheme, _, _, given = _parts(store)
    connection: dict[str, Any] = {}
    more: dict[str, str] = {}
    if scheme in _AWS:
        extra = {"endpoint_url": given.get("endpoint_url"), "verify": ca_bundle}
        extra["region_name"] = given.get("region", REGION if scheme == "s3" else None)
        extra["profile_name"] = None if given.get("machine_role") else PROFILE
        connection = {"conn_type": "aws", "extra": {key: value for key, value in extra.items() if value}}
    elif scheme == "wasb":
        connection = {"conn_type": "wasb", "host": str(given.get("endpoint_url", ""))}
        ids = {"AZURE_TENANT_ID": given.get("tenant_id"), "AZURE_CLIENT_ID": given.get("client_id")}
        more = {name: str(value) for name, value in ids.items() if value}
    if not connection or _own_connection(given):
        return {}
    return {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(connection, sort_keys=True)} | more


def remote_logs_files(store: object, streamed: bool = False) -> list[str]:
    """
    Return the names of the secret files that a component has for the place of the logs: one, or none.

    Example: `{'url': 's3://logs', 'access_key_id': 'AK'} | remote_logs_files` gives `['remote_logs_aws']`. With
    `streamed`, of a component that only writes where logs are sent line by line.
    """
    scheme, _, _, given = _parts(store)
    if _own_connection(given) or given.get("machine_role") or (streamed and scheme != "cloudwatch"):
        return []
    names = {"gs": "remote_logs_google", "wasb": "remote_logs_azure"} | dict.fromkeys(_AWS, "remote_logs_aws")
    return [names[scheme]] if scheme in names else []


def remote_logs_profile(store: object, key: str) -> str:
    """
    Return the file from which Amazon's library reads the key.

    Example: `{'url': 's3://logs', 'access_key_id': 'AK'} | remote_logs_profile('secret')`.
    """
    given = as_mapping(store, "site_remote_logs")
    return f"[{PROFILE}]\naws_access_key_id = {given['access_key_id']}\naws_secret_access_key = {key}\n"


def remote_logs_lasting(store: object) -> dict[str, Any]:
    """
    Return for how long a bucket or a log group is told to keep the logs; nothing, if it is told nothing.

    Example: `{'url': 's3://logs/airflow', 'access_key_id': 'AK'} | remote_logs_lasting`. Of a bucket it has `bucket`,
    `prefix`, `unfinished_days` and `is_wanted`, of a log group `group` and `region`; of both `days`, 0 for ever, and
    `access_key_id`, empty for the machine's own role.
    """
    scheme, bucket, prefix, given = _parts(store)
    admin = given.get("admin_access_key_id")
    if scheme not in _AWS or not given.get("life_cycle", True) or (_own_connection(given) and not admin):
        return {}
    days, unfinished = int(given.get("keep_days", KEEP_DAYS)), int(given.get("keep_unfinished_days", UNFINISHED_DAYS))
    key = "" if given.get("machine_role") and not admin else str(admin or given["access_key_id"])
    found: dict[str, Any] = {"days": days, "access_key_id": key}
    if scheme == "cloudwatch":
        _, _, _, region, _, _, group = str(given["url"]).removeprefix("cloudwatch://").split(":", 6)
        return found | {"group": group, "region": region}
    more = {"unfinished_days": unfinished, "is_wanted": bool(days or unfinished)}
    return found | {"bucket": bucket, "prefix": f"{prefix}/" if prefix else ""} | more


def remote_logs_probed(store: object) -> dict[str, str]:
    """
    Return what the module remote_logs_probe takes of the place: `kind`, `endpoint_url`, `region`, `place` and `prefix`.

    Example: `{'url': 's3://logs/airflow'} | remote_logs_probed`.
    """
    scheme, bucket, prefix, given = _parts(store)
    found = {"kind": scheme, "endpoint_url": str(given.get("endpoint_url", ""))}
    if scheme == "cloudwatch":
        lasting = remote_logs_lasting({**given, "life_cycle": True})
        return found | {"region": lasting["region"], "place": lasting["group"], "prefix": ""}
    return found | {
        "region": str(given.get("region", REGION)),
        "place": bucket,
        "prefix": f"{prefix}/" if prefix else "",
    }


def remote_logs_source(store: object) -> str:
    """
    Return how the first lines of a log begin that name the place from which it was read; empty for none.

    Example: `{'url': 's3://logs/airflow'} | remote_logs_source` gives `s3://logs/airflow/`.
    """
    scheme, _, _, given = _parts(store)
    if scheme == "cloudwatch":
        return "Reading remote log from Cloudwatch"
    return "https://" if scheme == "wasb" else f"{str(given['url']).rstrip('/')}/" if given else ""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "remote_logs_config": remote_logs_config,
            "remote_logs_environment": remote_logs_environment,
            "remote_logs_files": remote_logs_files,
            "remote_logs_lasting": remote_logs_lasting,
            "remote_logs_probed": remote_logs_probed,
            "remote_logs_profile": remote_logs_profile,
            "remote_logs_source": remote_logs_source,
        }
