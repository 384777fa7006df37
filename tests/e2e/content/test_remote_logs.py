"""Task logs are kept in the company's object store, and are read from there when the worker is gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from airstrip_airflow import Airflow
from airstrip_site import Site

DAG = "airstrip_smoke_test"
PLACE = "s3://airflow-logs/content/"
CREDENTIAL = "/etc/airflow/credentials/remote_logs_aws"
# The bundle of team-c lies in the same store, and has the same key.
HOLDING = ["/etc/airflow/credentials/bundle_store", CREDENTIAL]
PYTHON = "/opt/airflow/current/bin/python"
# Asks the store with the release's own library and the site's own key, which no command line has.
ASK = f"""
import json, os, boto3
os.environ["AWS_SHARED_CREDENTIALS_FILE"] = "{CREDENTIAL}"
session = boto3.Session(profile_name="airstrip_remote_logs", region_name="us-east-1")
store = session.client("s3", endpoint_url="https://company.airstrip.test:8333", verify="/etc/airflow/ca-bundle.crt")
"""
LIST = """
pages = store.get_paginator("list_objects_v2").paginate(Bucket="airflow-logs")
print(json.dumps([entry["Key"] for page in pages for entry in page.get("Contents", [])]))
"""
RULES = 'print(json.dumps(store.get_bucket_lifecycle_configuration(Bucket="airflow-logs")["Rules"]))'


@pytest.fixture(scope="module")
def airflow(site: Site) -> Airflow:
    """The site at its host's own address: the company's host is none of its hosts."""
    host = site.group("airflow_api_server")[0]
    url = f"https://{site.address(host)}:{site.variable(host, 'site_https_port')}"
    return Airflow(url, "admin", site.secrets["airflow_admin_password"], site.directory / ".certificates" / "ca.crt")


@pytest.fixture(scope="module")
def run(airflow: Airflow) -> str:
    """A run of the smoke test's DAG that has ended."""
    run_id = airflow.start(DAG)
    assert airflow.wait(DAG, run_id) == "success"
    return run_id


@pytest.fixture
def stopped_worker(node: Any) -> Iterator[None]:
    node.check_output("systemctl stop 'airflow-worker@*.service'")
    yield
    node.check_output("systemctl start airflow-worker@default.service")


def ask(node: Any, question: str) -> Any:
    return json.loads(node.check_output(f"{PYTHON} -c %s", ASK + question))


def sources(airflow: Airflow, run_id: str, task: dict[str, Any], seconds: float = 60) -> list[str]:
    """Return the first lines of a log, which say from where it was read; a log is written after its task has ended."""
    limit = time.monotonic() + seconds
    while True:
        head = airflow.log(DAG, run_id, task).splitlines()[:5]
        if any(line.startswith(PLACE) for line in head) or time.monotonic() > limit:
            return head
        time.sleep(1)


def test_each_task_has_its_log_in_the_bucket(airflow: Airflow, node: Any, run: str) -> None:
    tasks = airflow.tasks(DAG, run)
    for task in tasks:
        assert any(line.startswith(PLACE) for line in sources(airflow, run, task)), task["task_id"]
    kept = [key for key in ask(node, LIST) if f"run_id={run}/" in key]
    assert {task["task_id"] for task in tasks} == {key.split("task_id=")[1].split("/")[0] for key in kept}
    assert all(key.startswith("content/dag_id=") for key in kept)


@pytest.mark.usefixtures("stopped_worker")
def test_logs_are_read_when_worker_and_files_are_gone(airflow: Airflow, node: Any, run: str) -> None:
    task = next(task for task in airflow.tasks(DAG, run) if task["task_id"] == "numbers")
    assert any(line.startswith(PLACE) for line in sources(airflow, run, task))
    assert node.check_output("find /var/log/airflow -name 'attempt=*' -path %s", f"*run_id={run}/*") == ""
    assert "airstrip: numbers" in airflow.log(DAG, run, task)


def test_the_bucket_removes_what_is_old(node: Any) -> None:
    (rule,) = [rule for rule in ask(node, RULES) if rule["ID"] == "airstrip-task-logs"]
    assert rule["Status"] == "Enabled"
    assert rule["Expiration"] == {"Days": 7}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert rule.get("Filter", rule)["Prefix"] == "content/"


def test_nothing_is_left_of_the_look_at_the_bucket(node: Any) -> None:
    assert [key for key in ask(node, LIST) if "airstrip-probe" in key] == []


