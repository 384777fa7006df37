"""What the variables of the role firewall make of its rules, beyond its filters."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from airstrip_render import Role, written
from airstrip_tree import PROJECT, Tree


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
        {"firewall_egress_enabled": True},
    ],
    ids=lambda variables: str(next(iter(variables))),
)
def test_the_digest_tells_other_rules(variables: dict[str, Any]) -> None:
    assert digest(**variables) != digest()


@pytest.mark.parametrize(
    "variables",
    [
        {
            "firewall_egress_rules": [
                {"service": "redis", "protocol": "tcp", "port": 6379, "destinations": ["10.0.0.2"]}
            ]
        },
        {"firewall_egress_destinations": [{"comment": "S3", "port": 443, "destinations": ["10.0.0.2"]}]},
        {"firewall_egress_resolvers": ["10.0.0.53"]},
    ],
    ids=lambda variables: str(next(iter(variables))),
)
def test_the_digest_tells_other_destinations_where_they_count(variables: dict[str, Any]) -> None:
    assert digest(firewall_egress_enabled=True, **variables) != digest(firewall_egress_enabled=True)
    assert digest(**variables) == digest()


def test_the_digest_tells_no_other_net() -> None:
    assert digest(firewall_revert_seconds=10) == digest()


def test_what_is_compared_on_the_host_is_what_is_written() -> None:
    role = Role("firewall")
    look = next(task for task in Tree(PROJECT).tasks("firewall") if task.name.startswith("Open | Compare"))
    *_, rules, unit = (role.text(argument) for argument in look.arguments["argv"])
    contents = {entry["path"]: entry["content"] for entry in written("firewall", "apply", role) if "content" in entry}
    # The rules are written as a candidate first, and are linked when they have proved themselves.
    sums = {path: hashlib.sha256(content.encode()).hexdigest() for path, content in contents.items()}
    assert sums == {
        "/etc/airstrip/firewall-candidate.nft": rules,
        "/etc/systemd/system/airstrip-firewall.service": unit,
    }
    assert f'comment "{digest()}"' in contents["/etc/airstrip/firewall-candidate.nft"]


@pytest.mark.parametrize(
    ("reconnection", "told"),
    [
        ({"elapsed": 3}, "The host has taken the former rules back by itself."),
        (
            {"elapsed": 90, "msg": "timed out"},
            "The host does not answer after 90 s either: look at it from its console, and remove the rules by: nft "
            "delete table inet airstrip",
        ),
    ],
)
def test_it_is_told_how_a_host_stands_that_was_cut_off(reconnection: dict[str, Any], told: str) -> None:
    variables = {"__firewall_reconnection": reconnection, "ansible_failed_result": {"msg": "timed out"}}
    role = Role("firewall", variables)
    task = role.task("apply", "Apply | Tell that the rules cut the controller off")
    assert role.template(task["ansible.builtin.fail"]["msg"]) == (
        "vm1: the new firewall rules cut the controller off, or could not be kept (timed out). "
        f"{told} The new ones let SSH in at port 22 (firewall_ssh_port) from everybody (firewall_ssh_sources). Correct "
        "these, and run again."
    )
