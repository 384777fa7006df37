"""A component that nobody knows is one entry: all that lists components follows from it, and goes with it."""

import json
from typing import Any

import pytest
from airstrip_imagined import PLACED, inventory
from airstrip_registry import entries
from airstrip_throwaway import made_up
from airstrip_tree import PROJECT, Tree
from ansible_collections.airstrip.core.plugins.module_utils.site_checks import problems
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import added as added_later
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import hosts_of, users, wiring
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import When, read_registry
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_all_variables, read_variables
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact
from topology_drawing import airflow_topology_text


@pytest.fixture
def names() -> tuple[str, str]:
    """Return two names that stand nowhere: of a component on three hosts, and of one outside of the inventory."""
    return made_up(), made_up()


def added(own: str, other: str) -> dict[str, Any]:
    """Return their entries."""
    port = {"type": "port", "default": 9123, "description": "Its port."}
    address = {"type": "str", "default": "", "description": "Its host."}
    return {
        own: {
            "group": own,
            "role": own,
            "tier": "monitoring",
            "variables": {f"site_{own}_port": port | {"inputs": [f"{own}_port"]}},
            "stage": "after_airflow",
            "units": [f"{own}.service"],
            "certificate": f"{own}_certificate",
            "endpoint": "leader",
            "leader_probe": {"service": own, "path": "/leader"},
            "services": {own: {"port": f"site_{own}_port"}},
            "inputs": {
                f"{own}_listen_addresses": {"listen": own},
                f"{own}_callers": {"callers": own},
                f"{own}_elsewhere": {"reach": other},
                f"{own}_ca_certificate": {"authority": True},
            },
            "needs": [{"service": other}, {"service": "postgresql", "login": "metadata", "connections": {"fixed": 7}}],
            "memory": {"mb": 99},
            "placement": {"max": 3},
            "owns": [f"/etc/{own}"],
        },
        other: {
            "group": other,
            "role": other,
            "tier": "database",
            "variables": {f"site_{other}_port": port | {"default": 9124}, f"site_{other}_host": address},
            "services": {other: {"port": f"site_{other}_port"}},
            "placement": {"external": f"site_{other}_host"},
            "stage": "before_airflow",
        },
    }


def built(more: dict[str, Any], placed: dict[str, list[str]], **variables: Any) -> Site:
    files = entries() | {"site": Tree().load(PROJECT / "registry" / "site.yml")} | json.loads(json.dumps(more))
    # The scheduler comes to it: the client declares what it needs.
    for name in more:
        if more[name]["placement"].get("max"):
            files["scheduler"] = files["scheduler"] | {"needs": [*files["scheduler"]["needs"], {"service": name}]}
    declared = read_all_variables(files)
    registry = read_registry({name: entry for name, entry in files.items() if name != "site"}, declared)
    given = inventory(placed, {f"site_{name}": value for name, value in variables.items()})
    return given.site(registry, declared)


def test_everything_follows_from_one_entry(names: tuple[str, str]) -> None:
    own, other = names
    hosts = ["store", "control", "worker1"]
    site = built(added(own, other), PLACED | {own: hosts}, **{f"{other}_host": "192.0.2.77", f"{own}_port": "9200"})
    assert problems(site) == []
    found = fact(site)
    here = found["hosts"]["store"]
    assert {"service": own, "protocol": "tcp", "port": 9200, "sources": ["10.0.0.2"]} in here["rules"]
    assert here["listen"][own] == ["127.0.0.1", "10.0.0.1"]
    assert "10.0.0.1" in here["certificates"][own]
    assert here["reach"][own] == {
        "address": "127.0.0.1", "port": 9200, "tls": True, "external": False, "authority": "/etc/airflow/ca.crt",
        "addresses": ["127.0.0.1", "10.0.0.2", "10.0.0.4"], "leader_port": 9200, "leader_path": "/leader",
    }  # fmt: skip
    assert {"port": 9200, "owner": f"site_{own}_port"} in here["ports"]
    assert {
        "name": own, "component": own, "units": [f"{own}.service"], "address": "127.0.0.1", "ports": {own: 9200},
        "url": "", "certificates": [], "socket": "",
    } in here["status"]["parts"]  # fmt: skip
    assert {
        "name": other, "component": other, "units": [], "address": "192.0.2.77", "ports": {other: 9124},
        "url": "", "certificates": [], "socket": "",
    } in here["status"]["parts"]  # fmt: skip
    assert here["placed"][own] == {"units": [f"{own}.service"], "owns": [f"/etc/{own}"]}
    assert {"address": "10.0.0.2", "component": own, "database": "airflow", "user": "airflow"} in here["clients"][
        "postgresql"
    ]
    plain = fact(built({}, PLACED))
    assert found["budget"]["total"] == plain["budget"]["total"] + 3 * 7
    assert here["memory_needed_mb"] == plain["hosts"]["store"]["memory_needed_mb"] + 99
    assert here["outside"] == [
        {"component": other, "service": other, "variable": f"site_{other}_host", "host": "192.0.2.77", "port": 9124}
    ]
    drawn = airflow_topology_text(found)
    assert f"{own} 9200" in drawn
    assert f"192.0.2.77: {other}, outside of the inventory" in drawn


