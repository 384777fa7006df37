"""What the variables of the role preflight make of the facts, beyond its filter."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_render import HOST, Role
from airstrip_tree import Tree
from ansible.template import trust_as_template


def host_fact(name: str, variables: dict[str, Any], **answer: Any) -> Any:
    """Return a fact of the host, which has answered, for the filter preflight_problems."""
    given = {"preflight_facts": answer, **variables}
    return Role("preflight", given).evaluate(f"__preflight_host_facts.{name}")


@pytest.mark.parametrize(
    ("installed", "is_airflow", "needed"),
    [
        ("3.2.2", True, True),
        ("3.3.2", True, False),
        ("3.2.2", False, False),
        ("", True, False),
    ],
)
def test_a_release_changes_where_another_one_is(installed: str, is_airflow: bool, needed: bool) -> None:
    here = HOST["site_here"] | {"is_airflow": is_airflow}
    variables: dict[str, Any] = {"site_here": here, "ansible_run_tags": ["all"], "ansible_play_hosts_all": ["a"]}
    found = host_fact("release_change", variables, installed_version=installed)
    assert found["needed"] is needed
    assert found["wanted"] == HOST["airflow_version"]
    assert (found["tags"], found["hosts"]) == (["all"], ["a"])


@pytest.mark.parametrize(("allowed", "host"), [(False, "host-1"), ("false", "host-1"), (True, ""), ("true", "")])
def test_hosts_go_out_of_service_without_the_one_that_migrates(allowed: bool | str, host: str) -> None:
    variables: dict[str, Any] = {"preflight_drained_allowed": allowed}
    assert host_fact("release_change.migration_host", variables, installed_version="") == host


@pytest.mark.parametrize(
    ("components", "is_there", "found"),
    [
        (["api_server"], True, "/srv/airflow/webserver_config.py"),
        (["api_server"], False, None),
        (["worker"], True, None),
    ],
)
def test_only_an_api_server_could_overlook_its_configuration(
    components: list[str], is_there: bool, found: str | None
) -> None:
    variables = {"site_here": HOST["site_here"] | {"components": components}, "airflow_home": "/srv/airflow"}
    assert host_fact("overlooked", variables, webserver_config=is_there) == found


@pytest.mark.parametrize(
    ("components", "release", "needed"),
    [
        (["scheduler"], "", [2000, 0]),
        (["scheduler", "postgresql"], "3.3.2", [0, 1000]),
    ],
)
def test_space_is_needed_where_something_is_installed(components: list[str], release: str, needed: list[int]) -> None:
    variables = {"site_here": HOST["site_here"] | {"components": components}}
    disk = host_fact("disk", variables, installed_version=release, free_mb={"/opt/airflow": 7})
    assert [row["needed_mb"] for row in disk] == needed
    assert [row["free_mb"] for row in disk] == [7, 0]


@pytest.mark.parametrize(("enabled", "ssh_port"), [(True, 2222), ("true", 2222), (False, None), ("false", None)])
def test_only_hosts_with_a_firewall_are_asked_how_they_are_reached(enabled: bool | str, ssh_port: int | None) -> None:
    connection = ["192.0.2.7", "50000", "192.0.2.1", "2222"]
    variables: dict[str, Any] = {
        "preflight_firewall_enabled": enabled,
        "firewall_ssh_port": 2222,
        "firewall_ssh_sources": [],
    }
    expected = {"connection": connection, "ssh_port": 2222, "ssh_sources": []}
    assert host_fact("firewall", variables, ssh_connection=connection) == (expected if ssh_port else None)


@pytest.mark.parametrize(
    ("components", "upgrade", "expected"),
    [
        (["postgresql"], False, {"clusters": {"15": "auto"}, "wanted": "17"}),
        (["postgresql"], "true", None),
        (["scheduler"], False, None),
    ],
)
def test_only_an_upgrade_may_find_another_postgresql(
    components: list[str], upgrade: bool | str, expected: dict[str, Any] | None
) -> None:
    variables: dict[str, Any] = {
        "site_here": HOST["site_here"] | {"components": components},
        "postgresql_version": "",
        "preflight_postgresql_upgrade": upgrade,
    }
    assert host_fact("postgresql_clusters", variables, postgresql={"15": "auto"}) == expected


@pytest.mark.parametrize(
    ("first", "again", "doubtful", "expected"),
    [
        ({"a": 0.3, "b": 1.2}, {}, [], {"a": 0.3, "b": 1.2}),
        (
            {"a": 1.1, "b": 12.4, "c": 6.0},
            {"a": 0.3, "b": 0.4, "c": 0.4},
            ["a", "b", "c"],
            {"a": 0.3, "b": 0.4, "c": 0.4},
        ),
        ({"a": 0.3, "b": 12.4}, {"a": 0.2, "b": 12.1}, ["a", "b"], {"a": 0.2, "b": 12.1}),
        ({"a": -60.0, "b": 0.2}, {"a": -60.1, "b": 0.1}, ["a", "b"], {"a": -60.1, "b": 0.1}),
    ],
)
def test_a_late_answer_is_not_taken_for_a_wrong_clock(
    first: dict[str, float], again: dict[str, float], doubtful: list[str], expected: dict[str, float]
) -> None:
    variables: dict[str, Any] = {
        "preflight_max_clock_skew": 5,
        "ansible_play_hosts": list(first),
        "hostvars": {host: {"preflight_facts": {"clock_offset": offset}} for host, offset in first.items()},
    }
    assert Role("preflight", variables).evaluate("__preflight_doubtful_clocks") == doubtful
    variables["__preflight_second"] = {
        "results": [{"clock_offset": offset, "preflight_host": host} for host, offset in again.items()]
    }
    assert Role("preflight", variables).evaluate("__preflight_clocks") == expected


@pytest.mark.parametrize(("allowed", "asked"), [(True, False), ("true", False), (False, True)])
def test_the_system_is_not_asked_where_an_old_installation_has_it(allowed: bool | str, asked: bool) -> None:
    """Not even for nothing: a module gives the defaults of what is empty, and would answer."""
    task = next(task for task in Tree().tasks("preflight") if task.module == "site_host_facts")
    role = Role("preflight", {"preflight_old_installation_allowed": allowed, "__preflight_system": {"ports": []}})
    assert role.template(trust_as_template(task.arguments["system"])) == ({"ports": []} if asked else None)


GENERATED = "{{ lookup('airflow_secret', 'a') }}"
NOT_KEPT = {"airflow_secrets_file": "/nowhere/.secrets.yml", "airflow_secrets_persist": False}


def test_a_secret_is_missing_if_it_would_be_generated_here() -> None:
    variables: dict[str, Any] = {
        "preflight_held_secrets": {
            "airflow_jwt_secret": {}, "airflow_fernet_key": {}, "airflow_ca_key": {}, "a_name_of_the_file": {},
        },
        "airflow_jwt_secret": trust_as_template(GENERATED),
        # As where it is set in a vault, and where the site has no such thing.
        "airflow_fernet_key": trust_as_template("{{ vault_airflow_fernet_key }}"),
        "vault_airflow_fernet_key": "a value",
        "airflow_ca_key": "",
    }  # fmt: skip
    found = Role("preflight", variables | NOT_KEPT).evaluate("__preflight_held_secrets.missing")
    assert found == ["airflow_jwt_secret", "a_name_of_the_file"]


# The database's password is of no use to the others, once this run has changed it.
SERVED = {"hosts": {"a": {}, "b": {}}, "placed": {"postgresql": ["a"], "redis": ["b"]}}


def test_hosts_outside_of_the_run_are_asked_for_what_is_missing() -> None:
    variables: dict[str, Any] = NOT_KEPT | {
        "preflight_held_secrets": {"airflow_jwt_secret": {}},
        "airflow_jwt_secret": trust_as_template(GENERATED),
        "site": {"hosts": {"a": {}, "b": {}}, "placed": {"postgresql": ["b"], "redis": []}},
        "ansible_play_hosts_all": ["a"],
        "ansible_play_hosts": ["a"],
        "hostvars": {"a": {"preflight_facts": {"secrets": []}}},
    }
    assert Role("preflight", variables).evaluate("__preflight_doubtful_outside") == ["b"]
    known = Role("preflight", variables | {"airflow_jwt_secret": "a value"})
    assert known.evaluate("__preflight_doubtful_outside") == []
    served = Role("preflight", variables | {"airflow_jwt_secret": "a value", "site": SERVED})
    assert served.evaluate("__preflight_doubtful_outside") == ["b"]
    answer = {"preflight_host": "b", "secrets": ["airflow_jwt_secret"]}
    silent = {"preflight_host": "c", "unreachable": True}
    asked = Role("preflight", variables | {"__preflight_outside": {"results": [answer, silent]}})
    assert asked.evaluate("__preflight_facts") == {"a": {"secrets": []}}
    assert asked.evaluate("__preflight_outside_facts") == {"b": answer, "c": silent}


@pytest.mark.parametrize(
    ("installed", "allowed", "asked"),
    [
        ({"a": "3.3.2", "data": ""}, False, []),
        ({"a": "3.2.2", "data": ""}, False, ["b", "c"]),
        # A host that is new gets the new version, too.
        ({"a": "3.3.2", "n": ""}, False, ["b", "c"]),
        ({"a": "3.2.2"}, "true", []),
    ],
)
def test_hosts_that_an_upgrade_leaves_out_are_asked(
    installed: dict[str, str], allowed: bool | str, asked: list[str]
) -> None:
    variables: dict[str, Any] = {
        "site": {"airflow_hosts": ["a", "b", "c", "n"], "vars": {"airflow_version": "3.3.2"}},
        "ansible_play_hosts": list(installed),
        "ansible_play_hosts_all": [*installed, "n"],
        "hostvars": {host: {"preflight_facts": {"installed_version": version}} for host, version in installed.items()},
        "preflight_drained_allowed": allowed,
        "__preflight_outside": {"results": [{"preflight_host": "b", "unreachable": True}, {"preflight_host": "x"}]},
    }
    role = Role("preflight", variables)
    assert sorted(role.evaluate("__preflight_left_out")) == asked
    found = role.evaluate("__preflight_site_facts.left_out")
    assert [*found["hosts"]] == (["b"] if asked else [])
    assert found["wanted"] == "3.3.2"


@pytest.mark.parametrize(
    ("certificate", "first", "expected"),
    [
        ("internal", "vm1", ["load_balancer", "authority"]),
        ("public", "vm1", ["load_balancer", "public", "authority"]),
        ("internal", "vm2", ["load_balancer"]),
    ],
)
def test_certificates_of_ones_own_are_checked_once(certificate: str, first: str, expected: list[str]) -> None:
    variables: dict[str, Any] = {
        "site_here": HOST["site_here"] | {"certificates": ["load_balancer"], "own_certificates": ["load_balancer"]},
        "site": {"vars": {"ca_certificate_file": "/ca.crt"}},
        "airflow_ca_certificate": "authority",
        "airflow_ca_key": "key",
        "haproxy_certificate": certificate,
        "haproxy_internal_certificate": "internal",
        "ansible_play_hosts": [first],
    }
    found = Role("preflight", variables).evaluate("__preflight_own_certificates + __preflight_own_authority")
    assert found == expected


def test_signed_certificates_are_those_of_the_host() -> None:
    entries = [{"host": host, "component": "redis", "name": f"{host}-redis"} for host in ("vm1", "vm2")]
    assert (
        Role("preflight", {"site": {"certificates": entries}}).evaluate("__preflight_leaf_certificates") == entries[:1]
    )


@pytest.mark.parametrize(
    ("store", "credentials", "key", "tried"),
    [
        ({"access_key_id": "AK"}, ["remote_logs"], "key", True),
        ({"access_key_id": "AK"}, ["database"], "key", False),
        ({"access_key_id": "AK"}, ["remote_logs"], "", False),
        ({"machine_role": True}, ["remote_logs"], "", False),
        ({"access_key_id": "AK", "connection": "mine"}, ["remote_logs"], "key", False),
    ],
)
def test_a_host_tries_the_key_that_its_components_get(
    store: dict[str, Any], credentials: list[str], key: str, tried: bool
) -> None:
    variables: dict[str, Any] = {
        "airflow_remote_logs": {"url": "s3://logs", **store},
        "airflow_remote_logs_key": key,
        "airflow_components": {"worker": {"credentials": credentials}},
        "airflow_release_extras": ["amazon"],
        "airflow_release_extra_packages": [],
        "airflow_environment": {},
    }
    assert Role("preflight", variables).evaluate("__preflight_remote_logs_tried") is tried


@pytest.mark.parametrize(("enabled", "firewall"), [(True, True), ("true", "true"), (False, True), (True, "false")])
@pytest.mark.parametrize(
    ("proxy", "is_airflow", "told"),
    [
        ("", True, ["db, port 5432", "pypi.org, port 443", "192.0.2.9, port 2049", "192.0.2.7, port 22"]),
        ("", False, ["db, port 5432", "192.0.2.9, port 2049", "192.0.2.7, port 22"]),
        ("http://proxy:3128", True, ["db, port 5432", "192.0.2.9, port 2049", "192.0.2.7, port 22"]),
    ],
)
def test_a_host_that_is_kept_in_has_to_reach_what_it_needs(
    enabled: bool | str, firewall: bool | str, proxy: str, is_airflow: bool, told: list[str]
) -> None:
    named = [{"variable": "site_database_host", "host": "db", "port": 5432}]
    answer = {"ssh_connection": ["192.0.2.1", "50000", "192.0.2.7", "22"]}
    variables: dict[str, Any] = {
        "preflight_firewall_enabled": firewall,
        "firewall_egress_enabled": enabled,
        "firewall_egress_destinations": [],
        "firewall_egress_resolvers": ["192.0.2.53"],
        "base_http_proxy": proxy,
        "base_https_proxy": "",
        "airflow_release_package_index_enabled": True,
        "airflow_release_package_index_url": "https://pypi.org/simple",
        "site_here": HOST["site_here"] | {"is_airflow": is_airflow, "egress_named": named},
        "ansible_facts": HOST["ansible_facts"]
        | {
            "mounts": [{"fstype": "nfs", "mount": "/srv", "options": "addr=192.0.2.9"}],
            "all_ipv4_addresses": ["192.0.2.1"],
        },
        "ansible_play_hosts": ["vm2"],
        "hostvars": {"vm2": {"preflight_facts": answer}},
    }
    found = host_fact("egress_problems", variables)
    if "false" in (enabled, firewall) or False in (enabled, firewall):
        assert found is None
    else:
        assert [problem.partition(" out to ")[2].partition(" (")[0] for problem in found] == told
