"""A site that has taken an installation over: what the old one had is there, and the old one is gone.

For the scenarios whose hosts molecule/shared/by_hand.sh has made. It leaves its random passwords in /root/by_hand.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import Site
from ansible.parsing.dataloader import DataLoader

NOTES = "/root/by_hand"
DAG = "by_hand"
UNITS = "/etc/systemd/system"
BACKUP = "/var/backups/airflow-adopted"
# What molecule/shared/by_hand.sh would have made on whoever took its options for templates.
MADE_BY_A_TEMPLATE = "/tmp/airstrip_by_hand"  # noqa: S108 it must not be there


def note(node: Any, name: str) -> str:
    """Return what the old installation's administrator wrote down."""
    text: str = node.check_output(f"cat {NOTES}/{name}")
    return text


@pytest.fixture(scope="module")
def hand(site: Site, node: Any) -> Airflow:
    """The API as the old installation's user, by the old password."""
    return site.airflow("hand", note(node, "user_password"))


@pytest.fixture(scope="module")
def proposal_file(site: Site) -> Path:
    return site.directory / "adopted" / "group_vars" / "all" / "adopted.yml"


@pytest.fixture(scope="module")
def proposal(proposal_file: Path) -> dict[str, Any]:
    variables: dict[str, Any] = DataLoader().load_from_file(str(proposal_file))
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


def test_values_that_are_no_json_became_some(site: Site, hand: Airflow) -> None:
    """What tests/e2e/adopt_refused has put into Airflow 2, by the migrations of Airflow 3.3.2 and newer."""
    if site.scenario != "adopt":
        pytest.skip("Airflow 3 has no such values")
    found = {key: hand.result(DAG, "made_by_hand", "report", key) for key in ("numbers", "nul", "fine")}
    assert found == {"numbers": [None, None], "nul": "ab", "fine": r"NaN and \u0000 are fine in a text"}
    assert hand.request("GET", f"/api/v2/dags/{DAG}/dagRuns/made_by_hand")["conf"] == {"limit": "Infinity"}


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


def test_secrets_are_not_in_the_proposal(proposal_file: Path, node: Any) -> None:
    text = proposal_file.read_text(encoding="utf-8")
    for name in ("fernet_key", "database_password", "user_password", "connection_password", "elasticsearch_password"):
        assert note(node, name) not in text
    assert proposal_file.stat().st_mode & 0o777 == 0o600
    assert re.search(r"[0-9a-f]{60}", text) is None


def test_options_are_the_old_ones(node: Any, proposal: dict[str, Any]) -> None:
    overrides = proposal["airflow_config_overrides"]
    assert overrides["core"] == {"max_active_tasks_per_dag": "7"}
    # Airflow 2 had it in another section.
    assert overrides["api"] == {"instance_name": "By hand"}
    assert node.check_output("airflow config get-value api instance_name").strip().endswith("By hand")


def test_templates_of_the_old_options_are_texts(node: Any) -> None:
    expected = {
        "email subject_template": "{{ lookup('ansible.builtin.pipe', 'touch /tmp/airstrip_by_hand; echo ran') }}",
        "logging log_filename_template": (
            "dag_id={{ ti.dag_id }}/run_id={{ ti.run_id }}/task_id={{ ti.task_id }}/"
            "{% if ti.map_index >= 0 %}map_index={{ ti.map_index }}/{% endif %}"
            "by_hand={{ try_number|default(ti.try_number) }}.log"
        ),
    }
    for option, value in expected.items():
        assert node.check_output(f"airflow config get-value {option}").strip().endswith(value)
    assert not Path(MADE_BY_A_TEMPLATE).exists()
    assert not node.file(MADE_BY_A_TEMPLATE).exists


def test_logs_have_the_names_of_the_old_option(hand: Airflow, node: Any, proposal: dict[str, Any]) -> None:
    run = hand.start(DAG)
    assert hand.wait(DAG, run) == "success"
    found = node.check_output(f"find {proposal['airflow_log_directory']} -path '*/run_id={run}/*' -name '*.log'")
    assert {Path(path).name for path in found.split()} == {"by_hand=1.log"}


