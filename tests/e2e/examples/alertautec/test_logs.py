"""Logs of tasks: in the shared storage, and for seven days in the bucket."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airstrip_airflow import Airflow

BUCKET, PLACE = "alerta-utec-airflow-logs", "s3://alerta-utec-airflow-logs/tasks/"


def test_a_log_is_in_both_places(
    run: Callable[[str], str], deployed: Airflow, hosts: dict[str, Any], aws: Callable[[str], Any]
) -> None:
    run_id = run("incident_classifier")
    (task,) = deployed.tasks("incident_classifier", run_id)
    limit = time.monotonic() + 60
    # It is written after its task has ended.
    while PLACE not in (log := deployed.log("incident_classifier", run_id, task)) and time.monotonic() < limit:
        time.sleep(1)
    assert PLACE in log
    listed = aws("s3").list_objects_v2(Bucket=BUCKET, Prefix="tasks/dag_id=incident_classifier/")["Contents"]
    assert len([entry for entry in listed if f"run_id={run_id}/" in entry["Key"] and entry["Size"] > 0]) == 1
    for name in ("control-1", "control-2"):
        found = hosts[name].check_output(
            f"find /srv/airflow/logs -type f -path '*run_id={run_id}/*' -printf '%U %s\\n'"
        )
        assert found.split()[0] == "50000", name


def test_the_bucket_removes_them_after_seven_days(aws: Callable[[str], Any]) -> None:
    rules = aws("s3").get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    (rule,) = [rule for rule in rules if rule["ID"] == "airstrip-task-logs"]
    assert rule["Status"] == "Enabled"
    assert rule["Expiration"]["Days"] == 7
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert rule.get("Filter", rule)["Prefix"] == "tasks/"


def test_hosts_remove_theirs_after_seven_days(hosts: dict[str, Any]) -> None:
    for name in ("control-1", "control-2"):
        shown = hosts[name].check_output("systemctl cat airstrip-cleanup.service")
        assert "logs=/srv/airflow/logs" in shown
        assert "days=7" in shown
        assert "MaxRetentionSec=7" in hosts[name].check_output("cat /etc/systemd/journald.conf.d/*.conf")


def test_the_storage_is_as_the_containers_left_it(hosts: dict[str, Any]) -> None:
    for name in ("control-1", "control-2"):
        shown = hosts[name].check_output("stat --format='%u %a' /srv/airflow/dags /srv/airflow/logs")
        assert shown.splitlines() == ["50000 755"] * 2
        assert hosts[name].check_output("cat /srv/airflow/logs/old.log") == "A log of the containers"
        assert hosts[name].check_output("stat --format=%u:%g /srv/airflow/logs/old.log") == "50000:0"
