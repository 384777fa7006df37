"""Connections in a company's OpenBao and in AWS, and a site's own secrets in the same OpenBao.

The servers are on another host, with TLS (molecule/content/tasks/secret_servers.yml).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_site import Site

OWN, DATABASE, AWS = "of-openbao.example.com", "of-the-database.example.com", "of-aws.example.com"
DAG = """
import hashlib, os
import pendulum
from airflow.sdk import Connection, Variable, dag, task

@dag(start_date=pendulum.datetime(2026, 1, 1), schedule=None, catchup=False)
def airstrip_backends():
    @task
    def seen(dag_run=None):
        found = Connection.get(dag_run.conf["conn_id"])
        return [found.host, hashlib.sha256((found.password or "").encode()).hexdigest()]

    @task
    def variable():
        return Variable.get("only_in_openbao")

    @task
    def held():
        return sorted(os.listdir(os.environ["CREDENTIALS_DIRECTORY"])) + sorted(
            name for name in os.environ if "SECRETS" in name
        )

    seen()
    variable()
    held()

airstrip_backends()
"""
PATH = "/srv/airflow/dags/airstrip_backends.py"


class OpenBao:
    """The company's server, as who may write there."""

    def __init__(self, site: Site, secret: str) -> None:
        self.url = f"https://{site.address('services-1')}:8200"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(site.directory / "company-ca.crt")
        answer = self._ask("POST", "auth/approle/login", {"role_id": "company", "secret_id": secret})
        self.session.headers["X-Vault-Token"] = answer.json()["auth"]["client_token"]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        answer = self.session.request(method, f"{self.url}/v1/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer

    def write(self, path: str, **data: str) -> None:
        self._ask("POST", path, {"data": data})


@pytest.fixture(name="secret", scope="module")
def fixture_secret(site: Site) -> str:
    return (site.directory / "company-bao-secret").read_text(encoding="utf-8").strip()


@pytest.fixture(name="bao", scope="module")
def fixture_bao(site: Site, secret: str) -> OpenBao:
    return OpenBao(site, secret)


@pytest.fixture(name="airflow", scope="module")
def fixture_airflow(site: Site, node: Any) -> Iterator[Airflow]:
    encoded = base64.b64encode(DAG.encode()).decode()
    node.check_output(f"echo {encoded} | base64 -d >{PATH}")
    try:
        node.check_output("airflow dags reserialize")
        airflow = site.airflow()
        airflow.wait_for_dag("airstrip_backends")
        airflow.request("PATCH", "/api/v2/dags/airstrip_backends", {"is_paused": False})
        yield airflow
    finally:
        node.check_output(f"rm {PATH}")


def run(airflow: Airflow, conn_id: str) -> tuple[str, dict[str, Any]]:
    """Run the DAG; return its state and what its tasks returned, but for those that failed."""
    run_id = airflow.start_new("airstrip_backends", conn_id=conn_id)
    state = airflow.wait("airstrip_backends", run_id)
    ended = [task["task_id"] for task in airflow.tasks("airstrip_backends", run_id) if task["state"] == "success"]
    return state, {name: airflow.result("airstrip_backends", run_id, name) for name in ended}


def play(site: Site, secret: str, *arguments: str, **variables: Any) -> tuple[int, str]:
    """Run site.yml; return its exit status and its output, in which there is no secret."""
    result = site.command("ansible-playbook", "site.yml", "--diff", "-e", json.dumps(variables), *arguments)
    output = result.stdout + result.stderr
    assert secret not in output
    assert [name for name, value in site.secrets.items() if value in output] == []
    return result.returncode, output


def refusal(site: Site, secret: str, **variables: Any) -> str:
    """Return what `validate` says of what it refuses, in one line."""
    status, output = play(site, secret, "--tags", "validate", **variables)
    assert status != 0, output[-4000:]
    assert re.search(r"changed=[1-9]", output) is None
    return " ".join(output.split())


def backend(site: Site, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = site.variable("node-1", "site_secrets_backend") | more
    return found


def test_a_task_uses_a_connection_that_only_openbao_has(airflow: Airflow, secret: str) -> None:
    state, found = run(airflow, "only_in_openbao")
    assert state == "success"
    assert found["seen"] == [OWN, hashlib.sha256(secret.encode()).hexdigest()]
    assert found["variable"] == "of OpenBao"


def test_a_task_holds_no_login_to_it(airflow: Airflow, node: Any, secret: str) -> None:
    """What it cannot read in its unit, it cannot read beside it: /etc/airflow/credentials is root's."""
    _, found = run(airflow, "only_in_openbao")
    assert not any("backend" in name.lower() for name in found["held"])
    assert "api_secret_key" in found["held"]
    for unit in ("airflow-worker@default", "airflow-scheduler"):
        pid = node.check_output(f"systemctl show --property=MainPID --value {unit}")
        assert "SECRETS" not in node.check_output(f"tr '\\0' '\\n' </proc/{pid}/environ")
    listed = node.check_output("stat --format='%a %U' /etc/airflow/credentials/secrets_backend")
    assert listed == "600 root"
    for unit in ("airflow-api-server", "airflow-dag-processor", "airflow-triggerer"):
        pid = node.check_output(f"systemctl show --property=MainPID --value {unit}")
        assert secret not in node.check_output(f"cat /proc/{pid}/environ /proc/{pid}/cmdline | tr '\\0' '\\n'")


def test_commands_look_there_too(node: Any) -> None:
    assert OWN in node.check_output("airflow connections get only_in_openbao -o json")


def test_what_the_backend_has_wins_over_the_database(airflow: Airflow, bao: OpenBao) -> None:
    body = {"connection_id": "in_both", "conn_type": "http", "host": DATABASE}
    airflow.request("POST", "/api/v2/connections", body)
    try:
        assert run(airflow, "in_both")[1]["seen"][0] == DATABASE
        bao.write("airflow/data/connections/in_both", conn_type="http", host=OWN)
        assert run(airflow, "in_both")[1]["seen"][0] == OWN
    finally:
        airflow.request("DELETE", "/api/v2/connections/in_both")


def test_a_connection_that_nobody_has_fails_its_task_alone(airflow: Airflow) -> None:
    state, found = run(airflow, "nowhere")
    assert state == "failed"
    assert "seen" not in found
    assert found["variable"] == "of OpenBao"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"role_id": "nobody"}, "the login is refused: invalid role or secret ID"),
        ({"required_connections": ["lost"]}, "there is no connections/lost in airflow"),
        ({"mount_point": "site"}, "is refused: "),
        ({"url": "https://company.airstrip.test:8999"}, "it does not answer: "),
        ({"url": "http://company.airstrip.test:8200"}, "would go to company.airstrip.test in the clear"),
        ({"type": "vualt"}, "Did you mean vault?"),
    ],
)  # fmt: skip
def test_a_backend_that_cannot_work_is_refused(site: Site, secret: str, more: dict[str, Any], said: str) -> None:
    found = refusal(site, secret, site_secrets_backend=backend(site, **more))
    assert "site_secrets_backend" in found
    assert said in found


