"""What components are given for DAG bundles of the types git and s3, and who gets which secret."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from airflow_components import airflow_bundles, airflow_command_credentials, airflow_credentials
from airstrip_tree import PROJECT
from dag_bundles import airflow_bundle_credentials, airflow_bundle_environment, airflow_bundle_files

GIT: dict[str, Any] = {"name": "a", "type": "git", "url": "ssh://git@git.example.com:2222/team/a.git"}
S3: dict[str, Any] = {"name": "c", "type": "s3", "server": "store", "bucket": "dags", "prefix": "/team-c"}
SERVERS: list[dict[str, Any]] = [
    {"name": "by_ssh", "url": "ssh://git@git.example.com:2222/", "known_hosts": "git.example.com ssh-ed25519 AAAA"},
    {"name": "by_scp", "url": "git@github.com:team/", "known_hosts": "github.com ssh-ed25519 BBBB"},
    {"name": "by_https", "url": "https://git.example.com/team/", "user": "ci", "ca_certificate": "PEM"},
    {"name": "store", "endpoint": "https://s3.example.com", "ca_certificate": "PEM"},
    {"name": "aws", "region": "eu-central-1"},
]
PLACES = {"directory": "/d", "authorities": "/ca"}


def files(held: list[str]) -> dict[str, str]:
    found = airflow_bundle_files(SERVERS, held, {"directory": "/d", "program": "#!/bin/sh\n"})
    return {entry["path"]: entry["content"] for entry in found if "content" in entry}


def bundle(**row: Any) -> dict[str, Any]:
    """Return a bundle as Airflow gets it."""
    return airflow_bundles([row], "/smoke", 20, {"servers": SERVERS})[-1]


def test_a_git_bundle_has_no_connection_with_a_secret() -> None:
    assert bundle(**GIT, tag="v1", subdir="dags", submodules=True, prune=False, refresh_interval=60, team="a") == {
        "name": "a",
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {
            "git_conn_id": "airstrip_git", "repo_url": GIT["url"], "tracking_ref": "v1", "subdir": "dags",
            "submodules": True, "prune_dotgit_folder": False, "refresh_interval": 60,
        },
        "team_name": "a",
    }  # fmt: skip
    assert bundle(**GIT)["kwargs"]["tracking_ref"] == "main"


def test_an_s3_bundle_ends_its_prefix_and_asks_nobody_for_its_link() -> None:
    assert bundle(**S3)["kwargs"] == {
        "aws_conn_id": "airstrip_s3_store", "bucket_name": "dags", "prefix": "team-c/",
        "view_url_template": "https://s3.example.com/dags/team-c/",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "link"), [({}, "https://s3.amazonaws.com/dags/team-c/"), ({"view_url": "https://x/"}, "https://x/")]
)
def test_people_are_led_to_the_store_or_to_what_they_name(more: dict[str, str], link: str) -> None:
    assert bundle(**(S3 | {"server": "aws"} | more))["kwargs"]["view_url_template"] == link


def test_what_has_no_type_stays_as_airflow_takes_it() -> None:
    row = {"name": "own", "classpath": "a.B", "kwargs": {"x": 1}}
    assert bundle(**row) == row
    assert airflow_bundle_environment([row], SERVERS, PLACES) == {}
    assert airflow_bundle_files([], [], PLACES) == []


def test_the_environment_says_where_to_look_and_has_no_secret() -> None:
    found = airflow_bundle_environment([GIT, S3], SERVERS, PLACES)
    assert [*found] == [
        "AIRFLOW_CONN_AIRSTRIP_GIT", "GIT_CONFIG_GLOBAL", "AIRFLOW_CONN_AIRSTRIP_S3_STORE", "AWS_CONFIG_FILE",
    ]  # fmt: skip
    assert json.loads(found["AIRFLOW_CONN_AIRSTRIP_GIT"])["extra"] == {
        "ssh_config_file": "/d/ssh_config", "strict_host_key_checking": "yes",
    }  # fmt: skip
    assert json.loads(found["AIRFLOW_CONN_AIRSTRIP_S3_STORE"])["extra"] == {
        "profile_name": "airstrip-store", "verify": "/d/ca-store.crt", "endpoint_url": "https://s3.example.com",
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }  # fmt: skip


def test_git_reads_what_it_is_told(tmp_path: Path) -> None:
    """Git itself reads the file, and says for a repository which login and which authority count."""
    path = tmp_path / "gitconfig"
    path.write_text(files(["by_https"])["/d/gitconfig"], encoding="utf-8")

    def asked(*arguments: str) -> str:
        argv = ["git", "config", "--file", str(path), *arguments]
        return subprocess.run(argv, capture_output=True, check=False, text=True).stdout.strip()

    url = "https://git.example.com/team/b.git"
    assert asked("--get-urlmatch", "credential.username", url) == "ci"
    assert asked("--get-urlmatch", "credential.helper", url) == "/d/secret by_https"
    assert asked("--get-urlmatch", "http.sslCAInfo", url) == "/d/ca-by_https.crt"
    assert asked("--get-urlmatch", "credential.helper", "https://git.example.com/others/b.git") == ""
    assert asked("url.ssh://git@airstrip-by_ssh/.insteadOf") == "ssh://git@git.example.com:2222/"
    assert asked("url.git@airstrip-by_scp:team/.insteadOf") == "git@github.com:team/"


@pytest.mark.parametrize("held", [[], ["by_ssh"]])
def test_ssh_reads_what_it_is_told(tmp_path: Path, held: list[str]) -> None:
    """The program itself: each server has its key, and only hosts that are known are gone to."""
    path = tmp_path / "ssh_config"
    path.write_text(files(held)["/d/ssh_config"], encoding="utf-8")
    argv = ["ssh", "-G", "-F", str(path), "airstrip-by_ssh"]
    done = subprocess.run(argv, capture_output=True, check=True, env={"CREDENTIALS_DIRECTORY": "/c"}, text=True)
    lines = done.stdout.splitlines()
    wanted = {
        "hostname git.example.com", "port 2222", "stricthostkeychecking true", "userknownhostsfile /d/known_hosts",
        "batchmode yes", "identitiesonly yes",
    }  # fmt: skip
    assert wanted <= set(lines)
    assert ("identityfile ${CREDENTIALS_DIRECTORY}/bundle_by_ssh" in lines) is bool(held)


def test_the_client_of_s3_asks_for_keys_only_where_there_are_some() -> None:
    assert files(["store"])["/d/aws_config"] == (
        "[profile airstrip-store]\nregion = us-east-1\ncredential_process = /d/secret store\n"
        "[profile airstrip-aws]\nregion = eu-central-1\n"
    )


def test_the_program_hands_out_what_is_asked_for_and_nothing_else(tmp_path: Path) -> None:
    (secret,) = airflow_bundle_credentials([{"name": "x", "token": " t \n"}])
    (tmp_path / secret["name"]).write_text(secret["value"], encoding="utf-8")
    program = PROJECT / "roles/airflow/files/bundle_secret.sh"

    def said(*arguments: str) -> str:
        argv, environment = ["sh", str(program), *arguments], {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        return subprocess.run(argv, capture_output=True, check=True, env=environment, text=True).stdout

    assert said("x", "get") == said("x") == "password=t\n"
    assert said("x", "store") == ""


def test_a_secret_is_written_as_its_reader_takes_it() -> None:
    """A key without a newline at its end is none for ssh."""
    rows = [{"name": "k", "deploy_key": "KEY"}, {"name": "s", "access_key": "a", "secret_key": "b", "workers": ["x"]}]
    key, keys = airflow_bundle_credentials(rows)
    assert key == {"name": "bundle_k", "value": "KEY\n", "workers": []}
    assert json.loads(keys["value"]) == {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b"}
    assert keys["workers"] == ["x"]


def test_a_worker_has_no_secret_that_is_others() -> None:
    server = {"user": "a", "password": "p", "host": "d", "port": 1, "path": "db", "query": {}}
    secrets = [{"name": "k", "deploy_key": "K"}, {"name": "s", "deploy_key": "S", "workers": ["x"]}]
    connections = {
        "database": server, "results": server, "broker": server | {"scheme": "redis"}, "worker_users": [],
        "webserver_config": [], "ldap": {}, "oauth": [], "remote_logs": [], "remote_logs_streamed": [], "backends": {},
        "bundles": airflow_bundle_credentials(secrets),
    }  # fmt: skip

    def held(credentials: list[str], instance: dict[str, str]) -> list[str]:
        row = {"credentials": credentials, "uses": [], "instances": [{"directory": "w", **instance}]}
        return [name for name in airflow_credentials({"c": row}, {}, connections) if name.startswith("bundle_")]

    assert held(["bundles"], {"set": "x"}) == ["bundle_k", "bundle_s"]
    assert held(["bundles"], {"set": "y"}) == ["bundle_k"]
    assert held(["bundles"], {}) == ["bundle_k", "bundle_s"]
    assert held(["database"], {}) == []
    # A command reads DAGs where a component does.
    assert "bundle_k" in airflow_command_credentials({"database_url": {}, "bundle_k": {}}, connections)
    assert "bundle_s" not in airflow_command_credentials({"database_url": {}, "bundle_k": {}}, connections)
