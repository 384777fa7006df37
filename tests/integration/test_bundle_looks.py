"""The module git_bundle_look against sshd, and against Git's own backend behind a login and a certificate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airstrip_git import SSHD, TOKEN, HttpsServer, SshServer, https_server, repository, ssh_server
from airstrip_module import run_module
from airstrip_tree import PROJECT
from dag_bundle_answers import airflow_bundle_answers

PROGRAM = (PROJECT / "roles/airflow/files/bundle_secret.sh").read_text(encoding="utf-8")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="there is no sshd (Debian: openssh-server)")


@pytest.fixture(name="repositories", scope="module")
def fixture_repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repositories")
    repository(root / "lib", {"lib.py": "X = 1\n"})
    repository(root / "dags", {"team/a.py": "A = 1\n"})
    repository(root / "relative", {"a.py": "A = 1\n"}, submodule="../lib")
    return root


@pytest.fixture(name="ssh", scope="module")
def fixture_ssh(tmp_path_factory: pytest.TempPathFactory, repositories: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("ssh") / "s", repositories) as server:
        yield server


@pytest.fixture(name="https", scope="module")
def fixture_https(tmp_path_factory: pytest.TempPathFactory, repositories: Path) -> Iterator[HttpsServer]:
    with https_server(tmp_path_factory.mktemp("https") / "s", repositories) as server:
        yield server


def look(tmp_path: Path, bundle: dict[str, Any], server: dict[str, Any], secret: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of one bundle, in which no secret stands."""
    arguments = {
        "bundles": [{"name": "dags", "type": "git", **bundle}], "servers": [{"name": "git", **server}],
        "secrets": [{"name": "git", **secret}] if secret else [], "program": PROGRAM, "timeout": 20,
    }  # fmt: skip
    found = run_module(tmp_path, "git_bundle_look", arguments)
    assert not found["failed"], found
    said = json.dumps(found["answers"])
    assert not any(str(value).strip()[-40:] in said for value in secret.values())
    answer: dict[str, Any] = found["answers"][0]
    return answer


def message(answer: dict[str, Any]) -> str:
    return "".join(airflow_bundle_answers([answer], "node-1"))


def by_ssh(server: SshServer, **changed: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    given = {"url": server.url, "known_hosts": server.known_hosts, "deploy_key": server.deploy_key} | changed
    return {key: given[key] for key in ("url", "known_hosts")}, {"deploy_key": given["deploy_key"]}


@needs_sshd
@pytest.mark.parametrize("more", [{}, {"branch": "main"}, {"tag": "v1"}, {"branch": "main", "subdir": "team"}])
def test_a_bundle_is_there_for_who_has_the_deploy_key(tmp_path: Path, ssh: SshServer, more: dict[str, Any]) -> None:
    answer = look(tmp_path, {"url": f"{ssh.url}dags", **more}, *by_ssh(ssh))
    assert (answer["stage"], message(answer)) == ("", "")


@needs_sshd
def test_a_commit_is_there(tmp_path: Path, ssh: SshServer, repositories: Path) -> None:
    head = (repositories / "dags/.git/refs/heads/main").read_text(encoding="utf-8").strip()
    assert look(tmp_path, {"url": f"{ssh.url}dags", "commit": head}, *by_ssh(ssh))["stage"] == ""
    answer = look(tmp_path, {"url": f"{ssh.url}dags", "commit": "0" * 40}, *by_ssh(ssh))
    assert answer["stage"] == "ref"


@needs_sshd
@pytest.mark.parametrize(
    ("bundle", "changed", "words"),
    [
        ({}, {"known_hosts": "[127.0.0.1]:1 ssh-ed25519 AAAA"}, "known_hosts of its server"),
        ({}, {"deploy_key": "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----"},
         "is no private key"),
        ({"branch": "mian"}, {}, "There are main, v1."),
        ({"subdir": "teams"}, {}, "subdir is not there"),
        ({"path": "other"}, {}, "no such repository"),
        ({"path": "relative", "submodules": True}, {}, "a relative URL"),
    ],
)  # fmt: skip
def test_what_keeps_a_bundle_away_is_said_with_its_remedy(
    tmp_path: Path, ssh: SshServer, bundle: dict[str, Any], changed: dict[str, Any], words: str
) -> None:
    url = ssh.url + bundle.get("path", "dags")
    wanted = {key: value for key, value in bundle.items() if key != "path"}
    assert words in message(look(tmp_path, {"url": url, **wanted}, *by_ssh(ssh, **changed)))


@needs_sshd
def test_a_key_that_the_server_does_not_know_is_refused(tmp_path: Path, ssh: SshServer) -> None:
    server, _ = by_ssh(ssh)
    assert "refuses deploy_key" in message(look(tmp_path, {"url": f"{ssh.url}dags"}, server, {}))


@needs_sshd
def test_submodules_are_asked_for_with_the_same_key(tmp_path: Path, ssh: SshServer, repositories: Path) -> None:
    repository(repositories / "with-lib", {"a.py": "A = 1\n"}, submodule=f"{ssh.url}lib")
    repository(repositories / "with-nothing", {"a.py": "A = 1\n"}, submodule=f"{ssh.url}nothing")
    assert look(tmp_path, {"url": f"{ssh.url}with-lib", "submodules": True}, *by_ssh(ssh))["stage"] == ""
    answer = look(tmp_path, {"url": f"{ssh.url}with-nothing", "submodules": True}, *by_ssh(ssh))
    assert "its submodule" in message(answer)
    assert "no such repository" in message(answer)


def test_a_bundle_is_there_for_who_has_the_token(tmp_path: Path, https: HttpsServer) -> None:
    server = {"url": https.url, "ca_certificate": https.authority.pem}
    assert look(tmp_path, {"url": f"{https.url}dags/.git", "subdir": "team"}, server, {"token": TOKEN})["stage"] == ""
    # A login may be for one repository alone.
    server["url"] = f"{https.url}dags/"
    assert look(tmp_path, {"url": f"{https.url}dags/.git"}, server, {"token": TOKEN})["stage"] == ""
    other = look(tmp_path, {"url": f"{https.url}lib/.git"}, server, {"token": TOKEN})
    assert other["stage"] == "server"


@pytest.mark.parametrize(
    ("trusted", "token", "words"),
    [(True, "wrong", "refuses the login"), (True, "", "refuses the login"), (False, TOKEN, "signed by nobody")],
)
def test_who_may_not_read_by_https_is_told(
    tmp_path: Path, https: HttpsServer, *, trusted: bool, token: str, words: str
) -> None:
    server = {"url": https.url} | ({"ca_certificate": https.authority.pem} if trusted else {})
    answer = look(tmp_path, {"url": f"{https.url}dags/.git"}, server, {"token": token} if token else {})
    assert words in message(answer)


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    server = {"url": "https://127.0.0.1:9/"}
    assert "does not answer" in message(look(tmp_path, {"url": "https://127.0.0.1:9/dags"}, server, {}))
