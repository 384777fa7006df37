"""A site that has taken an installation over: what the old one had is there, and the old one is gone.

For the scenarios whose hosts molecule/shared/by_hand.sh has made. It leaves its random passwords in /root/by_hand.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import Site

NOTES = "/root/by_hand"
DAG = "by_hand"
UNITS = "/etc/systemd/system"


def note(node: Any, name: str) -> str:
    """Return what the old installation's administrator wrote down."""
    text: str = node.check_output(f"cat {NOTES}/{name}")
    return text


@pytest.fixture(scope="module")
def hand(site: Site, node: Any) -> Airflow:
    """The API as the old installation's user, by the old password."""
    return site.airflow("hand", note(node, "user_password"))


@pytest.fixture(scope="module")
def proposal(site: Site) -> dict[str, Any]:
    path = site.directory / "adopted" / "group_vars" / "all" / "adopted.yml"
    variables: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return variables


def test_user_logs_in_with_the_old_password(hand: Airflow) -> None:
    assert hand.has_dag(DAG)


def test_user_is_still_an_administrator(hand: Airflow) -> None:
    assert {"hand", "admin"} <= {user["username"] for user in hand.request("GET", "/auth/fab/v1/users")["users"]}


def test_history_is_there(hand: Airflow) -> None:
    assert hand.state(DAG, "made_by_hand") == "success"
    assert {task["task_id"]: task["state"] for task in hand.tasks(DAG, "made_by_hand")} == {
        "digest": "success",
        "report": "success",
    }


def test_results_of_tasks_are_there(hand: Airflow, node: Any) -> None:
    expected = hashlib.sha256(note(node, "connection_password").encode()).hexdigest()
    assert hand.result(DAG, "made_by_hand", "report") == f"written by hand {expected}"


def test_logs_of_old_tasks_are_there(hand: Airflow) -> None:
    task = next(task for task in hand.tasks(DAG, "made_by_hand") if task["task_id"] == "report")
    assert "Done. Returned value was: written by hand" in hand.log(DAG, "made_by_hand", task)


def test_dag_runs_again_and_decrypts_the_connection(hand: Airflow, node: Any) -> None:
    run = hand.start(DAG)
    assert hand.wait(DAG, run) == "success"
    expected = hashlib.sha256(note(node, "connection_password").encode()).hexdigest()
    assert hand.result(DAG, run, "report") == f"written by hand {expected}"


def test_dag_is_read_from_the_old_directory(hand: Airflow, proposal: dict[str, Any]) -> None:
    assert hand.request("GET", f"/api/v2/dags/{DAG}")["fileloc"] == f"{proposal['airflow_dags_folder']}/by_hand.py"


def test_secrets_are_the_old_ones(site: Site, node: Any) -> None:
    assert site.secrets["airflow_fernet_key"] == note(node, "fernet_key")
    assert site.secrets["airflow_database_password"] == note(node, "database_password")


def test_secrets_are_not_in_the_proposal(site: Site, node: Any) -> None:
    text = (site.directory / "adopted" / "group_vars" / "all" / "adopted.yml").read_text(encoding="utf-8")
    for name in ("fernet_key", "database_password", "user_password", "connection_password"):
        assert note(node, name) not in text
    assert re.search(r"[0-9a-f]{60}", text) is None


def test_options_are_the_old_ones(node: Any, proposal: dict[str, Any]) -> None:
    overrides = proposal["airflow_config_overrides"]
    assert overrides["core"] == {"max_active_tasks_per_dag": "7"}
    # Airflow 2 had it in another section.
    assert overrides["api"] == {"instance_name": "By hand"}
    assert node.check_output("airflow config get-value api instance_name").strip().endswith("By hand")


def test_old_units_are_gone(node: Any) -> None:
    ours = node.check_output(f"grep --files-with-matches X-ConfigChecksum= {UNITS}/airflow-*.service").split()
    assert sorted(node.check_output(f"ls {UNITS}/airflow-*.service").split()) == sorted(ours)
    assert node.file(f"{UNITS}/airflow-scheduler.service.adopted").exists
    assert not node.file(f"{UNITS}/airflow-scheduler.service.d").exists
    assert node.check_output("systemctl show --property=Nice --value airflow-scheduler").strip() == "0"
    assert not node.service("airflow-webserver").is_running


def test_nothing_of_the_old_installation_runs(node: Any, proposal: dict[str, Any]) -> None:
    home = str(Path(proposal["airflow_dags_folder"]).parent)
    # In brackets, because the shell that runs the command has it in its own arguments.
    assert node.run(f"pgrep --full '[/]{home[1:]}/venv'").stdout == ""
    # It is still there for the way back.
    assert node.file(f"{home}/venv/bin/airflow").exists
    assert node.file(f"{home}/airflow.cfg").exists


def test_user_has_the_old_numbers(node: Any, proposal: dict[str, Any]) -> None:
    """Else what the old installation has written is somebody else's."""
    assert node.user("airflow").uid == proposal["base_uid"]
    assert node.file(f"{proposal['airflow_log_directory']}/dag_id={DAG}/run_id=made_by_hand").user == "airflow"


def test_dump_can_be_restored(node: Any) -> None:
    path = node.check_output("ls /var/backups/airflow-adopted/airflow_hand-*.pgc")
    assert node.file(path).mode == 0o600
    assert node.file("/var/backups/airflow-adopted").mode == 0o700
    node.check_output("runuser --user postgres -- createdb adopted_check")
    try:
        node.check_output(f"runuser --user postgres -- pg_restore --dbname=adopted_check --no-owner <{path}")
        assert sql(node, "SELECT state FROM dag_run WHERE run_id = 'made_by_hand'", "adopted_check") == "success"
    finally:
        node.check_output("runuser --user postgres -- dropdb adopted_check")


def test_role_of_the_database_can_log_in_as_before(node: Any) -> None:
    """For the way back: the old configuration has the password in it."""
    command = f"PGPASSWORD=$(cat {NOTES}/database_password) psql --host=localhost --username=airflow_hand airflow_hand"
    assert node.run(f"{command} --command='SELECT 1'").rc == 0
    assert node.run(f"{command.replace('$(cat', '$(rev')} --command='SELECT 1'").rc != 0


def test_access_list_of_before_is_kept(node: Any) -> None:
    (path,) = node.check_output("ls /etc/postgresql/*/main/pg_hba.conf.before_airstrip").splitlines()
    kept = node.file(path)
    assert (kept.user, kept.mode) == ("root", 0o600)
    assert re.search(r"^local\s+all\s+all\s+peer$", kept.content_string, re.MULTILINE)


def test_second_takeover_is_refused(site: Site) -> None:
    result = site.command("ansible-playbook", "playbooks/adopt.yml")
    assert result.returncode != 0
    assert "has a release of Airstrip already" in " ".join(result.stdout.split())
    assert "changed=0" in result.stdout
