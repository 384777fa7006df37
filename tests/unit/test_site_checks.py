"""What is wrong with a site, by its model, and with what an inventory gives for it."""

from typing import Any

import pytest
from airstrip_imagined import ALONE, BALANCED, PLACED, facts, inventory
from airstrip_registry import declared, registry
from ansible_collections.airstrip.core.plugins.module_utils.site_checks import address_problems, problems
from ansible_collections.airstrip.core.plugins.module_utils.site_inventory import Unknown
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import RegistryError
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_variables
from hypothesis import given
from hypothesis import strategies as st


def found(
    placed: dict[str, Any],
    hosts: dict[str, dict[str, Any]] | None = None,
    said: dict[str, dict[str, Any]] | None = None,
    **variables: Any,
) -> list[str]:
    """Return the problems of an imagined site."""
    given = inventory(placed, {f"site_{name}": value for name, value in variables.items()}, hosts, said)
    site = given.site(registry(), declared())
    return given.problems + problems(site)


@pytest.mark.parametrize(
    ("placed", "variables"),
    [
        (PLACED, {}),
        (BALANCED, {"virtual_address": "10.0.0.100"}),
        (ALONE, {"executor": "LocalExecutor"}),
        # Without a broker, its exporter has no work there, and all else has.
        (ALONE | {"monitoring": ["vm"]}, {"executor": "LocalExecutor"}),
        (PLACED | {"postgresql": [], "redis": ["store"]}, {"database_host": "db.example.com"}),
        (PLACED | {"redis": []}, {"broker_host": "broker.example.com"}),
        (PLACED | {"redis": []}, {"broker_host": "2001:db8::1", "broker_user": ""}),
        # On one host the load balancer answers who asks for logs.
        (
            {group: ["vm"] for group in BALANCED},
            {"http_port": 8080, "api_server_port": 8081, "worker_log_port": 8080, "triggerer_log_port": "8080"},
        ),
    ],
)
def test_these_sites_are_fine(placed: dict[str, Any], variables: dict[str, Any]) -> None:
    assert found(placed, **variables) == []


def test_what_is_muted_has_a_code_and_a_moment() -> None:
    assert found(PLACED, status_muted={"host-drained": "2027-01-31T12:00:00Z"}) == []
    assert found(PLACED, status_muted={"drained": "2027-01-31", "disk-low": "soon"}) == [
        "site_status_muted: 'drained' is no code of a finding. docs/operations-status.md has them.",
        "site_status_muted: disk-low has the time 'soon'. Write it as 2027-01-31T12:00:00Z.",
    ]


@pytest.mark.parametrize("url", ["proxy:3128", "http://u:s3cret@proxy:99999", "http://[2001:db8::1:3128"])
def test_a_proxy_is_a_url(url: str) -> None:
    assert found(PLACED, http_proxy=url) == [
        "site_http_proxy is no URL that names a server. Write it as http://proxy.example.com:3128."
    ]
    assert found(PLACED, https_proxy="http://u:s3cret@proxy:3128") == []


def told(*addresses: str) -> dict[str, Any]:
    """Return what a host says whose interfaces have these addresses."""
    return facts(1, "store") | {"networks": [{"address": address} for address in ("127.0.0.1", *addresses)]}


@pytest.mark.parametrize(
    ("own", "said", "problem"),
    [
        (
            {"site_host_address": "192.0.2.9"},
            told("10.0.0.1", "172.16.0.1"),
            "store: site_host_address is 192.0.2.9, and no interface of the host has it: it has 10.0.0.1 and "
            "172.16.0.1. Set site_host_address to one of these; or, if a router translates it (NAT), set "
            "site_host_address_translated to true for store.",
        ),
        ({"site_host_address": "172.16.0.1"}, told("10.0.0.1", "172.16.0.1"), ""),
        ({"site_host_address": "192.0.2.9", "site_host_address_translated": True}, told("10.0.0.1"), ""),
        ({}, told("10.0.0.1"), ""),
        # Whatever a host says, it is no error; and of one that has said nothing, nothing is known.
        ({"site_host_address": "192.0.2.9"}, told("<script>", "192.0.2.9"), ""),
        ({"site_host_address": "192.0.2.9"}, {}, ""),
        # Refused by their own checks.
        ({"site_host_address": "127.0.0.1"}, told("10.0.0.1"), ""),
        ({"site_host_address": "2001:db8::1"}, told("10.0.0.1"), ""),
        ({"site_host_address": "store.example.com"}, told("10.0.0.1"), ""),
    ],
)
def test_an_address_is_one_of_the_host_s_own(own: dict[str, Any], said: dict[str, Any], problem: str) -> None:
    site = inventory(PLACED, {}, {"store": own}, {"store": said}).site(registry(), declared())
    assert list(address_problems(site, {"store": said})) == ([problem] if problem else [])