def test_who_needs_no_key_has_none(node: Any) -> None:
    """Nor has anybody's environment: tasks inherit that, and many print it."""
    for unit, has in {"api-server": True, "triggerer": True, "worker@default": True, "scheduler": False,
                      "dag-processor": False}.items():  # fmt: skip
        shown = node.check_output("systemctl cat airflow-%s.service", unit)
        assert ("remote_logs_aws" in shown) == has, unit


def test_the_key_is_nowhere_but_in_its_file(node: Any) -> None:
    """As a pattern in a file: on a command line, the search would find itself."""
    node.check_output(
        f"install -m 0600 /dev/null /root/pattern; sed -n 's/^aws_secret.* = //p' {CREDENTIAL} >/root/pattern"
    )
    assert node.check_output("wc -l </root/pattern").strip() == "1"
    searches = {
        "files": "grep -rlsFf /root/pattern /etc /usr/local /opt/airflow/current/airflow.cfg /var/lib/airflow /var/log",
        "journal": "journalctl --no-pager --output=cat | grep -cFf /root/pattern",
        "processes": "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -caFf /root/pattern",
    }
    found = {name: node.run(command).stdout.split() for name, command in searches.items()}
    node.check_output("rm /root/pattern")
    assert found | {"files": sorted(found["files"])} == {"files": HOLDING, "journal": ["0"], "processes": ["0"]}


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        (
            {"airflow_remote_logs_key": "wrong-key-of-the-bucket-1234567890"},
            "cannot write to s3://airflow-logs/content: SignatureDoesNotMatch. Correct airflow_remote_logs_key.",
        ),
        (
            {"site_remote_logs": {"access_key_id": "NOBODY"}},
            "cannot write to s3://airflow-logs/content: InvalidAccessKeyId. Correct access_key_id.",
        ),
        (
            {"site_remote_logs": {"access_key_id": "READER"}, "airflow_remote_logs_key": "reversed"},
            "cannot write to s3://airflow-logs/content: AccessDenied. Let the key write, read and list there",
        ),
        (
            {"site_remote_logs": {"url": "s3://nowhere/content"}},
            "cannot write to s3://nowhere/content: NoSuchBucket. Make it there, or correct its name in url.",
        ),
        (
            {"airflow_release_extras": ["celery", "fab", "postgres", "redis", "standard"]},
            "needs the package apache-airflow-providers-amazon, which the release is made without.",
        ),
    ],
    ids=["key", "id", "right", "bucket", "provider"],
)
def test_a_place_that_does_not_work_is_refused(
    site: Site, tmp_path: Path, variables: dict[str, Any], problem: str
) -> None:
    node_name = site.group("airflow_scheduler")[0]
    given = {"site_remote_logs": site.variable(node_name, "site_remote_logs"), **variables}
    if "site_remote_logs" in variables:
        given["site_remote_logs"] = site.variable(node_name, "site_remote_logs") | variables["site_remote_logs"]
    key = (site.directory / "company-s3-secret").read_text().split()[0]
    if given.get("airflow_remote_logs_key") == "reversed":
        given["airflow_remote_logs_key"] = key[::-1]
    (tmp_path / "given.yml").write_text(yaml.safe_dump(given))
    result = site.command("ansible-playbook", "site.yml", "--tags=validate", f"--extra-vars=@{tmp_path}/given.yml")
    assert result.returncode != 0
    said = " ".join(result.stdout.replace("\\n", " ").split())
    assert problem in said
    assert key not in said
    assert str(given.get("airflow_remote_logs_key", "no key")) not in said


def test_a_log_is_in_the_bucket_alone(airflow: Airflow, node: Any, run: str) -> None:
    """What is taken away there, nothing else has."""
    task = next(task for task in airflow.tasks(DAG, run) if task["task_id"] == "total")
    assert any(line.startswith(PLACE) for line in sources(airflow, run, task))
    ask(
        node,
        f"""
for key in [key["Key"] for key in store.list_objects_v2(Bucket="airflow-logs", MaxKeys=1000,
            Prefix="content/dag_id={DAG}/run_id={run}/task_id=total/")["Contents"]]:
    store.delete_object(Bucket="airflow-logs", Key=key)
print("[]")
""",
    )
    with suppress(requests.HTTPError):
        assert "airstrip: total" not in airflow.log(DAG, run, task)
