"""The move that the example's README describes: a dump of an older schema comes into an empty database.

No cluster is at hand, so the site plays it: it stands still, and its database is taken back to the schema of 3.1.7.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import Site

DAG_ID = "airflow_flow"
OLD_DUMP = "/var/lib/postgresql/cluster.pgc"
DUMP = "/var/lib/postgresql/airflow.pgc"
REVISION = "SELECT version_num FROM alembic_version"
PASSWORD = "SELECT password FROM connection WHERE conn_id = 'results'"  # noqa: S105 a question


@dataclass(frozen=True)
class Cluster:
    """What there was: the dump, and what has to come back of it."""

    dump: Path
    run_id: str
    revision: str
    old_revision: str
    password: str


def start(airflow: Airflow) -> str:
    """Run the DAG to its end: its file is there, or comes with the command of the README before."""
    run_id = airflow.start_new(DAG_ID)
    assert airflow.wait(DAG_ID, run_id, 300) == "success"
    return run_id


@pytest.fixture(scope="module")
def cluster(
    airflow: Airflow, hosts: dict[str, Any], readme: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Steps 2 and 3: nothing runs any more, and the database is dumped and gone."""
    control, worker, data = (hosts[name] for name in ("control-1", "worker-1", "data-1"))
    readme.run("src=examples/kubernetes/dags/")
    readme.run("src=examples/kubernetes/inbox/")
    airflow.wait_for_dag(DAG_ID, 180)
    run_id, revision, password = start(airflow), sql(data, REVISION), sql(data, PASSWORD)
    for host in (worker, control):
        host.check_output("systemctl stop 'airflow-*.service'")
    control.check_output("airflow db downgrade --to-version 3.1.7 --yes")
    data.check_output(f"cd / && runuser -u postgres -- pg_dump --format=custom --file={OLD_DUMP} airflow")
    dump = tmp_path_factory.mktemp("cluster") / "airflow.pgc"
    dump.write_bytes(base64.b64decode(data.check_output(f"base64 {OLD_DUMP}")))
    old_revision = sql(data, REVISION)
    data.check_output(f"rm {OLD_DUMP} && cd / && runuser -u postgres -- dropdb --force airflow")
    yield Cluster(dump, run_id, revision, old_revision, password)
    data.check_output(f"rm -f {DUMP}")


@pytest.fixture(scope="module")
def moved(cluster: Cluster, data: Any, readme: Any) -> Cluster:
    """The last command of step 1, and steps 4 and 5."""
    readme.run("play site.yml --tags certificates,base,firewall,postgresql")
    assert sql(data, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    readme.run("dest=/var/lib/postgresql/airflow.pgc", src=str(cluster.dump))
    readme.run("pg_restore")
    readme.run("path=/var/lib/postgresql/airflow.pgc")
    assert sql(data, REVISION) == cluster.old_revision
    readme.run("play site.yml")
    return cluster


def test_the_dump_had_an_older_schema(cluster: Cluster) -> None:
    assert cluster.old_revision != cluster.revision


def test_the_schema_is_the_present_one(moved: Cluster, data: Any) -> None:
    assert sql(data, REVISION) == moved.revision
    assert sql(data, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == "airflow"


def test_history_and_connections_came_along(moved: Cluster, site: Site, data: Any) -> None:
    airflow = site.airflow()
    assert airflow.state(DAG_ID, moved.run_id) == "success"
    assert airflow.result(DAG_ID, moved.run_id, "store") == 3
    # Encrypted by the same key: whether it fits, the next test tells.
    same = sql(data, PASSWORD) == moved.password
    assert same


@pytest.mark.usefixtures("moved")
def test_the_dag_runs(site: Site, revenue: Callable[[str], list[str]]) -> None:
    assert len(revenue(start(site.airflow()))) == 3


def test_the_dump_is_not_left_behind(moved: Cluster, data: Any) -> None:
    assert moved.dump.exists()
    assert not data.file(DUMP).exists
