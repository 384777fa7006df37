"""The modules' client of Airflow's REST API, against a server that speaks HTTP."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from airstrip_certificates import issue
from airstrip_http import Server, serving
from airstrip_module import load
from airstrip_tree import PROJECT

PASSWORD = "not-in-any-message-4711"  # noqa: S105
TOKEN = {"POST /auth/token": (201, {"access_token": "abc"})}


api = load(PROJECT / "module_utils" / "airflow_api.py")


def client(server: Server, **other: Any) -> Any:
    parameters = {"api_url": server.url, "api_username": "admin", "api_password": PASSWORD, "api_timeout": 5}
    return api.AirflowApi(parameters | other)


def test_logs_in_once_and_sends_the_token() -> None:
    with serving({**TOKEN, "GET /api/v2/dags": (200, {"dags": []})}) as server:
        connection = client(server)
        assert connection.request("GET", "/api/v2/dags") == {"dags": []}
        connection.request("GET", "/api/v2/dags")
    assert server.requests == [
        ("POST /auth/token", "", {"username": "admin", "password": PASSWORD}),
        ("GET /api/v2/dags", "Bearer abc", None),
        ("GET /api/v2/dags", "Bearer abc", None),
    ]


def test_trusts_the_authorities_that_it_is_given(tmp_path: Path) -> None:
    authority = issue("authority")
    server_certificate = issue("server", authority, ("127.0.0.1",))
    (tmp_path / "ca.crt").write_text(authority.pem, encoding="utf-8")
    (tmp_path / "server.pem").write_text(server_certificate.pem + server_certificate.key, encoding="utf-8")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    with serving({"GET /api/v2/version": (200, {"version": "3.3.2"})}, tls) as server:
        known = client(server, api_ca_path=str(tmp_path / "ca.crt"))
        assert known.anonymous("/api/v2/version") == {"version": "3.3.2"}
        with pytest.raises(api.AirflowApiError, match="certificate verify failed"):
            client(server).anonymous("/api/v2/version")


def test_anonymous_request_does_not_log_in() -> None:
    with serving({"GET /api/v2/version": (200, {"version": "3.3.2"})}) as server:
        assert client(server).anonymous("/api/v2/version") == {"version": "3.3.2"}
    assert server.asked() == ["GET /api/v2/version"]


def test_sends_body_and_query() -> None:
    answers = {**TOKEN, "PATCH /users/ada?update_mask=email%2Croles&update_mask=x": (200, {})}
    with serving(answers) as server:
        client(server).request("PATCH", "/users/ada", {"email": "a@b"}, {"update_mask": ["email,roles", "x"]})
    assert server.requests[-1][2] == {"email": "a@b"}


@pytest.mark.parametrize(
    ("name", "quoted"), [("ada@example.com", "ada%40example.com"), ("a bä", "a%20b%C3%A4"), ("5%/x", "5%25%2Fx")]
)
def test_name_is_one_segment_of_a_path(name: str, quoted: str) -> None:
    assert api.segment(name) == quoted
    with serving({**TOKEN, f"GET /users/{quoted}": (200, {"ok": True})}) as server:
        assert client(server).request("GET", f"/users/{api.segment(name)}") == {"ok": True}


def test_trailing_slash_of_the_url_does_not_matter() -> None:
    with serving({"GET /version": (200, {})}) as server:
        client(server, api_url=server.url + "/").anonymous("/version")
    assert server.asked() == ["GET /version"]


def test_empty_answer_is_none() -> None:
    with serving({**TOKEN, "DELETE /users/ada": (204, "")}) as server:
        assert client(server).request("DELETE", "/users/ada") is None


@pytest.fixture(name="at_once")
def fixture_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_SECONDS_BETWEEN_LOGINS", 0)


@pytest.mark.usefixtures("at_once")
def test_a_login_that_fails_for_a_broken_connection_is_tried_again() -> None:
    refusal = (401, {"detail": "Invalid credentials"})
    with serving({"POST /auth/token": [refusal, refusal, TOKEN["POST /auth/token"]], "GET /x": (200, {})}) as server:
        assert client(server).request("GET", "/x") == {}
    assert server.asked() == ["POST /auth/token"] * 3 + ["GET /x"]


@pytest.mark.usefixtures("at_once")
def test_wrong_password_is_explained_without_it() -> None:
    with (
        serving({"POST /auth/token": (401, {"detail": "Invalid credentials"})}) as server,
        pytest.raises(api.AirflowApiError, match="refuses the password of user admin") as raised,
    ):
        client(server).request("GET", "/api/v2/dags")
    assert raised.value.status == 401
    assert "airflow_admin_password" in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500, 503])
def test_refusal_carries_airflows_explanation(status: int) -> None:
    with (
        serving({**TOKEN, "GET /x": (status, {"detail": "the reason"})}) as server,
        pytest.raises(api.AirflowApiError, match=f"GET /x: HTTP {status}: .*the reason") as raised,
    ):
        client(server).request("GET", "/x")
    assert raised.value.status == status


def test_long_explanation_is_cut() -> None:
    with serving({**TOKEN, "GET /x": (500, "z" * 10000)}) as server, pytest.raises(api.AirflowApiError) as raised:
        client(server).request("GET", "/x")
    assert len(str(raised.value)) < 600


def test_trouble_at_the_login_is_not_taken_for_a_wrong_password() -> None:
    with (
        serving({"POST /auth/token": (503, "starting")}) as server,
        pytest.raises(api.AirflowApiError, match="HTTP 503: starting") as raised,
    ):
        client(server).request("GET", "/x")
    assert raised.value.status == 503


def test_nobody_listens() -> None:
    with serving({}) as server:
        url = server.url
    with pytest.raises(api.AirflowApiError, match=f"{url} does not answer") as raised:
        client(server).request("GET", "/x")
    assert raised.value.status == 0


def test_answer_that_is_no_json_is_an_error_of_the_api() -> None:
    # Airflow answers unknown paths with 200 and the page of its user interface.
    with (
        serving({**TOKEN, "GET /nowhere": (200, "<!doctype html>")}) as server,
        pytest.raises(api.AirflowApiError, match=r"GET /nowhere: .*no JSON"),
    ):
        client(server).request("GET", "/nowhere")


def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving({"GET /version": (200, {"version": "1"})}) as server:
        assert client(server).anonymous("/version") == {"version": "1"}


def test_an_url_that_is_none_is_named() -> None:
    parameters = {"api_url": "nowhere", "api_username": "a", "api_password": "b", "api_timeout": 1}
    with pytest.raises(api.AirflowApiError, match="nowhere does not answer: unknown url type"):
        api.AirflowApi(parameters).anonymous("/")
