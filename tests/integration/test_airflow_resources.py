"""The module airflow_resources where the API does what a real one does not do on demand. Else: tests/e2e/content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airstrip_http import Server, serving
from airstrip_module import run_module

PASSWORD = "not-in-any-output-4711"  # noqa: S105
TOKEN = {"POST /auth/token": (201, {"access_token": "abc"})}
POOLS = "GET /api/v2/pools?limit=1000&offset=0"
OLD = {"name": "old", "slots": 1, "description": None, "include_deferred": False}
CONNECTION = {"connection_id": "dwh", "conn_type": "http", "password": PASSWORD}


def run(tmp_path: Path, server: Server, **arguments: Any) -> dict[str, Any]:
    """Run the module, whose result must not contain a secret, and which must not have changed anything."""
    given = {"api_url": server.url, "api_username": "admin", "api_password": PASSWORD, "key": "k"}
    found = run_module(tmp_path, "airflow_resources", {**given, "record": str(tmp_path / "digests.json"), **arguments})
    assert PASSWORD not in json.dumps({name: value for name, value in found.items() if name != "invocation"})
    return found


def writes(server: Server) -> list[str]:
    return [request for request, *_ in server.requests if not request.startswith(("GET ", "POST /auth/token"))]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({POOLS: (500, {"detail": "no database"})}, "HTTP 500: no database"),
        (
            {
                POOLS: (200, {"pools": [OLD], "total_entries": 3}),
                POOLS.replace("=0", "=1"): (200, {"pools": [], "total_entries": 3}),
            },
            "1 of 3 entries came",
        ),
    ],
)
def test_nothing_is_purged_without_the_whole_list(answers: dict[str, Any], message: str, tmp_path: Path) -> None:
    with serving({**TOKEN, **answers}) as server:
        result = run(tmp_path, server, purge=["pools"])
    assert result["failed"]
    assert message in result["msg"]
    assert writes(server) == []


def test_a_list_of_many_pages_is_read_to_its_end(tmp_path: Path) -> None:
    second = {**OLD, "name": "other"}
    answers = {
        POOLS: (200, {"pools": [OLD], "total_entries": 2}),
        POOLS.replace("=0", "=1"): (200, {"pools": [second], "total_entries": 2}),
    }
    with serving({**TOKEN, **answers}) as server:
        result = run(tmp_path, server, pools=[{"name": "other", "slots": 1}])
    assert (result["failed"], result["changed"], result["requests"]) == (False, False, 2)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"create": {"success": [], "errors": [{"error": "there already", "status_code": 409}]}}, "there already"),
        ({"create": {"success": [], "errors": []}}, "of 0 entries that they are done, not of 1"),
    ],
)
def test_what_airflow_refuses_with_200_is_an_error(answer: dict[str, Any], message: str, tmp_path: Path) -> None:
    answers = {
        "GET /api/v2/connections?limit=1000&offset=0": (200, {"connections": [], "total_entries": 0}),
        "PATCH /api/v2/connections": (200, answer),
    }
    with serving({**TOKEN, **answers}) as server:
        result = run(tmp_path, server, connections=[CONNECTION])
    assert result["failed"]
    assert message in result["msg"]
    # So the next run writes it again.
    assert not (tmp_path / "digests.json").exists()


def test_what_airflow_repeats_of_a_secret_is_not_told(tmp_path: Path) -> None:
    answers = {
        "GET /api/v2/connections?limit=1000&offset=0": (200, {"connections": [], "total_entries": 0}),
        "PATCH /api/v2/connections": (422, {"detail": [{"loc": ["body"], "msg": "wrong", "input": PASSWORD}]}),
    }
    with serving({**TOKEN, **answers}) as server:
        result = run(tmp_path, server, connections=[CONNECTION])
    assert result["msg"] == "PATCH /api/v2/connections: HTTP 422: body: wrong"
