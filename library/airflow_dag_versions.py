#!/usr/bin/python
"""Module: which versions of DAGs Airflow knows, and which its runs read."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.airflow_api import ARGUMENT_SPEC, AirflowApi, AirflowApiError
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: airflow_dag_versions
short_description: Which versions of DAGs Airflow knows, and which its runs read
description:
  - Lists the DAGs with their bundles and versions, and the DAG runs that have not ended, by Airflow's REST API.
  - With O(version), it waits until the DAG processors have read these DAGs from that version.
  - It changes nothing.
author: Airstrip
options:
  api_url: {description: "URL of an API server, for example http://127.0.0.1:8080.", type: str, required: true}
  api_username: {description: User name., type: str, required: true}
  api_password: {description: Password., type: str, required: true}
  api_ca_path: {description: "File with the authorities to trust; without it, the system's.", type: path}
  api_timeout: {description: Seconds that one request may take., type: int, default: 30}
  version: {description: Version to wait for., type: str}
  dag_ids: {description: DAGs that it has., type: list, elements: str, default: []}
  timeout: {description: Seconds to wait., type: int, default: 60}
attributes:
  check_mode: {support: full}
"""

EXAMPLES = r"""
- name: Wait until the new version is seen
  airflow_dag_versions:
    api_url: http://127.0.0.1:8080
    api_username: admin
    api_password: "{{ airflow_admin_password }}"
    version: 3f2a9c1
    dag_ids: [nightly]
"""

RETURN = r"""
dags: {description: "By id, C(bundle) and C(version) of each DAG that is there.", type: dict, returned: success}
runs:
  description: Runs that have not ended, with C(dag_id), C(run_id) and C(version), null where a run has none.
  type: list
  returned: success
  elements: dict
seconds: {description: How long it waited., type: float, returned: success}
waiting: {description: DAGs that it waited for in vain., type: list, returned: failure}
"""

_PAGE = 100
_POLL_SECONDS = 0.5
_SERVER_ERROR = 500


def pages(api: AirflowApi, path: str, key: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all entries of a list."""
    found: list[dict[str, Any]] = []
    while True:
        page = api.request("GET", path, query={**query, "limit": _PAGE, "offset": len(found)})
        found += page[key]
        if not page[key] or len(found) >= page["total_entries"]:
            return found


def known(api: AirflowApi) -> dict[str, Any]:
    """Return the DAGs that are there."""
    rows = pages(api, "/api/v2/dags", "dags", {"exclude_stale": "true", "order_by": "dag_id"})
    return {row["dag_id"]: {"bundle": row.get("bundle_name"), "version": row.get("bundle_version")} for row in rows}


def unfinished(api: AirflowApi) -> list[dict[str, Any]]:
    """Return the DAG runs that have not ended."""
    query = {"state": ["queued", "running"], "order_by": "id"}
    rows = pages(api, "/api/v2/dags/~/dagRuns", "dag_runs", query)
    return [
        {"dag_id": row["dag_id"], "run_id": row["dag_run_id"], "version": row.get("bundle_version")} for row in rows
    ]


def wait(module: AnsibleModule, api: AirflowApi) -> dict[str, Any]:
    """Wait for a version; return the DAGs. Fails with those that do not come."""
    given = module.params
    limit = time.monotonic() + given["timeout"]
    problem = ""
    waiting: list[str] = given["dag_ids"]
    while True:
        try:
            dags = known(api)
            waiting = [name for name in given["dag_ids"] if dags.get(name, {}).get("version") != given["version"]]
            problem = f"DAG processors have not read from it within {given['timeout']} s: {', '.join(waiting)}"
        except AirflowApiError as error:
            if 0 < error.status < _SERVER_ERROR:
                raise
            waiting, problem = given["dag_ids"], str(error)
        else:
            if not waiting:
                return dags
        if time.monotonic() > limit:
            module.fail_json(
                msg=f"Version {given['version']} of the DAGs is on the hosts and is the current one, but {problem}. "
                "See the journal of airflow-dag-processor.",
                waiting=waiting,
            )
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """Run the module."""
    spec = ARGUMENT_SPEC | {
        "version": {"type": "str"},
        "dag_ids": {"type": "list", "elements": "str", "default": []},
        "timeout": {"type": "int", "default": 60},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    api, began = AirflowApi(module.params), time.monotonic()
    try:
        dags = wait(module, api) if module.params["version"] else known(api)
        runs = [] if module.params["version"] else unfinished(api)
    except AirflowApiError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, dags=dags, runs=runs, seconds=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
