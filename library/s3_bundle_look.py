#!/usr/bin/python
"""Module: ask an object store for what DAG bundles want of it, as Airflow will."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.airstrip.core.plugins.module_utils import dag_bundles

try:
    import botocore.config
    import botocore.session
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    HAS_CLIENT = False
else:
    HAS_CLIENT = True

DOCUMENTATION = r"""
module: s3_bundle_look
short_description: Ask an object store for what DAG bundles want of it
description:
  - Lists one object of each bundle, with the same keys and authorities that Airflow's components get.
  - It runs with the Python of the release, which has the client (C(ansible_python_interpreter)).
  - It changes nothing, and never fails. RV(answers) says what was wrong.
author: Airstrip
options:
  bundles: {description: DAG bundles; those of other types are left out., type: list, elements: dict, required: true}
  servers: {description: How stores are reached., type: list, elements: dict, default: []}
  secrets: {description: "Their keys, by C(name).", type: list, elements: dict, default: []}
  authorities: {description: File of the authorities that are trusted., type: path, required: true}
  timeout: {description: Seconds for one answer., type: int, default: 10}
attributes:
  check_mode: {support: full, description: It is the same then.}
"""

EXAMPLES = r"""
- name: Ask for the bundles
  vars:
    ansible_python_interpreter: /opt/airflow/current/bin/python
  s3_bundle_look:
    bundles: [{name: dags, type: s3, server: store, bucket: dags}]
    servers: [{name: store, endpoint: "https://s3.example.com"}]
    secrets: [{name: store, access_key: airflow, secret_key: "{{ vault_store_key }}"}]
    authorities: /etc/ssl/certs/ca-certificates.crt
"""

RETURN = r"""
answers:
  description: "For each bundle C(name), C(stage) (C(unasked), C(server), C(prefix), or empty if it can be read), and
    C(error), in the client's words, or the store's code."
  type: list
  returned: always
"""


def _client(server: Mapping[str, Any], secret: Mapping[str, Any], verify: str, timeout: int) -> Any:
    session = botocore.session.Session()
    if secret:
        session.set_credentials(str(secret["access_key"]), str(secret["secret_key"]))
    style = {"addressing_style": "path"} if server.get("endpoint") else {}
    config = botocore.config.Config(
        connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1}, s3=style
    )
    return session.create_client(
        "s3", endpoint_url=server.get("endpoint"), region_name=server.get("region") or "us-east-1", verify=verify,
        config=config,
    )  # fmt: skip


def _look(bundle: Mapping[str, Any], client: Any) -> dict[str, str]:
    prefix = dag_bundles.airflow_bundle(bundle)["kwargs"].get("prefix", "")
    try:
        client.head_bucket(Bucket=bundle["bucket"])
        listed = client.list_objects_v2(Bucket=bundle["bucket"], Prefix=prefix, MaxKeys=1)
    except ClientError as error:
        return {"stage": "server", "error": str(error.response["Error"]["Code"])}
    except (BotoCoreError, OSError, ValueError) as error:
        return {"stage": "server", "error": f"{type(error).__name__}: {error}"}
    return {"stage": "prefix" if prefix and not listed.get("KeyCount") else "", "error": ""}


def look(given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what the module says."""
    if not HAS_CLIENT:
        error = "the release's Python has no S3 client yet"
        return [
            {"name": row["name"], "stage": "unasked", "error": error}
            for row in given["bundles"]
            if row.get("type") == "s3"
        ]
    servers = {row["name"]: row for row in given["servers"]}
    secrets = {row["name"]: row for row in given["secrets"]}
    answers = []
    with tempfile.TemporaryDirectory(prefix="airstrip-bundles-") as directory:
        for bundle in (row for row in given["bundles"] if row.get("type") == "s3"):
            server, verify = servers[bundle["server"]], given["authorities"]
            if server.get("ca_certificate"):
                verify = str(Path(directory, server["name"]))
                Path(verify).write_text(server["ca_certificate"], encoding="utf-8")
            client = _client(server, secrets.get(server["name"], {}), verify, given["timeout"])
            answers.append({"name": bundle["name"], **_look(bundle, client)})
    return answers


def main() -> None:
    """Run the module."""
    rows: dict[str, Any] = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "bundles": {"type": "list", "elements": "dict", "required": True},
            "servers": rows,
            "secrets": {**rows, "options": dag_bundles.SECRET_OPTIONS},
            "authorities": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, answers=look(module.params))


if __name__ == "__main__":
    main()