def test_unit_that_only_has_the_name_is_left_alone(node: Any) -> None:
    exporter = node.service("airflow-exporter")
    assert exporter.is_running
    assert exporter.is_enabled
    assert not node.file(f"{UNITS}/airflow-exporter.service.adopted").exists


def test_old_units_are_gone(node: Any) -> None:
    ours = node.check_output(f"grep --files-with-matches X-ConfigChecksum= {UNITS}/airflow-*.service").split()
    exporter = f"{UNITS}/airflow-exporter.service"
    assert sorted(node.check_output(f"ls {UNITS}/airflow-*.service").split()) == sorted([*ours, exporter])
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


def test_old_home_is_roots(node: Any, proposal: dict[str, Any]) -> None:
    """The logs stay in it, and whoever could put a link beside them could lead root elsewhere."""
    home = node.file(str(Path(proposal["airflow_log_directory"]).parent))
    assert (home.user, home.group, home.mode) == ("root", "airflow", 0o755)
    assert node.file(f"{home.path}/airflow.cfg").user == "airflow"


def test_user_has_the_old_numbers(node: Any, proposal: dict[str, Any]) -> None:
    """Else what the old installation has written is somebody else's."""
    assert node.user("airflow").uid == proposal["site_uid"]
    assert node.file(f"{proposal['airflow_log_directory']}/dag_id={DAG}/run_id=made_by_hand").user == "airflow"


def test_dump_can_be_restored(node: Any) -> None:
    path = f"{BACKUP}/database.pgc"
    assert (node.file(path).user, node.file(path).mode) == ("root", 0o600)
    assert (node.file(BACKUP).user, node.file(BACKUP).mode) == ("root", 0o700)
    node.check_output("runuser --user postgres -- createdb adopted_check")
    try:
        node.check_output(f"runuser --user postgres -- pg_restore --dbname=adopted_check --no-owner <{path}")
        assert sql(node, "SELECT state FROM dag_run WHERE run_id = 'made_by_hand'", "adopted_check") == "success"
    finally:
        node.check_output("runuser --user postgres -- dropdb adopted_check")


def test_configuration_of_before_is_kept(node: Any, proposal: dict[str, Any]) -> None:
    home = Path(proposal["airflow_dags_folder"]).parent
    assert node.file(f"{BACKUP}/airflow.cfg").content == node.file(f"{home}/airflow.cfg").content
    assert node.file(f"{BACKUP}/airflow.cfg").mode == 0o600
    path = f"etc/postgresql/{proposal['site_postgresql_version']}/main/pg_hba.conf"
    assert "\n# by hand\n" in node.file(f"{BACKUP}/{path}").content_string
    assert node.file(f"{BACKUP}/{path}").user == "postgres"
    assert "# by hand" not in node.file(f"/{path}").content_string


def test_role_of_the_database_can_log_in_as_before(node: Any) -> None:
    """For the way back: the old configuration has the password in it."""
    command = f"PGPASSWORD=$(cat {NOTES}/database_password) psql --host=localhost --username=airflow_hand airflow_hand"
    assert node.run(f"{command} --command='SELECT 1'").rc == 0
    assert node.run(f"{command.replace('$(cat', '$(rev')} --command='SELECT 1'").rc != 0


def test_access_list_of_before_is_kept(node: Any) -> None:
    (path,) = node.check_output("ls /etc/postgresql/*/main/pg_hba.conf.before_airstrip").splitlines()
    kept = node.file(path)
    assert (kept.user, kept.mode) == ("postgres", 0o600)
    assert re.search(r"^local\s+all\s+all\s+peer$", kept.content_string, re.MULTILINE)


def test_second_takeover_is_refused(site: Site) -> None:
    result = site.command("ansible-playbook", "playbooks/adopt.yml")
    assert result.returncode != 0
    assert "has a release of Airstrip already" in " ".join(result.stdout.split())
    assert "changed=0" in result.stdout
