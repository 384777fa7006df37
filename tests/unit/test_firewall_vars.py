"""What the variables of the role firewall make of its rules, beyond its filters."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from airstrip_render import Role


def digest(**variables: Any) -> str:
    found: str = Role("firewall", variables).evaluate("__firewall_digest")
    return found


@pytest.mark.parametrize(
    "variables",
    [
        {"firewall_ssh_port": 2222},
        {"firewall_ssh_sources": ["192.0.2.0/24"]},
        {"firewall_rules": [{"service": "https", "protocol": "tcp", "port": 443, "sources": []}]},
        {"firewall_extra_rules": [{"comment": "mine", "port": 9100}]},
        {"firewall_log_enabled": True},
    ],
    ids=lambda variables: str(next(iter(variables))),
)
def test_the_digest_tells_other_rules(variables: dict[str, Any]) -> None:
    assert digest(**variables) != digest()


def test_the_digest_tells_no_other_net() -> None:
    assert digest(firewall_revert_seconds=10) == digest()


def test_what_is_compared_on_the_host_is_what_is_written() -> None:
    role = Role("firewall")
    checksums = dict(reversed(line.split("  ")) for line in role.evaluate("__firewall_checksums").splitlines())
    contents = {entry["path"]: entry.get("content") for entry in role.evaluate("__firewall_files")}
    # The rules are written as a candidate first, and are linked when they have proved themselves.
    contents["/etc/airstrip/firewall.nft"] = contents.pop("/etc/airstrip/firewall-candidate.nft")
    assert {path: hashlib.sha256(contents[path].encode()).hexdigest() for path in checksums} == checksums
    assert len(checksums) == 2
    assert f'comment "{digest()}"' in contents["/etc/airstrip/firewall.nft"]
