"""Fixtures of the tests of examples/freshpoc: its DAG as its README deploys it, and what its services have made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis
import testinfra
from airstrip_airflow import Airflow
from airstrip_prometheus import Prometheus
from airstrip_site import Site

DAG = "FreshPoC_E2E"
COMPANY = "https://company.airstrip.test:8443"
REPO = f"{COMPANY}/jaffle-shop-classic.git"


@pytest.fixture(scope="session")
def services(site: Site) -> Any:
    """The host of Git server and object store, as root."""
    return testinfra.get_host(site.connection("services-1"))


@pytest.fixture(scope="session")
def url(site: Site) -> str:
    """Where people come to: the site has one host, and speaks no TLS."""
    return f"http://{site.address('node-1')}:8080"


@pytest.fixture(scope="session")
def airflow(site: Site, url: str) -> Airflow:
    """Airflow's API, as the first administrator."""
    return Airflow(url, "admin", site.secrets["airflow_admin_password"])


@pytest.fixture(scope="session")
def deployed(site: Site, node: Any, airflow: Airflow) -> str:
    """The DAG, deployed and switched on by the README's commands."""
    result = site.command(
        "ansible-playbook", "playbooks/deploy_dags.yml", "--extra-vars", "dags_source=examples/freshpoc/dags"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert airflow.has_dag(DAG)
    node.check_output(f"airflow dags unpause {DAG}")
    return DAG


@pytest.fixture(scope="session")
def green(airflow: Airflow, deployed: str) -> str:
    """A run of the DAG that has ended well."""
    run = airflow.start_new(deployed, repo=REPO)
    state = airflow.wait(deployed, run, 300)
    failed = [task for task in airflow.tasks(deployed, run) if task["state"] != "success"]
    assert state == "success", [airflow.log(deployed, run, task) for task in failed]
    return run


@pytest.fixture(scope="session")
def bus(site: Site) -> Iterator[Any]:
    """The event bus, as its services see it."""
    with site.tunnel("node-1", 6390) as port:
        yield redis.Redis(port=port, password=site.secrets["event_bus_password"], decode_responses=True)


@pytest.fixture(scope="session")
def store(site: Site) -> Any:
    """The object store, from outside of the site."""
    secret = (site.directory / "company-s3-secret").read_text(encoding="utf-8").split()[0]
    return boto3.client(
        "s3",
        endpoint_url=f"https://{site.address('services-1')}:8333",
        aws_access_key_id=site.variable("node-1", "freshpoc_object_store_access_key"),
        aws_secret_access_key=secret,
        region_name="us-east-1",
        verify=str(site.directory / "company-ca.crt"),
    )


@pytest.fixture(scope="session")
def prometheus(site: Site) -> Iterator[Prometheus]:
    """Prometheus, as its own user. On a site of one host it speaks no TLS, and only its host reaches it."""
    with site.tunnel("node-1", 9090) as port:
        yield Prometheus(f"http://127.0.0.1:{port}", "airstrip", site.secrets["monitoring_password"], Path("/nowhere"))