NOBODY: dict[str, Any] = {"spare": ["vm"]}


@pytest.mark.parametrize(
    ("problem", "arguments"),
    [
        (
            "No host runs postgresql. Put a host into the inventory group postgresql, or name an external server in "
            "site_database_host.",
            {"placed": PLACED | {"postgresql": []}},
        ),
        (
            "No host runs redis (site_executor is CeleryExecutor). Put a host into the inventory group redis, or name "
            "an external server in site_broker_host.",
            {"placed": PLACED | {"redis": []}},
        ),
        (
            "site_broker_host has to be one host, by its name or its address, without scheme, user or port. Set it to "
            "that, and site_broker_port to its port. Redis Sentinel is not supported: name the server that is written "
            "to, or a proxy before it.",
            {"placed": PLACED | {"redis": []}, "broker_host": "sentinel://:zqxjv@s1:26379/0;sentinel://s2:26379/0"},
        ),
        (
            "site_database_host has to be one host, by its name or its address, without scheme, user or port. Set it "
            "to that, and site_database_port to its port.",
            {"placed": PLACED | {"postgresql": []}, "database_host": "a,b"},
        ),
        (
            "site_broker_user is empty, and store runs redis, where each has a user of its own. Set it to a name.",
            {"placed": PLACED, "broker_user": ""},
        ),
        (
            "No host runs worker (site_executor is CeleryExecutor). Put a host into the inventory group "
            "airflow_worker.",
            {"placed": PLACED | {"airflow_worker": []}},
        ),
        (
            "No host runs triggerer. Put a host into the inventory group airflow_triggerer.",
            {"placed": PLACED | {"airflow_triggerer": []}},
        ),
        (
            "postgresql is to run on store and control, and 1 is the most. Take the others out of the inventory group "
            "postgresql.",
            {"placed": PLACED | {"postgresql": ["store", "control"]}},
        ),
        (
            "site_database_host is db, and store runs postgresql. Empty the variable, or the inventory group "
            "postgresql.",
            {"placed": PLACED, "database_host": "db"},
        ),
        (
            "control has the address control, which is no IP address; access lists and /etc/hosts need one. Set "
            "site_host_address to it.",
            {"placed": PLACED, "said": {"control": facts(2, "control", default_ipv4={"address": "control"})}},
        ),
        (
            "site_http_proxy is '' on store and a text with a password on control; it is the site's: set it once, in "
            "group_vars/all",
            {"placed": PLACED, "hosts": {"control": {"site_http_proxy": "http://u:secret@p:1"}}},
        ),
        ("site_user is a mapping. Set it to a text.", {"placed": PLACED, "user": {"TOKEN": "secret"}}),
        (
            "site_executor is LocalExecutor, which gives a worker no work, but the group airflow_worker has vm. Empty "
            "it, or set site_executor to CeleryExecutor.",
            {"placed": ALONE | {"airflow_worker": ["vm"]}, "executor": "LocalExecutor"},
        ),
        (
            "store and control have the same address 192.0.2.9. Set site_host_address for each of them.",
            {"placed": PLACED, "hosts": {name: {"site_host_address": "192.0.2.9"} for name in ("store", "control")}},
        ),
        (
            "control has the address 127.0.0.1, which no other host can reach. Set site_host_address.",
            {"placed": PLACED, "hosts": {"control": {"site_host_address": "127.0.0.1"}}},
        ),
        (
            "control has the address c.example.com, which is no IP address; access lists and /etc/hosts need one. Set "
            "site_host_address to it.",
            {"placed": PLACED, "hosts": {"control": {"site_host_address": "c.example.com"}}},
        ),
        (
            "control has the address 2001:db8::2, and hosts are reached by IPv4: a site of IPv6 alone does not work "
            "yet. Give the host an IPv4 address, and set site_host_address to it.",
            {"placed": PLACED, "hosts": {"control": {"site_host_address": "2001:db8::2"}}},
        ),
        (
            "redis is the name of a host and of a group in the inventory: Ansible takes one for the other. Give the "
            "host another name there.",
            {"placed": PLACED | {"redis": ["redis"]}},
        ),
        (
            f"The inventory calls a host '{'v' * 65}'. It stands in certificates, so it has at most 64 letters, "
            "digits, dots, hyphens and underscores. Give it another name there, and its address in ansible_host.",
            {"placed": PLACED | {"redis": ["v" * 65]}},
        ),
        (
            "The inventory calls a host 'vm 1'. It stands in certificates, so it has at most 64 letters, digits, dots, "
            "hyphens and underscores. Give it another name there, and its address in ansible_host.",
            {"placed": PLACED | {"redis": ["vm 1"]}},
        ),
        (
            "control has no address. Correct its name or set site_host_address for it.",
            {"placed": PLACED, "said": {"control": facts(2, "control", default_ipv4={})}},
        ),
        (
            "vm: port 8793 is used by site_api_server_port and site_http_port. Give each a port of its own.",
            {"placed": {group: ["vm"] for group in BALANCED}, "api_server_port": 8793, "http_port": 8793},
        ),
        (
            "vm: the host has 1024 MB of memory, and its components need 1976 MB. Give it more, move a component to "
            "another host, or lower the concurrency in site_workers.",
            {"placed": ALONE, "executor": "LocalExecutor", "said": {"vm": facts(1, "vm", memtotal_mb=1024)}},
        ),
        (
            "site_database_extra_clients: {'user': 'app'} has no address. Say from where that client connects.",
            {"placed": PLACED, "database_extra_clients": [{"user": "app"}]},
        ),
        (
            "site_broker_port is 6379 on store and 6380 on control; it is the site's: set it once, in group_vars/all",
            {"placed": PLACED, "hosts": {"control": {"site_broker_port": "6380"}}},
        ),
        ("site_broker_port is 0. Set it to a port between 1 and 65535.", {"placed": PLACED, "broker_port": 0}),
        *(
            (
                f"site_log_days is {found}. Set it to a whole number from 0 to 10000000.",
                {"placed": PLACED, "log_days": value},
            )
            for found, value in (
                ("-1", -1),
                ("'a month'", "a month"),
                ("0.5", 0.5),
                ("True", True),
                ("10000001", 10000001),
            )
        ),
        (
            "site_redis_engine is 'rabbit'. Set it to one of redis, valkey.",
            {"placed": PLACED, "redis_engine": "rabbit"},
        ),
        ("site_workers is 'default'. Set it to a list.", {"placed": PLACED, "workers": "default"}),
        (
            "site_public_name cannot be worked out: 'nowhere' is undefined",
            {"placed": PLACED, "public_name": Unknown("'nowhere' is undefined")},
        ),
        (
            "site_workers of worker1 cannot be worked out: no",
            {"placed": PLACED, "hosts": {"worker1": {"site_workers": Unknown("no")}}},
        ),
    ],
)
def test_each_problem_is_named_once(problem: str, arguments: dict[str, Any]) -> None:
    assert found(**arguments) == [problem]


