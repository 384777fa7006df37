"""What is wrong with DAG bundles as they are declared, and with what servers answer."""

from __future__ import annotations

from typing import Any

import pytest
from dag_bundle_answers import airflow_bundle_answers
from dag_bundle_problems import airflow_bundle_problems

URL = "ssh://git@git.example.com/team/"
GIT: dict[str, Any] = {"name": "a", "type": "git", "url": f"{URL}a.git"}
S3: dict[str, Any] = {"name": "c", "type": "s3", "server": "store", "bucket": "dags"}
SSH: dict[str, Any] = {"name": "git", "url": URL, "known_hosts": "git.example.com ssh-ed25519 AAAA"}
STORE: dict[str, Any] = {"name": "store", "endpoint": "https://s3.example.com"}
HTTPS: dict[str, Any] = {"name": "hub", "url": "https://github.com/"}
KEY: dict[str, Any] = {"name": "git", "deploy_key": "KEY-4711"}
KEYS: dict[str, Any] = {"name": "store", "access_key": "a", "secret_key": "KEY-4711"}
GOOD: dict[str, Any] = {
    "dag_bundles": [GIT, S3], "bundle_servers": [SSH, STORE, HTTPS], "bundle_secrets": [KEY, KEYS],
    "workers": ["default"], "version": "3.3.2", "multi_team": False, "extras": ["amazon", "git"],
}  # fmt: skip


def test_what_is_declared_well_is_no_problem() -> None:
    assert airflow_bundle_problems(GOOD) == []
    own = {"name": "own", "classpath": "a.B", "kwargs": {}}
    public = {"name": "p", "type": "git", "url": "https://github.com/x/y.git", "commit": "abc"}
    secrets = [KEY | {"workers": ["default"]}, {"name": "hub", "token": "t"}]
    assert airflow_bundle_problems(GOOD | {"dag_bundles": [own, public], "bundle_secrets": secrets}) == []
    teams = {"dag_bundles": [GIT | {"team": "x"}], "multi_team": True}
    assert airflow_bundle_problems(GOOD | teams) == []


@pytest.mark.parametrize(
    ("key", "rows", "message"),
    [
        ("dag_bundles", [GIT, GIT], "airflow_dag_bundles: the name 'a' is there twice. Give each its own."),
        ("dag_bundles", [GIT | {"name": "dags-folder"}], "the name 'dags-folder' is one of ours"),
        ("dag_bundles", [GIT | {"name": "_locks"}], "_locks: the name becomes a directory"),
        ("dag_bundles", [{"name": "a"}], "a has neither `type` nor `classpath`"),
        ("dag_bundles", [GIT | {"type": "hg"}], "a is of the type 'hg'. Set it to git or s3"),
        ("dag_bundles", [GIT | {"brach": "x"}], "a has `brach`, which it does not know. Did you mean `branch`?"),
        ("dag_bundles", [GIT | {"bucket": "x"}], "a has `bucket`, which it does not know."),
        ("dag_bundles", [GIT | {"branch": "x", "tag": "y"}], "a has branch and tag. Keep one of them."),
        ("dag_bundles", [GIT | {"subdir": "../x"}], "subdir is '../x'. It is a path inside of the repository"),
        ("dag_bundles", [GIT | {"url": "https://u:KEY-4711@h/x"}], "there is a password in its url"),
        ("dag_bundles", [GIT | {"url": "http://h/x"}], "its url is 'http://h/x'. Write https://"),
        ("dag_bundles", [GIT | {"url": "git@other:x"}], "no `url` in airflow_bundle_servers is the beginning of git@"),
        ("dag_bundles", [GIT | {"team": "x"}], "a has a team, and Airflow is to know none. Set core: {multi_team"),
        ("dag_bundles", [S3 | {"bucket": ""}], "c has no `bucket`"),
        (
            "dag_bundles",
            [S3 | {"server": "git"}],
            "server is 'git', and the stores in airflow_bundle_servers are store",
        ),
        ("bundle_servers", [SSH, SSH, STORE], "airflow_bundle_servers: the name 'git' is there twice"),
        ("bundle_servers", [SSH | {"known_hosts": ""}, STORE], "git has no known_hosts, so anybody could be it"),
        ("bundle_servers", [SSH, STORE, HTTPS | {"url": "http://h/"}], "hub: its url is 'http://h/'"),
        ("bundle_servers", [SSH, STORE | {"endpoint": "http://h"}], "endpoint is 'http://h', and what is loaded"),
        ("bundle_servers", [SSH, STORE | {"endpiont": "x"}], "Did you mean `endpoint`?"),
        ("bundle_secrets", [KEY | {"name": "x"}], "x is the name of no server in airflow_bundle_servers"),
        ("bundle_secrets", [{"name": "hub", "deploy_key": "KEY-4711"}], "reached by https, which takes token."),
        ("bundle_secrets", [{"name": "git", "token": "KEY-4711"}], "reached by ssh, which takes deploy_key."),
        ("bundle_secrets", [KEYS | {"secret_key": ""}], "which takes access_key and secret_key"),
        ("bundle_secrets", [{"name": "hub", "token": "KEY-4711\nx"}], "has more than one line"),
        ("bundle_secrets", [KEY | {"workers": ["x"]}], "workers has 'x', and the site's workers are default"),
        ("extras", ["git"], "c needs the provider amazon, which the release has not. Add amazon to"),
    ],
)
def test_what_is_wrong_is_said_without_a_secret(key: str, rows: Any, message: str) -> None:
    found = airflow_bundle_problems(GOOD | {key: rows})
    assert any(message in problem for problem in found), found
    assert not any("KEY-4711" in problem for problem in found)


def test_a_name_may_not_have_what_a_variable_of_the_environment_cannot() -> None:
    found = airflow_bundle_problems(GOOD | {"bundle_servers": [SSH, STORE, HTTPS | {"name": "Hub-1"}]})
    assert found == ["airflow_bundle_servers: Hub-1: use small letters, digits and _ for its name, and a letter first."]


def test_teams_are_of_airflow_3_2() -> None:
    given = GOOD | {"version": "3.1.7", "dag_bundles": [GIT | {"team": "x"}], "multi_team": True}
    assert airflow_bundle_problems(given) == [
        "airflow_dag_bundles: a has a team, which Airflow 3.1.7 does not know. Take it out, or upgrade to 3.2."
    ]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"stage": ""}, ""),
        ({"stage": "unasked", "error": "there is no git yet"}, ""),
        ({"stage": "server", "error": "404"}, "404: there is no such bucket"),
        ({"stage": "server", "error": "InvalidAccessKeyId"}, "the store refuses the keys"),
        ({"stage": "server", "error": "SSLError: CERTIFICATE_VERIFY_FAILED"}, "signed by nobody"),
        ({"stage": "server", "error": "EndpointConnectionError: x"}, "the store does not answer"),
        ({"stage": "prefix", "error": ""}, "prefix is not there, or empty"),
        ({"stage": "server", "error": "Kaboom", "refs": []}, "Kaboom: look at it there by hand."),
        ({"stage": "ref", "error": "", "refs": ["main"]}, "the branch or tag is not there. There are main."),
        (
            {
                "stage": "server",
                "refs": [],
                "error": "Host key verification failed.\nfatal: Could not read from remote",
            },
            "node-1: Host key verification failed.: known_hosts of its server",
        ),
    ],
)
def test_answers_are_said_with_their_remedy(answer: dict[str, Any], message: str) -> None:
    found = "".join(airflow_bundle_answers([{"name": "a", **answer}], "node-1"))
    assert message in found
    assert bool(found) is bool(message)
