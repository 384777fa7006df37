"""The registry of components: what stands in it fits the rest of the tree, and what has no meaning is refused."""

import re
from fnmatch import fnmatch
from typing import Any

import pytest
from airstrip_imagined import PLACED, imagined
from airstrip_registry import declared, entries, registry
from airstrip_tree import Tree
from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import wiring
from ansible_collections.airstrip.core.plugins.module_utils.site_programs import programs
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import (
    Need,
    RegistryError,
    Service,
    When,
    read_component,
    read_registry,
)

MIRROR = re.compile(r"\{\{ site(?:_here)?\.vars\.(\w+) \}\}")
SMALL: dict[str, Any] = {"group": "g", "role": "r", "tier": "t"}
SITE = {
    "site_airflow_version": "3.3.2",
    "site_executor": "CeleryExecutor",
    "site_tls_enabled": True,
    "on": "x",
    "off": "",
}


def test_roles_and_tiers_are_those_of_the_tree() -> None:
    tree = Tree()
    assert {entry.role for entry in registry().values()} <= set(tree.roles)
    applied = {entry.tier for entry in registry().values() if not entry.stage}
    assert applied <= {path.stem for path in tree.playbooks}


def test_each_role_is_named_in_a_playbook_or_applied_by_the_registry() -> None:
    tree = Tree()
    named = {role["role"] for path in tree.playbooks for play in tree.plays(path) for role in play.get("roles", [])}
    calls = [task.arguments for task in tree.calls if task.module.endswith(("import_role", "include_role"))]
    applied = named | {str(call["name"]) for call in calls if "tasks_from" not in call}
    for name, entry in registry().items():
        # Verbs of a role that the registry applies may be called, too.
        called = entry.role in applied or (not entry.stage and entry.role in {str(call["name"]) for call in calls})
        assert called == (entry.stage == ""), name


def test_inputs_that_follow_from_a_variable_of_the_site_are_refused_in_its_place() -> None:
    """Else a role would have one value, and firewall and clients another."""
    tree = Tree()
    written = tree.load(tree.root / "inventory" / "wiring.yml")
    assert [name for name, text in written.items() if MIRROR.fullmatch(str(text))] == []
    assert len([name for variable in declared().values() for name in variable.inputs]) > 40


def test_what_the_registry_gives_is_an_option_of_a_role_and_stands_there_alone() -> None:
    tree = Tree()
    given = wiring(registry(), declared())
    assert given["postgresql_port"] == "{{ site.vars.database_port }}"
    assert given["airflow_api_server_workers"] == "{{ site_here.vars.api_server_workers }}"
    assert given["postgresql_clients"] == "{{ site_here.clients.postgresql | default([]) }}"
    assert given["redis_certificate_key"] == "{{ lookup('site_certificate', 'redis', part='key') }}"
    assert set(given) - set(tree.all_options) == set()
    assert set(given) & set(tree.load(tree.root / "inventory" / "wiring.yml")) == set()


def test_the_wiring_gives_no_variable_of_the_site_a_value() -> None:
    tree = Tree()
    assert not {*tree.load(tree.root / "inventory" / "wiring.yml")} & {*declared()}


def test_units_of_airflow_are_those_that_the_role_writes() -> None:
    site = imagined({group: ["vm"] for group in PLACED})
    for name, row in programs(site, "vm").items():
        written = [instance["path"].rpartition("/")[2] for instance in row["instances"]]
        assert written
        assert all(fnmatch(unit, site.registry[name].units[0]) for unit in written)
        for instance in row["instances"]:
            assert any(fnmatch(instance["path"], path) for path in site.registry[name].owns)


