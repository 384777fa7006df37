"""DAG bundles of three teams: by ssh with a submodule, by HTTPS with a token, and from an object store; and their code.

The company's servers are on another host (molecule/content/tasks/git_server.yml).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site

FILES = Path(__file__).parent / "files"
# Seconds from a push to the DAG that has it: the bundle's interval, and a step of Airflow's.
REFRESHED = 60
UNITS = (
    "airflow-api-server", "airflow-dag-processor", "airflow-scheduler", "airflow-triggerer", "airflow-worker@default",
)  # fmt: skip


@pytest.fixture(name="company", scope="module")
def fixture_company(site: Site) -> Any:
    return testinfra.get_host(site.connection("services-1"))


@pytest.fixture(name="airflow", scope="module")
def fixture_airflow(site: Site) -> Airflow:
    return site.airflow()


def play(site: Site, *arguments: str, **variables: Any) -> str:
    """Run the Airflow tier of the site and return what it says."""
    given = ["-e", json.dumps(variables)] if variables else []
    result = site.command("ansible-playbook", "site.yml", "--tags", "airflow", *given, *arguments)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
    return result.stdout


def words(airflow: Airflow, dag_id: str) -> list[str]:
    """Return what the task of a team's DAG returns in a new run."""
    airflow.wait_for_dag(dag_id)
    airflow.request("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
    run_id = airflow.start_new(dag_id)
    assert airflow.wait(dag_id, run_id) == "success"
    found: list[str] = airflow.result(dag_id, run_id, "words")
    return found


def until(found: Callable[[], bool], seconds: float = REFRESHED) -> None:
    limit = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < limit, f"not after {seconds} s"
        time.sleep(2)


def import_errors(airflow: Airflow) -> str:
    return json.dumps(airflow.request("GET", "/api/v2/importErrors", limit="100")["import_errors"])


def starts(node: Any) -> dict[str, str]:
    """Return when each component has started."""
    show = "systemctl show --property=ExecMainStartTimestampMonotonic --value"
    return {unit: node.check_output(f"{show} {unit}.service") for unit in UNITS}


def restarted(node: Any, before: dict[str, str]) -> set[str]:
    return {unit for unit, moment in starts(node).items() if moment != before[unit]}


def commit(company: Any, repository: str, command: str) -> None:
    """Change a repository of the company."""
    company.check_output(
        f"cd /srv/work/{repository} && git pull --quiet origin main && {command} && git add . && "
        "git commit --quiet --message=Change && git push --quiet origin HEAD:main"
    )


def test_each_team_s_dags_run(airflow: Airflow) -> None:
    """That of team-a imports a shared module, and one of its submodule."""
    assert words(airflow, "team-a") == ["one", "of a shared module", "of the submodule"]
    assert words(airflow, "team-b") == ["one"]
    assert words(airflow, "team-c") == ["one"]


def test_each_dag_is_in_the_bundle_of_its_team(airflow: Airflow) -> None:
    for team in ("team-a", "team-b", "team-c"):
        found = airflow.request("GET", f"/api/v2/dags/{team}")
        assert (found["bundle_name"], found["owners"]) == (team, [team])


def test_what_is_ignored_is_not_imported(airflow: Airflow) -> None:
    assert "draft_a.py" not in import_errors(airflow)


def test_a_push_is_seen(airflow: Airflow, company: Any) -> None:
    commit(company, "team-b", 'sed -i \'s/"one"/"two"/\' team_b.py')
    until(lambda: words(airflow, "team-b") == ["two"])


def test_a_dag_of_another_owner_is_an_import_error(airflow: Airflow, company: Any) -> None:
    """The cluster policy refuses it."""
    commit(company, "team-b", "sed 's/team-b/somebody/' team_b.py >other.py")
    until(lambda: "its owner is somebody" in import_errors(airflow))
    commit(company, "team-b", "rm other.py")
    until(lambda: "somebody" not in import_errors(airflow))


def test_commands_read_bundles_too(node: Any) -> None:
    """As an upgrade does, which imports all DAGs with the new release before it is used."""
    command = "airflow dags list --local --output json " + " ".join(f"--bundle-name team-{name}" for name in "abc")
    found = {row["dag_id"] for row in json.loads(node.check_output(command))}
    assert found == {"team-a", "team-b", "team-c"}


def test_no_secret_is_where_others_read_it(node: Any, site: Site) -> None:
    """Neither in a clone, nor among processes while one is fetched, nor in units, journals and configuration."""
    token = (site.directory / "company-git-token").read_text(encoding="utf-8").strip()
    key = (site.directory / "company-deploy-key").read_text(encoding="utf-8").splitlines()[2]
    # From a file: else the test itself would show them.
    node.check_output(f"umask 077; printf '%s\\n' '{token}' '{key}' >/root/airstrip-secrets")
    found = "grep --fixed-strings --file=/root/airstrip-secrets"
    places = (
        "/etc/airflow/airflow.cfg /etc/airflow/environment /etc/airflow/bundles /etc/systemd/system /var/lib/airflow"
    )
    try:
        assert node.run(f"{found} --recursive --files-with-matches {places}").stdout == ""
        assert node.run(f"journalctl --no-pager | {found} --count").stdout.strip() == "0"
        # Longer than two intervals of the bundles.
        watch = "for _ in $(seq 250); do ps -ww -eo args; sleep 0.1; done"
        seen = node.run(f"{watch} >/root/airstrip-processes; {found} --count /root/airstrip-processes").stdout.strip()
        assert seen == "0"
        assert "git" in node.check_output("grep --only-matching --max-count=1 'git[ -]fetch' /root/airstrip-processes")
    finally:
        node.check_output("rm --force /root/airstrip-secrets /root/airstrip-processes")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"branch": "mian"}, "There are main"),
        ({"subdir": "nothing"}, "subdir is not there"),
        ({"url": "ssh://git@company.airstrip.test/srv/git/nothing.git"}, "no such repository"),
    ],
)
def test_a_bundle_that_cannot_be_cloned_is_refused(site: Site, changed: dict[str, str], message: str) -> None:
    bundle = {"name": "x", "type": "git", "url": "ssh://git@company.airstrip.test/srv/git/team-a.git"} | changed
    refused(site, message, airflow_dag_bundles=[bundle])


