"""The module service_probe, against servers that speak TLS."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from airstrip_certificates import Issued, issue
from airstrip_http import Server, serving
from airstrip_module import run_module

PATH = "/leader"
LEADS: dict[str, Any] = {f"GET {PATH}": (200, {})}
FOLLOWS: dict[str, Any] = {f"GET {PATH}": (503, {})}


@pytest.fixture(scope="module")
def authority() -> Issued:
    return issue("authority")


@pytest.fixture
def tls(authority: Issued, tmp_path: Path) -> ssl.SSLContext:
    own = issue("server", authority, ("127.0.0.1",))
    (tmp_path / "server.pem").write_text(own.pem + own.key, encoding="utf-8")
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(tmp_path / "server.pem")
    return found


def ask(tmp_path: Path, server: Server, authority: str, **more: Any) -> dict[str, Any]:
    port = int(server.url.rpartition(":")[2])
    probe = {"component": "etcd", "service": "client", "addresses": ["127.0.0.1"], "port": port, "tls": True}
    return run_module(tmp_path, "service_probe", {"probes": [probe | more], "ca_certificate": authority})


def test_a_service_that_answers_has_a_row(tmp_path: Path, tls: ssl.SSLContext, authority: Issued) -> None:
    with serving({}, tls) as server:
        found = ask(tmp_path, server, authority.pem)
    (row,) = found["rows"]
    assert (found["failed"], found["changed"], row["health"]) == (False, False, "healthy")
    assert found["lines"] == [f"etcd  client  127.0.0.1  healthy  {row['latency']}"]


def test_a_certificate_of_somebody_else_is_none(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with serving({}, tls) as server:
        found = ask(tmp_path, server, issue("another").pem)
    assert found["failed"]
    assert "etcd: client at 127.0.0.1:" in found["msg"]
    assert "certificate verify failed" in found["msg"]


@pytest.mark.parametrize(("answers", "health"), [(LEADS, "leader"), (FOLLOWS, "follower")])
def test_each_says_whether_it_leads(answers: Any, health: str, tmp_path: Path) -> None:
    with serving(answers) as server:
        found = ask(tmp_path, server, "", tls=False, leader_path=PATH)
    assert [row["health"] for row in found["rows"]] == [health]
    assert not found["failed"]


def test_one_has_to_lead(tmp_path: Path) -> None:
    with serving(FOLLOWS) as server:
        found = ask(tmp_path, server, "", tls=False, leader_path=PATH, complete=True)
    assert found["msg"] == "etcd: 0 of 127.0.0.1 lead, and one has to."


def test_two_leaders_are_too_many(tmp_path: Path) -> None:
    with serving(LEADS) as server:
        given = {"tls": False, "leader_path": PATH, "complete": True, "addresses": ["127.0.0.1", "localhost"]}
        assert "2 of 127.0.0.1, localhost lead" in ask(tmp_path, server, "", **given)["msg"]


def test_what_does_not_answer_is_named(tmp_path: Path, authority: Issued) -> None:
    with serving({}) as server:
        pass
    found = ask(tmp_path, server, authority.pem)
    assert found["failed"]
    assert found["rows"][0]["health"] == "dead"
    assert "does not answer: " in found["msg"]
