"""What the document says of the system, looked up on its hosts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_edge import Client, haproxy
from airstrip_postgresql import sql
from airstrip_site import PROJECT, Site

CREDENTIALS = "/etc/airflow/credentials"
# Says of each port of an address whether it is open, refused, or silent.
PROBE = """
import socket, sys
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), 3).close()
        print(port, "open")
    except TimeoutError:
        print(port, "silent")
    except ConnectionRefusedError:
        print(port, "refused")
    except OSError as error:
        print(port, error.strerror)
"""


def probe(host: Any, address: str, *ports: int) -> dict[int, str]:
    lines = host.check_output("python3 -c %s " + f"{address} {' '.join(map(str, ports))}", PROBE).splitlines()
    return {int(port): what for port, what in (line.split(" ", 1) for line in lines)}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(name="edge")
def fixture_edge(site: Site) -> Client:
    return Client(site.address("control-1"), site.ca_certificate)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("core executor", "LocalExecutor"),
        ("core parallelism", "16"),
        ("core max_active_tasks_per_dag", "8"),
        ("logging base_log_folder", "/srv/airflow/logs"),
    ],
)
def test_options(hosts: dict[str, Any], option: str, value: str) -> None:
    assert hosts["control-2"].check_output(f"airflow config get-value {option}").splitlines()[-1] == value


def test_one_scheduler_runs_the_tasks(hosts: dict[str, Any]) -> None:
    for name, expected in {"control-1": ["api-server"], "control-2": ["api-server", "dag-processor", "scheduler",
                           "triggerer"]}.items():  # fmt: skip
        listed = hosts[name].check_output("systemctl list-units --plain --no-legend --state=active 'airflow-*.service'")
        assert sorted(re.findall(r"^airflow-([\w-]+)\.service", listed, re.MULTILINE)) == expected, name


def test_tasks_have_the_variables_of_the_containers(hosts: dict[str, Any]) -> None:
    main = hosts["control-2"].check_output("systemctl show --property=MainPID --value airflow-scheduler")
    environment = hosts["control-2"].check_output(f"tr '\\0' '\\n' </proc/{main}/environ").splitlines()
    assert {"AWS_DEFAULT_REGION=us-east-1", "DYNAMODB_TABLE=Incidents"} <= set(environment)


def test_the_database_is_outside_and_spoken_to_by_tls(hosts: dict[str, Any], site: Site, edge: Client) -> None:
    database = hosts["services-1"]
    for name in ("control-1", "control-2"):
        assert edge.ask("GET", "/api/v2/monitor/health", {"Cookie": f"airstrip={name}"})[0] == 200
    assert sql(database, "SHOW server_version").startswith("15.")
    seen = sql(
        database,
        "SELECT DISTINCT host(client_addr), ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        "WHERE usename = 'airflow' AND client_addr IS NOT NULL",
    )
    assert set(seen.splitlines()) == {f"{site.address(name)}|t" for name in ("control-1", "control-2")}
    assert sql(database, "SELECT count(*) > 0 FROM dag_run") == "t"
    assert not hosts["control-1"].file("/usr/lib/postgresql").exists


def test_secrets_are_those_of_the_parameter_store(hosts: dict[str, Any], site: Site, aws: Callable[[str], Any]) -> None:
    """And in no file of the controller's."""
    assert not {"airflow_database_password", "airflow_api_secret_key"} & set(site.secrets)
    names = [f"/alerta-utec-airflow/{name}" for name in ("db/password", "webserver/secret-key")]
    found = aws("ssm").get_parameters(Names=names, WithDecryption=True)["Parameters"]
    values = {item["Name"]: item["Value"] for item in found}
    for name in ("control-1", "control-2"):
        held = hosts[name].check_output(f"sha256sum <{CREDENTIALS}/api_secret_key").split()[0]
        assert held == digest(values[names[1]]), name
        # Of the URL, the password alone.
        password = hosts[name].check_output(
            f"sed -E 's|^[^:]+://[^:]+:([^@]+)@.*|\\1|' {CREDENTIALS}/database_url | tr -d '\\n' | sha256sum"
        )
        assert password.split()[0] == digest(values[names[0]]), name


def test_connections_are_looked_for_there(hosts: dict[str, Any], airflow: Airflow) -> None:
    assert airflow.request("GET", "/api/v2/connections", connection_id_pattern="aws_default")["connections"] == []
    shown = hosts["control-1"].check_output("airflow connections get aws_default -o json")
    assert json.loads(shown[shown.index("[") :])[0]["login"] == "AKIATASKS"