def test_its_role_is_applied_with_its_inputs(names: tuple[str, str]) -> None:
    own, other = names
    more = added(own, other)
    site = built(more, PLACED | {own: ["store", "control"]}, **{f"{other}_host": "192.0.2.77"})
    here = fact(site)["hosts"]["store"]
    assert here["roles"] == {"before_airflow": [], "after_airflow": [own]}
    assert here["listen"][own] == ["127.0.0.1", "10.0.0.1"]
    assert here["callers"][own] == ["10.0.0.2"]
    assert here["reach"][other]["address"] == "192.0.2.77"
    expressions = wiring(site.registry, read_variables(more[own]["variables"]))
    assert expressions[f"{own}_port"] == f"{{{{ site.vars.{own}_port }}}}"
    assert expressions[f"{own}_callers"] == f"{{{{ site_here.callers.{own} | default([]) }}}}"
    assert expressions[f"{own}_elsewhere"] == f"{{{{ site_here.reach.{other} | default({{}}) }}}}"
    assert expressions[f"{own}_certificate_key"] == f"{{{{ lookup('site_certificate', '{own}', part='key') }}}}"
    assert expressions[f"{own}_ca_certificate"] == "{{ airflow_ca_certificate }}"


def test_it_is_asked_from_where_it_is_needed(names: tuple[str, str]) -> None:
    own, other = names
    site = built(added(own, other), PLACED | {own: ["store", "control"]}, **{f"{other}_host": "192.0.2.77"})
    probe = {"component": own, "service": own, "port": 9123, "tls": True, "leader_path": "/leader"}
    asked = {host: known["probes"] for host, known in fact(site)["hosts"].items()}
    assert asked == {
        # Its scheduler needs it.
        "control": [probe | {"addresses": ["127.0.0.1", "10.0.0.1"], "complete": True}],
        "store": [probe | {"addresses": ["127.0.0.1"], "complete": False}],
        "worker1": [],
        "worker2": [],
    }
    groups = {entry.group: site.members[name] for name, entry in site.registry.items()} | {"all": list(site.hosts)}
    # Whether those with a condition are placed, is not known before the variables are.
    registry = {name: entry for name, entry in site.registry.items() if entry.when == When()}
    assert hosts_of(users(registry, groups), registry, groups) == ["store", "control"]
    assert hosts_of(added_later(registry, "before_airflow"), registry, groups) == []
    assert hosts_of(added_later(registry, "after_airflow"), registry, groups) == ["store", "control"]


def test_what_cannot_be_is_named(names: tuple[str, str]) -> None:
    own, other = names
    everywhere = PLACED | {own: ["store", "control", "worker1", "worker2"]}
    found = problems(built(added(own, other), everywhere, **{f"{own}_port": 5432}))
    assert any(
        f"{own} is to run on store and control and worker1 and worker2, and 3 is the most" in text for text in found
    )
    assert any(
        f"port 5432 is used by site_database_port and site_{own}_port" in text
        or f"port 5432 is used by site_{own}_port and site_database_port" in text
        for text in found
    )
    assert any(f"No host runs {other}" in text and f"site_{other}_host" in text for text in found)


def test_nothing_is_left_of_an_entry_that_is_gone(names: tuple[str, str]) -> None:
    own, _ = names
    said = json.dumps(fact(built({}, PLACED | {own: ["store"]})))
    # The group alone places nothing.
    assert own not in said