def test_what_one_host_cannot_tell_another_one_may() -> None:
    """As for a value that is made from facts, of a host that does not answer."""
    hosts = {"control": {"site_public_name": Unknown("no facts")}}
    assert found(PLACED, hosts, public_name="air") == []


def test_a_site_of_one_host_without_facts_is_itself() -> None:
    given = inventory({"airflow_worker": ["vm"]}, said={"vm": {}})
    assert given.site(registry(), declared()).hosts["vm"].address == "127.0.0.1"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(declared())), VALUES, st.dictionaries(st.sampled_from([*facts(1, "a")]), VALUES))
def test_no_value_stops_the_model(name: str, value: Any, said: dict[str, Any]) -> None:
    """Whatever is written into an inventory, and whatever a host says of itself."""
    given = inventory(BALANCED, {name: value}, said={"worker1": said})
    site = given.site(registry(), declared())
    problems(site)
    assert all(isinstance(problem, str) for problem in given.problems)


@pytest.mark.parametrize(
    ("variable", "given", "read"),
    [
        ("site_broker_port", "6380", 6380),
        ("site_log_days", "0", 0),
        ("site_tls_enabled", "yes", True),
        ("site_tls_enabled", "false", False),
        ("site_database_name", 5, "5"),
        ("site_no_proxy", ("a",), ["a"]),
        ("site_known_facts", {"hostname": "a"}, {"hostname": "a"}),
    ],
)
def test_texts_of_the_command_line_are_converted(variable: str, given: Any, read: Any) -> None:
    value = declared()[variable].read(given)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"port": {"type": "port", "description": "d"}},
            "site.yml: port must be a mapping, and its name begin with site_",
        ),
        ({"site_a": []}, "site.yml: site_a must be a mapping"),
        (
            {"site_a": {"type": "str", "description": "d", "defualt": 1}},
            "unknown key 'defualt'; known are change, choices, def",
        ),
        ({"site_a": {"type": "text", "description": "d"}}, "needs a description, and a type of bool, count, dict"),
        ({"site_a": {"type": "str"}}, "needs a description"),
        ({"site_a": {"type": "str", "description": "d", "change": "no"}}, "site_a.change is 'no'; allowed are carried"),
        ({"site_a": {"type": "port", "description": "d", "default": 0}}, "its default is no port"),
        ({"site_a": {"type": "int", "description": "d", "default": "1"}}, "its default is no int"),
        ({"site_a": {"type": "count", "description": "d", "default": -1}}, "its default is no count"),
        ({"site_a": {"type": "str", "description": "d", "default": "c", "choices": ["a"]}}, "its default is no str"),
    ],
)
def test_a_declaration_without_meaning_is_refused(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        read_variables(entries)


@pytest.mark.parametrize(
    ("viewers", "name"),
    [(["Ada"], "'Ada'"), (["scale_hook"], "'scale_hook'"), (["ada", "ada"], "'ada'"), (["a-b"], "'a-b'")],
)
def test_people_who_look_have_names_for_their_passwords(viewers: list[str], name: str) -> None:
    placed = BALANCED | {"monitoring": ["store"]}
    said = found(placed, viewers=viewers)
    assert said
    assert all(f"site_viewers has {name}. Write each person once" in problem for problem in said)
    assert found(placed, viewers=["ada", "b2"]) == []


def test_people_look_where_there_is_something_to_see() -> None:
    said = found(PLACED, viewers=["ada"])
    assert [problem.partition(", and ")[2] for problem in said] == [
        "no host is in the group monitoring. Put one there, or empty the list.",
        "no host is in the group load_balancer. Put one there, or empty the list.",
    ]


def test_monitoring_wants_memory() -> None:
    told = {"store": facts(1, "store", memtotal_mb=700)}
    said = found({**PLACED, "monitoring": ["store"]}, said=told)
    assert any("store: the host has 700 MB of memory, and its components need" in problem for problem in said)


def test_flower_shows_workers_that_there_are_to_people_who_are_named() -> None:
    placed = BALANCED | {"flower": ["control"]}
    assert found(placed, viewers=["ada"]) == []
    assert found(placed) == [
        "The group flower has a host, and site_viewers is empty: nobody could look at Flower. Name people in it."
    ]
    assert found(placed, viewers=["ada"], flower_worker="lost") == [
        "control: site_flower_worker is 'lost', and no worker in site_workers has that name. Set it to one of default."
    ]