def refused(site: Site, message: str, **variables: Any) -> None:
    result = site.command("ansible-playbook", "site.yml", "--tags", "validate", "-e", json.dumps(variables))
    assert result.returncode != 0
    assert message in result.stdout


def test_a_server_that_is_another_one_is_refused(site: Site) -> None:
    url, known = "ssh://git@company.airstrip.test/srv/git/", "company.airstrip.test ssh-ed25519 "
    known += "AAAAC3NzaC1lZDI1NTE5AAAAIDIhz2GK/XCUj4i6Q5yQJNL1MXMY0RxzPV2QrBqfHrDq"
    bundles = [{"name": "x", "type": "git", "url": f"{url}team-a.git"}]
    servers = [{"name": "git_ssh", "url": url, "known_hosts": known}]
    secrets = [{"name": "git_ssh", "deploy_key": (site.directory / "company-deploy-key").read_text(encoding="utf-8")}]
    refused(
        site, "compare it with what the server's people say",
        airflow_dag_bundles=bundles, airflow_bundle_servers=servers, airflow_bundle_secrets=secrets,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"bucket": "nothing"}, "no such bucket"), ({"prefix": "nothing"}, "prefix is not there, or empty")],
)
def test_a_bucket_that_cannot_be_read_is_refused(site: Site, changed: dict[str, str], message: str) -> None:
    refused(
        site, message, airflow_dag_bundles=[{"name": "x", "type": "s3", "server": "store", "bucket": "dags"} | changed]
    )


def test_a_second_run_changes_nothing(site: Site, node: Any) -> None:
    before = starts(node)
    assert "changed=0" in play(site)
    assert restarted(node, before) == set()


def test_who_fetches_bundles_alone_restarts_for_a_new_key(site: Site, node: Any) -> None:
    """Known hosts are read each time anew, and restart nobody."""
    key = (site.directory / "company-deploy-key").read_text(encoding="utf-8")
    secrets = [{"name": "git_ssh", "deploy_key": key}, {"name": "git_https", "token": "another"}]
    before = starts(node)
    play(site, airflow_bundle_secrets=secrets, airflow_bundle_check_enabled=False)
    assert restarted(node, before) == {"airflow-dag-processor", "airflow-worker@default"}
    play(site)


def word(site: Site) -> str:
    """Return what the company's plugin answers."""
    verify = str(site.ca_certificate) if site.ca_certificate else True
    answer = requests.get(f"{site.edge_url}/company/word", timeout=30, verify=verify)
    return str(answer.json()["word"]) if answer.ok else ""


def test_a_plugin_is_there_and_a_change_of_it_restarts_who_reads_it(site: Site, node: Any, tmp_path: Path) -> None:
    assert word(site) == "one"
    plugins = tmp_path / "plugins"
    shutil.copytree(FILES / "plugins", plugins)
    source = plugins / "company_plugin.py"
    source.write_text(source.read_text(encoding="utf-8").replace('"one"', '"two"'), encoding="utf-8")
    before = starts(node)
    play(site, airflow_plugins_source=str(plugins))
    assert word(site) == "two"
    assert restarted(node, before) == set(UNITS)
    play(site)
    assert word(site) == "one"


def test_code_that_python_cannot_read_is_refused(site: Site, tmp_path: Path) -> None:
    settings = tmp_path / "settings.py"
    settings.write_text("def dag_policy(dag)\n", encoding="utf-8")
    refused(site, "line 1", airflow_local_settings_file=str(settings))


def test_code_is_root_s(node: Any) -> None:
    """Who could write there would have the credentials of all."""
    assert node.check_output("find /etc/airflow/code /etc/airflow/bundles -perm /022 -o -not -user root") == ""
    assert node.run("runuser -u airflow -- touch /etc/airflow/code/x").rc != 0
