"""The module remote_logs_probe signs requests as Amazon documents it, and says where a server refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airstrip_module import load
from airstrip_tree import PROJECT

probe = load(PROJECT / "library" / "remote_logs_probe.py")

# The example "GET Object" of Amazon's documentation of Signature Version 4.
EXAMPLE = {
    "region": "us-east-1",
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
REQUEST: dict[str, Any] = {
    "method": "GET", "url": "https://examplebucket.s3.amazonaws.com/test.txt", "query": "", "body": b"",
    "service": "s3", "headers": {"range": "bytes=0-9"},
}  # fmt: skip
SIGNATURE = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
NOBODY: dict[str, Any] = EXAMPLE | {
    "kind": "s3", "endpoint_url": "http://127.0.0.1:1", "place": "logs", "name": "a/b", "authorities": "", "timeout": 1,
}  # fmt: skip


def test_a_request_is_signed_as_documented() -> None:
    headers = probe.signed(REQUEST, EXAMPLE, datetime(2013, 5, 24, tzinfo=UTC))
    assert headers["authorization"].endswith(f"Signature={SIGNATURE}")
    assert "wJalr" not in str(headers)


def test_a_bucket_is_below_a_server_of_ones_own_and_a_name_of_amazons() -> None:
    assert probe._bucket(NOBODY) == "http://127.0.0.1:1/logs"
    assert probe._bucket(NOBODY | {"endpoint_url": ""}) == "https://logs.s3.us-east-1.amazonaws.com"


def test_a_server_that_does_not_answer_is_named_as_such() -> None:
    found = probe.look(NOBODY)
    assert found["stage"] == "connection"
    assert "refused" in found["error"]