def test_a_provider_that_the_release_lacks_is_refused(site: Site, secret: str) -> None:
    found = refusal(site, secret, airflow_release_extra_packages=[])
    assert "Add apache-airflow-providers-hashicorp to airflow_release_extra_packages" in found


def source(site: Site, bao: OpenBao, **more: Any) -> dict[str, Any]:
    """Return where the site's own secrets are: in the engine `site`, which has been given none of them yet."""
    return {
        "type": "openbao", "url": bao.url, "mount_point": "site", "auth_type": "approle", "role_id": "airstrip",
        "ca_file": str(site.directory / "company-ca.crt"),
        "secret_file": str(site.directory / "company-bao-secret"), "path": "airstrip/{name}", **more,
    }  # fmt: skip


def test_own_secrets_that_their_source_lacks_are_refused_by_name_and_path(
    site: Site, secret: str, bao: OpenBao
) -> None:
    found = refusal(site, secret, site_secrets_source=source(site, bao))
    assert f"openbao at {bao.url} does not have " in found
    for name in ("airflow_fernet_key", "airflow_jwt_secret", "airflow_ca_key", "redis_admin_password"):
        assert f"{name} at airstrip/{name} (value)" in found


def test_a_source_that_does_not_let_in_is_refused(site: Site, secret: str, bao: OpenBao) -> None:
    found = refusal(site, secret, site_secrets_source=source(site, bao, role_id="nobody"))
    assert f"site_secrets_source: openbao at {bao.url} gives no secrets: invalid role or secret ID" in found


def test_own_secrets_move_to_openbao_without_a_change(site: Site, secret: str, bao: OpenBao) -> None:
    for name, value in site.secrets.items():
        bao.write(f"site/data/airstrip/{name}", value=value)
    kept = (site.directory / "secrets.yml").read_bytes()
    status, output = play(site, secret, site_secrets_source=source(site, bao))
    assert status == 0, output[-4000:]
    assert set(re.findall(r" changed=(\d+) ", output)) == {"0"}
    assert (site.directory / "secrets.yml").read_bytes() == kept


def test_a_changed_own_secret_is_seen(site: Site, secret: str, bao: OpenBao) -> None:
    """As everywhere: what would cut off what runs is refused."""
    bao.write("site/data/airstrip/airflow_jwt_secret", value="another-one-of-64-characters" * 3)
    found = refusal(site, secret, site_secrets_source=source(site, bao))
    assert "airflow_jwt_secret has changed since the last run" in found


def test_the_parameter_store_in_its_place(site: Site, node: Any, airflow: Airflow, secret: str) -> None:
    aws = {
        "type": "aws_ssm", "region_name": "eu-central-1", "endpoint_url": "https://company.airstrip.test:8500",
        "access_key_id": "any",
    }  # fmt: skip
    try:
        status, output = play(site, secret, "--tags", "airflow", site_secrets_backend=aws)
        assert status == 0, output[-4000:]
        assert run(airflow, "only_in_aws")[1]["seen"][0] == AWS
        assert AWS in node.check_output("airflow connections get only_in_aws -o json")
        assert "seen" not in run(airflow, "only_in_openbao")[1]
    finally:
        status, output = play(site, secret, "--tags", "airflow")
    assert status == 0, output[-4000:]
    assert run(airflow, "only_in_openbao")[1]["seen"][0] == OWN