def test_an_entry_is_read_as_it_is_written() -> None:
    component = read_component(
        "flower",
        SMALL
        | {
            "services": {"flower": {"port": "flower_port", "clients": "everybody", "when": {"tls": True}}},
            "needs": [{"service": "redis", "when": {"executor": "CeleryExecutor"}}],
            "units": ["flower.service"],
        },
    )
    assert component.services == (Service("flower", "flower_port", clients="everybody", when=When(tls=True)),)
    assert component.needs == (Need("redis", when=When(executor="CeleryExecutor")),)
    assert (component.units, component.endpoint, component.placement.max) == (("flower.service",), "any", 0)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (When(), True),
        (When(airflow=">= 3.3"), True),
        (When(airflow="> 3.3.2"), False),
        (When(airflow="< 3.10"), True),
        (When(airflow="<= 3.2.9"), False),
        (When(executor="CeleryExecutor"), True),
        (When(executor="LocalExecutor"), False),
        (When(set="on"), True),
        (When(set="off"), False),
        (When(tls=True), True),
        (When(tls=False), False),
        (When(tls=True, set="off"), False),
    ],
)
def test_all_conditions_have_to_hold(when: When, holds: bool) -> None:
    assert when.hold(SITE) is holds


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([], "registry/x.yml must be a mapping, found list"),
        ({"group": "g", "role": "r"}, "registry/x.yml has no 'tier'"),
        (
            SMALL | {"grup": "g"},
            "registry/x.yml has the unknown key 'grup'; known are address, airflow, beside, certificate,",
        ),
        (SMALL | {"group": 1}, "registry/x.yml.group must be str, found 1"),
        (SMALL | {"units": "a.service"}, "registry/x.yml.units must be a list, found str"),
        (SMALL | {"endpoint": "none"}, "registry/x.yml.endpoint is 'none'; allowed are one, leader, any, list, local"),
        (SMALL | {"when": {"airflow": "3.5"}}, "registry/x.yml.when.airflow is '3.5'; write a comparison"),
        (SMALL | {"when": {"executor": "Celery"}}, "registry/x.yml.when.executor is 'Celery'; allowed are Celery"),
        (SMALL | {"when": {"tls": "yes"}}, "registry/x.yml.when.tls must be bool, found 'yes'"),
        (SMALL | {"services": ["a"]}, "registry/x.yml.services must be a mapping, found list"),
        (SMALL | {"services": {"a": {"prot": "tcp"}}}, "registry/x.yml.services.a has the unknown key 'prot'"),
        (SMALL | {"services": {"a": {"protocol": "ip"}}}, "registry/x.yml.services.a.protocol is 'ip'; allowed"),
        (SMALL | {"services": {"a": {}}}, "registry/x.yml.services.a.port: TCP and UDP have one"),
        (SMALL | {"services": {"a": {"port": 80}}}, "registry/x.yml.services.a.port must be str, found 80"),
        (SMALL | {"services": {"a": {"port": "p", "clients": "all"}}}, "registry/x.yml.services.a.clients is 'all'"),
        (SMALL | {"services": {"a": {"port": "p", "prefer": True}}}, "services.a.prefer must be int, found True"),
        (SMALL | {"needs": {"a": 1}}, "registry/x.yml.needs must be a list, found dict"),
        (SMALL | {"needs": [{"login": "results"}]}, r"registry/x.yml.needs\[0\] needs either a 'service' or a"),
        (SMALL | {"needs": [{"service": "a", "kind": "logs"}]}, r"registry/x.yml.needs\[0\] needs either"),
        (SMALL | {"needs": [{"kind": "trace"}]}, r"registry/x.yml.needs\[0\].kind is 'trace'; allowed"),
        (SMALL | {"services": {"a": {"port": "p", "kind": "metrics"}}}, "registry/x.yml.services.a.path: metrics have"),
        (SMALL | {"endpoint": "leader"}, "registry/x.yml.leader_probe: a leader has one"),
        (SMALL | {"leader_probe": {"service": "a", "path": "/"}}, "registry/x.yml.leader_probe: a leader has one"),
        (
            SMALL | {"endpoint": "leader", "leader_probe": {"service": "a", "path": "/"}},
            "registry/x.yml.leader_probe.service is no service of it: 'a'",
        ),
        (SMALL | {"needs": [{"service": "a", "login": "root"}]}, r"registry/x.yml.needs\[0\].login is 'root'"),
        (SMALL | {"owns": ["etc/x"]}, "registry/x.yml.owns: 'etc/x' is no absolute path"),
        (SMALL | {"owns": ["/etc/../x"]}, "registry/x.yml.owns: '/etc/../x' is no absolute path"),
        (SMALL | {"probe": {"jobs": "x"}}, "registry/x.yml.probe has the unknown key 'jobs'; known are certificates,"),
        (SMALL | {"probe": {"ping": "yes"}}, "registry/x.yml.probe.ping must be bool, found 'yes'"),
        (SMALL | {"probe": {"certificates": "/a"}}, "registry/x.yml.probe.certificates must be a list, found str"),
        (SMALL | {"probe": {"ports": ["b"]}}, "registry/x.yml.probe.ports names 'b', which is no service of it"),
        (SMALL | {"probe": {"path": "/a"}}, "registry/x.yml.probe.path needs a service at whose port it is asked"),
        (SMALL | {"placement": {"max": "1"}}, "registry/x.yml.placement.max must be int, found '1'"),
    ],
)
def test_what_has_no_meaning_is_refused(entry: Any, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        read_component("x", entry)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["r_a"], "registry/x.yml.inputs must be a mapping, found list"),
        ({"r_a": "port"}, "registry/x.yml.inputs.r_a must be a mapping, found str"),
        ({"r_a": {"key": "a"}}, "registry/x.yml.inputs.r_a has the unknown key 'key'; known are authority, callers"),
        ({"r_a": {}}, "registry/x.yml.inputs.r_a is one of listen, clients"),
        ({"r_a": {"callers": "a", "listen": "a"}}, "registry/x.yml.inputs.r_a is one of listen, clients"),
        ({"r_a": {"authority": False}}, "registry/x.yml.inputs.r_a is one of listen, clients"),
        ({"s_a": {"listen": "a"}}, "registry/x.yml.inputs.s_a is no variable of the role r: those begin with r_"),
        ({"r_a }}": {"listen": "a"}}, "registry/x.yml.inputs.r_a }} is no variable of the role r"),
    ],
)
def test_inputs_that_have_no_meaning_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        read_component("x", SMALL | {"inputs": inputs})


