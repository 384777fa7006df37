"""Where the clusters of an upgrade of PostgreSQL lie, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_imagined import PLACED, imagined
from airstrip_render import Role
from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.site_views import client_units
from postgresql_upgrade_views import postgresql_upgrade_cluster, postgresql_upgrade_messages


def messages(do: str) -> dict[str, str]:
    plan = {"do": do, "from": "15", "to": "17", "problems": []}
    return postgresql_upgrade_messages(plan, {"host": "db1", "mode": "copy"})


@pytest.mark.parametrize(
    ("do", "before", "after", "failed"),
    [
        ("nothing", "db1: there is nothing to do.", "db1: there was nothing to do.", "Nothing was changed."),
        (
            "upgrade",
            "db1: PostgreSQL 15 becomes 17. Airflow stops while the data are taken over (copy); its workers and their "
            "tasks go on.",
            "db1: PostgreSQL 17 runs; 15/main is kept, stopped. If all is well, remove it: -e "
            "postgresql_upgrade_step=confirm. ",
            "PostgreSQL 15 runs again, with all its data, and Airflow on it. ",
        ),
        (
            "finish",
            "db1: PostgreSQL 17 has the data. ",
            "db1: PostgreSQL 17 runs; 15/main is kept, ",
            "PostgreSQL 17 has",
        ),
        (
            "revert",
            "db1: PostgreSQL 17 becomes 15 again, ",
            'db1: PostgreSQL 15 runs again. Set postgresql_version to "15" in the inventory; site.yml refuses ',
            "PostgreSQL 15 runs again, ",
        ),
        (
            "confirm",
            "db1: the cluster 15/main, which was kept, is removed with its data.",
            "db1: PostgreSQL 17 is confirmed, and 15/main is gone.",
            "Nothing was changed.",
        ),
    ],
)
def test_each_plan_is_told(do: str, before: str, after: str, failed: str) -> None:
    found = messages(do)
    assert found["before"].startswith(before)
    assert found["after"].startswith(after)
    assert found["failed"].startswith(failed)


def test_it_is_told_why_an_upgrade_does_not_begin_or_go_back() -> None:
    assert messages("upgrade")["not_installed"].startswith("db1: postgresql_version: PostgreSQL 17 cannot be installed")
    assert "so there is no way back to 15. " in messages("revert")["linked"]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="the plan must be a mapping"):
        postgresql_upgrade_messages("upgrade", {"host": "db1", "mode": "copy"})


def test_a_cluster_lies_where_debian_puts_it() -> None:
    assert postgresql_upgrade_cluster("17") == {
        "version": "17",
        "unit": "postgresql@17-main.service",
        "configuration": "/etc/postgresql/17/main",
        "data": "/var/lib/postgresql/17/main",
        "programs": "/usr/lib/postgresql/17/bin",
        "marks": "/var/lib/postgresql/upgrade-to-17",
    }


@pytest.mark.parametrize(("mode", "more"), [("copy", []), ("link", ["--link"])])
def test_the_tool_gets_both_clusters(mode: str, more: list[str]) -> None:
    server = {"__postgresql_upgrade_planned": {"do": "upgrade", "from": "15", "to": "17", "problems": []}}
    variables: dict[str, Any] = {"postgresql_upgrade_mode": mode, "hostvars": {"vm1": server}}
    role = Role("postgresql_upgrade", variables | {"postgresql_upgrade_host": "vm1"})
    assert role.evaluate("__postgresql_upgrade_argv + __postgresql_upgrade_mode_argv") == [
        "/usr/lib/postgresql/17/bin/pg_upgrade",
        "--old-bindir=/usr/lib/postgresql/15/bin",
        "--new-bindir=/usr/lib/postgresql/17/bin",
        "--old-datadir=/etc/postgresql/15/main",
        "--new-datadir=/etc/postgresql/17/main",
        "--jobs=4",
        *more,
    ]
    argv = role.template(role.task("fill", "Fill | Take the data over")["ansible.builtin.command"]["argv"])
    assert argv[0] == "systemd-run"
    assert "--working-directory=/var/lib/postgresql/upgrade-to-17" in argv


def test_a_plan_is_made_of_what_the_host_says() -> None:
    look = {"postgresql": {"15": "auto"}, "postgresql_upgrades": {}}
    role = Role("postgresql_upgrade", {"postgresql_upgrade_version": "17", "__postgresql_upgrade_look": look})
    task = role.task("plan", "Plan | Work out what there is to do")
    found = role.template(task["ansible.builtin.set_fact"])["__postgresql_upgrade_planned"]
    assert (found["do"], found["from"], found["to"], found["problems"]) == ("upgrade", "15", "17", [])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("stop_clients", "Stop clients | Stop what holds connections"),
        ("start_clients", "Start clients | Start what holds connections"),
    ],
)
def test_units_of_clients_are_named_as_the_site_does(file: str, name: str) -> None:
    unit = client_units(imagined(PLACED), "control")["metadata"][0]
    role = Role("postgresql_upgrade", {"postgresql_upgrade_client": unit})
    assert (
        role.template(role.task(file, name)["ansible.builtin.systemd_service"]["name"]) == "airflow-api-server.service"
    )
