"""A site at work, whose day has a minute: what Airflow allows to a day passes while a test looks on.

One run of site.yml gives it Airflow's own example DAGs as bundles and packages with native code, too; another one
takes all of it back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_site import PROJECT, Site

DAY = 60
DAGS = "/srv/airflow/dags"
SOURCES = (PROJECT / "tests/testinfra/dags/airstrip_probe.py", Path(__file__).parent / "dags/airstrip_native.py")
LOCAL = "airflow.dag_processing.bundles.local.LocalDagBundle"
EXAMPLES = {"examples": "airflow/example_dags", "standard-examples": "airflow/providers/standard/example_dags"}


def variables(packages: str) -> dict[str, Any]:
    """Return what the site is given, beside its own variables."""
    return {
        "airflow_dag_bundles": [
            {"name": name, "classpath": LOCAL, "kwargs": {"path": f"{packages}/{path}"}}
            for name, path in EXAMPLES.items()
        ],
        "airflow_release_extra_packages": ["joblib", "numpy", "pandas", "pyarrow"],
        "airflow_config_overrides": {
            "celery_broker_transport_options": {"visibility_timeout": DAY},
            "execution_api": {"jwt_expiration_time": DAY},
        },
    }


def play(site: Site, *arguments: str) -> None:
    """Run the Airflow tier of the site."""
    result = site.command("ansible-playbook", "site.yml", "--tags", "airflow", *arguments)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr


@pytest.fixture(scope="session")
def airflow(site: Site, node: Any) -> Iterator[Airflow]:
    """The REST API of the site while it has all of that."""
    for source in SOURCES:
        encoded = base64.b64encode(source.read_bytes()).decode()
        node.check_output(f"echo {encoded} | base64 -d >{DAGS}/{source.name}")
    packages = node.check_output("echo /opt/airflow/current/lib/python3*/site-packages")
    try:
        play(site, "-e", json.dumps(variables(packages)))
        # Else the DAG processor would come to it in its own time.
        node.check_output("airflow dags reserialize")
        yield site.airflow()
    finally:
        node.check_output("rm " + " ".join(f"{DAGS}/{source.name}" for source in SOURCES))
        play(site)