def test_a_name_is_one_that_variables_can_have() -> None:
    with pytest.raises(RegistryError, match=r"registry/a-b.yml: a component's name has lower-case letters"):
        read_component("a-b", SMALL)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (SMALL | {"needs": [{"service": "nothing"}]}, "registry/x.yml needs 'nothing', which nobody offers"),
        (
            SMALL | {"services": {"a": {"port": "p", "hidden_behind": "nobody"}}},
            "registry/x.yml.services.a.hidden_behind is no component: 'nobody'",
        ),
        (SMALL | {"inputs": {"r_a": {"listen": "b"}}}, "registry/x.yml.inputs.r_a is of 'b', no service"),
        (SMALL | {"owns": ["{site_nowhere}/x"]}, "registry/x.yml names site_nowhere, which registry/site.yml lacks"),
        (SMALL | {"when": {"set": "site_nothing"}}, "registry/x.yml names site_nothing, which registry/site.yml lacks"),
        (SMALL | {"services": {"a": {"port": "site_p"}}}, "registry/x.yml names site_p, which"),
        (SMALL | {"probe": {"certificates": ["{site_q}/a"]}}, "registry/x.yml names site_q, which"),
    ],
)
def test_an_entry_has_to_fit_the_others(entry: Any, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        read_registry(entries() | {"x": entry}, {*declared(), "p"})


def test_units_are_services() -> None:
    """Of a timer, airstrip-status would say that it is not installed. It is among what a component owns."""
    found = [(name, unit) for name, entry in registry().items() for unit in entry.units]
    assert [pair for pair in found if not pair[1].endswith(".service")] == []