def test_a_browser_stays_with_its_server_for_a_day(edge: Client, hosts: dict[str, Any]) -> None:
    _, headers, _ = edge.ask("GET", "/api/v2/version", {"Host": "airflow.example.com"})
    # With the date from which the day counts.
    assert re.match(r"airstrip=control-[12]\|[^;]*; path=/; HttpOnly; Secure", headers["set-cookie"])
    assert "maxlife 86400s" in hosts["control-1"].check_output("grep '^ *cookie airstrip' /etc/haproxy/haproxy.cfg")

    def served() -> dict[str, int]:
        found = {}
        for fields in json.loads(haproxy(hosts["control-1"], "show stat json")):
            values = {field["field"]["name"]: field["value"]["value"] for field in fields}
            if values["pxname"] == "airflow_api" and values["svname"].startswith("control-"):
                found[values["svname"]] = values["stot"]
        return found

    for name in ("control-1", "control-2"):
        before = served()
        for _ in range(5):
            assert edge.ask("GET", "/api/v2/version", {"Cookie": f"airstrip={name}"})[0] == 200
        after = served()
        assert after[name] - before[name] >= 5
    assert set(served()) == {"control-1", "control-2"}


def test_servers_are_checked_every_30_seconds(hosts: dict[str, Any]) -> None:
    shown = hosts["control-1"].check_output("grep '^ *default-server check' /etc/haproxy/haproxy.cfg")
    assert re.search(r" inter 30s .* fall 3 rise 2 ", shown), shown


def test_http_leads_to_https(site: Site) -> None:
    status, headers, _ = Client(site.address("control-1"), None, 80).ask("GET", "/", {"Host": "airflow.example.com"})
    assert (status, headers["location"]) == (308, "https://airflow.example.com/")


def test_what_comes_in(hosts: dict[str, Any], site: Site) -> None:
    outside, first, second = hosts["services-1"], site.address("control-1"), site.address("control-2")
    assert probe(outside, first, 80, 443, 8080, 8443) == {80: "open", 443: "open", 8080: "silent", 8443: "silent"}
    assert probe(outside, second, 80, 443, 8080) == {80: "silent", 443: "silent", 8080: "silent"}
    assert probe(hosts["control-1"], second, 8080) == {8080: "open"}
    assert probe(hosts["control-2"], first, 8080, 8443) == {8080: "No route to host", 8443: "open"}


def test_what_goes_out(hosts: dict[str, Any], site: Site) -> None:
    services = site.address("services-1")
    for name in ("control-1", "control-2"):
        found = probe(hosts[name], services, 22, 443, 5432)
        assert found == {22: "No route to host", 443: "open", 5432: "open"}, name
        rules = hosts[name].check_output("nft list chain inet airstrip destinations")
        # Both private subnets, as one network.
        for port in (5432, 2049):
            assert re.search(rf"ip daddr 10\.0\.10\.0/23 tcp dport {port} accept", rules), rules


def test_a_version_of_the_dags_goes_back(
    site: Site, deployed: Airflow, deploy: Callable[[str], None], tmp_path: Path, hosts: dict[str, Any]
) -> None:
    assert site.variable("control-2", "airflow_dags_keep_versions") == 5
    current = "readlink /usr/local/share/airflow/dags/current"
    before = hosts["control-2"].check_output(current)
    for file in (PROJECT / "examples/alertautec/dags").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            target = tmp_path / file.relative_to(PROJECT / "examples/alertautec/dags")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (tmp_path / "incident_classifier.py").write_text(
        (tmp_path / "incident_classifier.py").read_text().replace('tags=["alertautec"]', 'tags=["alertautec", "next"]')
    )
    deploy(str(tmp_path))
    assert hosts["control-2"].check_output(current) != before
    tags = deployed.request("GET", "/api/v2/dags/incident_classifier")["tags"]
    assert {tag["name"] for tag in tags} == {"alertautec", "next"}
    result = site.command("ansible-playbook", "playbooks/rollback_dags.yml")
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
    assert hosts["control-2"].check_output(current) == before


def test_no_secret_is_seen(hosts: dict[str, Any], aws: Callable[[str], Any]) -> None:
    """Of the Parameter Store, in a journal or among the arguments of a process."""
    found = aws("ssm").get_parameters_by_path(Path="/alerta-utec-airflow", Recursive=True, WithDecryption=True)
    secrets = [item["Value"] for item in found["Parameters"] if item["Name"].endswith(("password", "secret-key"))]
    assert len(secrets) == 2
    for name in ("control-1", "control-2"):
        assert hosts[name].check_output(f"stat --format='%a %U' {CREDENTIALS}/database_url") == "600 root"
        shown = hosts[name].check_output("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        shown += hosts[name].check_output("journalctl --no-pager --output=cat")
        assert not any(secret in shown for secret in secrets), name
