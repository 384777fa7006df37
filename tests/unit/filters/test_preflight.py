"""Every bad input has its message, and what is fine has none."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from preflight import preflight_problems

AIRFLOW = {"version": "3.3.2", "python": "3.13.5", "available": {"3.3.2": ["3.12", "3.13"], "3.1.7": ["3.11"]}}
WORKER = {"name": "default", "queues": ["default"]}
STORES = {
    "seen": {}, "known_databases": ["airflow"], "own_databases": ["airflow"], "postgresql_allowed": False,
    "redis_allowed": False,
}  # fmt: skip
BROKER = {"host": "mq", "inventory_host": "app1", "user": "airflow", "database": 0}
STORE = {"external": True, "host": "db.example.com", "verified": "verify-full", "plain_allowed": False}
REMOTE = {"database": STORE, "broker": STORE}
LOGINS: dict[str, dict[str, Any]] = {
    name: {
        "database": "airflow",
        "user": "airflow",
        "variable": "airflow_database_password",
        "answer": {"query_result": [{"ready": True}]},
    }
    for name in ("metadata", "results", "results_view")
}


def _login(name: str, **answer: Any) -> dict[str, Any]:
    return {"external_logins": {"host": "db", "logins": LOGINS | {name: LOGINS[name] | {"answer": answer}}}}


FINE: dict[str, Any] = {
    "host": "app1",
    "airflow": AIRFLOW,
    "os": {"distribution": "Debian", "version": "13.2"},
    "python": "3.13.5",
    "site_problems": [],
    "version_problems": [],
    "unreached": [],
    "release_change": {
        "needed": True,
        "installed": "3.2.2",
        "wanted": "3.3.2",
        "tags": ["all"],
        "migration_host": "app1",
        "hosts": ["app1", "w1"],
    },
    "left_out": {
        "wanted": "3.3.2",
        "installed": ["3.2.2", ""],
        "hosts": {
            "away": {"installed_version": "3.2.2", "drained": "{}"},
            "new": {"installed_version": "", "drained": ""},
            "there": {"installed_version": "3.3.2", "drained": ""},
            "off": {"unreachable": True},
        },
        "named": ["off"],
    },
    "overlooked": None,
    "override_problems": [],
    "secret_problems": [],
    "stores": STORES,
    "remote_stores": REMOTE,
    "external_logins": {"host": "db", "logins": LOGINS},
    "host_problems": [],
    "disk": [{"path": "/opt", "free_mb": 2000, "needed_mb": 2000}],
    "open_ways": [],
    "clock_offsets": {"app1": -1.5, "w1": 3.5, "w2": 0},
    "machine_ids": {"app1": "1" * 32, "w1": "2" * 32, "w2": "3" * 32},
    "postgresql": {
        "names": [
            {"variable": "site_database_name", "value": "airflow", "kind": "database"},
            {"variable": "site_database_user", "value": "Airflow User", "kind": "role"},
        ]
    },
    "systemd_names": [{"variable": "site_workers", "value": "gpu-1:a_b.c"}],
    "workers": [
        WORKER,
        {"name": "big", "queues": ["a"], "autoscale": {"min": 0, "max": 8}},
        WORKER | {"name": "c", "concurrency": 1},
    ],
    "leaving": {"components": ["worker", "redis"], "holds_data": ["redis"], "allowed": ["redis"]},
    "fixed": {"recorded": {"site_home": "/srv/airflow"}, "wanted": {"site_home": "/srv/airflow", "site_user": "a"}},
    "database": {"version_num": 140012, "minimum": 14},
    "postgresql_clusters": {"clusters": {"15": "manual", "17": "auto"}, "wanted": "17"},
    "firewall": {
        "connection": ["192.0.2.7", "50000", "192.0.2.1", "2222"],
        "ssh_port": 2222,
        "ssh_sources": ["2001:db8::/32", "192.0.2.0/24"],
    },
}


def test_a_fine_site_has_no_problems() -> None:
    assert preflight_problems(FINE) == []


def test_absent_and_null_facts_run_no_check() -> None:
    assert preflight_problems({}) == []
    assert preflight_problems(dict.fromkeys(FINE)) == []


def _name(value: object, kind: str | None = None) -> dict[str, Any]:
    return {"postgresql": {"names": [{"variable": "site_database_name", "value": value, "kind": kind}]}}


def _worker(**options: Any) -> dict[str, Any]:
    return {"workers": [WORKER | options]}


def _firewall(**options: Any) -> dict[str, Any]:
    return {"host": "app1", "firewall": FINE["firewall"] | options}


def _change(**options: Any) -> dict[str, Any]:
    return {"release_change": FINE["release_change"] | options}


def _left_out(**options: Any) -> dict[str, Any]:
    return {"left_out": FINE["left_out"] | options}


def _unit(name: object) -> dict[str, Any]:
    return {"systemd_names": [{"variable": "site_workers", "value": name}]}


CASES: list[tuple[str, dict[str, Any], str]] = [
    (
        "controller outside of the networks",
        _firewall(ssh_sources=["192.0.3.0/24", "192.0.2.8"]),
        "app1: firewall_ssh_sources: the controller connects from 192.0.2.7, which is none of 192.0.3.0/24, 192.0.2.8: "
        "the firewall would lock it out. Add its address or its network.",
    ),
    (
        "controller with another protocol",
        _firewall(ssh_sources=["::/0"]),
        "app1: firewall_ssh_sources: the controller connects from 192.0.2.7, which is none of ::/0",
    ),
    (
        "SSH server at another port",
        _firewall(ssh_port="22"),
        "app1: firewall_ssh_port is 22, and the controller is connected to port 2222: the firewall would lock it out. "
        "Set firewall_ssh_port to 2222.",
    ),
    (
        "no network",
        _firewall(ssh_sources=["192.0.2.0/24", "office"]),
        "app1: firewall_ssh_sources: 'office' is neither an address nor a network.",
    ),
    (
        "no lock for the version",
        {"airflow": AIRFLOW | {"version": "3.2.0"}},
        "app1: site_airflow_version: there is no lock for Airflow 3.2.0 on Python 3.13, and "
        "airflow_release_constraints is not set. Locks exist for 3.1.7 for Python 3.11; 3.3.2 for Python 3.12, 3.13.",
    ),
    ("no lock for the Python", {"airflow": AIRFLOW | {"python": "3.11"}}, "no lock for Airflow 3.3.2 on Python 3.11"),
    ("no locks", {"airflow": {"version": "3.3.2", "python": "3.13", "available": {}}}, "Locks exist for no version."),
    (
        "old Debian",
        {"os": {"distribution": "Debian", "version": "11.9"}},
        "app1: the operating system is Debian 11.9. Use Debian 12 or 13, Ubuntu 22.04 or 24.04.",
    ),
    (
        "between two Ubuntus",
        {"os": {"distribution": "Ubuntu", "version": "22.10"}},
        "operating system is Ubuntu 22.10.",
    ),
    (
        "old Ubuntu's Redis",
        {"os": {"distribution": "Ubuntu", "version": "22.04", "broker": "redis-server"}},
        "site_redis_engine: Ubuntu 22.04 has Redis 6.0, and 6.2 is needed. Or put a host with another system into",
    ),
    (
        "old Debian's Valkey",
        {"os": {"distribution": "Debian", "version": "12.11", "broker": "valkey-server"}},
        "site_redis_engine: Debian 12 has no Valkey. Set it to redis.",
    ),
    ("another system", {"os": {"distribution": "Rocky", "version": "12"}}, "app1: the operating system is Rocky 12."),
    (
        "old Python",
        {"python": "3.9.2"},
        "app1: airflow_release_python is Python 3.9.2. Set it to the path of a Python 3.11, 3.12 or 3.13.",
    ),
    ("new Python", {"python": "3.14.0"}, "airflow_release_python is Python 3.14.0"),
    (
        "version",
        {"version_problems": ["site_airflow_version: 3.1.7 is older than the installed 3.3.2."]},
        "site_airflow_version: 3.1.7 is older",
    ),
    (
        "overrides",
        {"override_problems": ["airflow_config_overrides: section 'x' is unknown"]},
        "airflow_config_overrides: section 'x'",
    ),
    (
        "new version under a component's tag",
        _change(tags=["redis", "airflow_scheduler"]),
        "app1: site_airflow_version is 3.3.2, 3.2.2 is installed, and the tags redis, airflow_scheduler would change "
        "one component only. Run without tags, or with the tag airflow.",
    ),
    (
        "new version without the host that migrates",
        _change(hosts=["w1"]),
        "app1: site_airflow_version is 3.3.2, 3.2.2 is installed, and app1, which migrates the database, is outside of "
        "this run. Set site_airflow_version back, run with that host, or take it out of the group airflow_scheduler if "
        "it does not come back.",
    ),
    (
        "new version that leaves hosts in service",
        _left_out(hosts={host: {"installed_version": "3.2.2", "drained": ""} for host in ("c2", "w1")}),
        "site_airflow_version is 3.3.2, and c2 and w1, left out by --limit, would stay in service with 3.2.2. Run "
        "without --limit; or take out of service first what is to wait (playbooks/drain.yml --limit c2,w1): "
        "playbooks/undrain.yml then gives it the new release.",
    ),
    (
        "new host with a new version",
        _left_out(installed=[""], hosts={"w1": {"installed_version": "3.2.2", "drained": ""}}),
        "w1, left out by --limit, would stay in service with 3.2.2.",
    ),
    (
        "new version without a host that does not answer",
        _left_out(named=[]),
        "site_airflow_version is 3.3.2, and off, which the run leaves out, does not answer and may be in service with "
        'another version. Bring it back; or, if it is off or drained, say so by -e \'{"preflight_out_of_service": '
        '["off"]}\', and run site.yml when it comes back.',
    ),
    (
        "configuration that is not read",
        {"overlooked": "/srv/airflow/webserver_config.py"},
        "app1: /srv/airflow/webserver_config.py would be overlooked. Give its content, and the passwords in it, by the "
        "variables airflow_webserver_config*, and remove the file.",
    ),
    (
        "one of several names",
        {"postgresql": {"names": [{"variable": "postgresql_roles", "values": ["a", "public"], "kind": "role"}]}},
        "postgresql_roles: the name 'public' is reserved by PostgreSQL for its own roles",
    ),
    ("overrides with a secret", {"override_secret_problems": ["airflow_environment: a"]}, "airflow_environment: a"),
    ("lost secret", {"secret_loss_problems": ["airflow_jwt_secret: not in"]}, "airflow_jwt_secret: not in"),
    (
        "somebody's broker",
        {"stores": STORES | {"seen": {"redis": {"answers": True, "keys": 3, "files": [], "changed": False}}}},
        "app1: a Redis that Airstrip has not set up holds 3 keys.",
    ),
    (
        "password of the database",
        _login("metadata", msg='connection to server at "db", port 5432 failed: FATAL:  no'),
        'site_database_host: db does not let airflow into the database airflow: connection to server at "db", port '
        '5432 failed: FATAL: no. Correct airflow_database_password, or make them there: CREATE ROLE "airflow" LOGIN '
        'PASSWORD \'...\'; CREATE DATABASE "airflow" OWNER "airflow";',
    ),
    (
        "no database for results",
        _login("results", msg="FATAL: Datenbank »r« existiert nicht"),
        "site_database_host: db does not let airflow into the database airflow: FATAL: Datenbank »r« existiert nicht. "
        "Correct airflow_database_password, or make them there: CREATE ROLE \"airflow\" LOGIN PASSWORD '...'; CREATE "
        'DATABASE "airflow"; roles/postgresql/files/celery_results.sql, which says how it is run, makes the rest',
    ),
    (
        "database without results",
        _login("results", query_result=[{"ready": False}]),
        "site_results_database_name: the database airflow on db is not made for Celery's results. roles/postgresql/",
    ),
    ("host", {"host_problems": ["site_uid: taken"]}, "app1: site_uid: taken"),
    (
        "database in the clear",
        {"remote_stores": REMOTE | {"database": REMOTE["database"] | {"verified": "require"}}},
        "site_database_host: the password and all data would go to db.example.com",
    ),
    ("site", {"site_problems": ["site_workers: a is unknown"]}, "site_workers: a is unknown"),
    ("edge", {"edge_problems": ["site_virtual_address is empty"]}, "site_virtual_address is empty"),
    ("certificate", {"certificate_problems": ["redis_certificate: expired"]}, "redis_certificate: expired"),
    ("authority", {"authority_problems": ["airflow_ca_key is empty"]}, "airflow_ca_key is empty"),
    ("secrets", {"secret_problems": ["airflow_jwt_secret is not set"]}, "airflow_jwt_secret is not set"),
    (
        "drained",
        {"drained": {"since": "2026-11-24T03:00:00Z", "reason": "new disk"}},
        "app1: the host is drained since 2026-11-24T03:00:00Z: new disk. Take it back by playbooks/undrain.yml",
    ),
    (
        "disk",
        {"disk": [{"path": "/var", "free_mb": 999, "needed_mb": 1000}]},
        "app1: /var has 999 MB free, and 1000 MB are needed.",
    ),
    (
        "open way",
        {"open_ways": [{"variable": "airflow_log_directory", "path": "/a/logs", "directory": "/a", "who": "airflow"}]},
        "app1: airflow_log_directory is /a/logs, and airflow may write /a, and so lead root anywhere. Give it to root "
        "alone (chown root /a && chmod go-w /a), or set airflow_log_directory to another one. Where the storage's "
        "server does not let root do that (root_squash), mount an export of its own at /a/logs.",
    ),
    (
        "clocks",
        {"clock_offsets": {"a": 0.5, "b": -5, "c": 1}},
        "The clocks of b and c are 6.0 s apart, and 5 s are allowed.",
    ),
    (
        "clones",
        {"machine_ids": {"a": "1" * 32, "b": "2" * 32, "c": "1" * 32}},
        "a and c have the same machine id in /etc/machine-id, so they are clones of one image, or one machine: DHCP "
        "may give them one address. Run on each but a `rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-m",
    ),
    (
        "no machine id",
        {"machine_ids": {"a": "1" * 32, "b": None, "c": "uninitialized"}},
        "b and c: there is no machine id in /etc/machine-id, which journal and DHCP need. Run there `rm -f /etc/mach",
    ),
    (
        "clocks with a limit",
        {"clock_offsets": {"a": 0, "b": 2}, "max_clock_skew": 1},
        "The clocks of a and b are 2.0 s apart, and 1 s are allowed.",
    ),
    ("empty name", _name(""), "site_database_name: the name '' is empty."),
    ("null name", _name(None), "the name '' is empty"),
    ("long name", _name("ä" * 32), "is longer than PostgreSQL's 63 bytes"),
    ("NUL in a name", _name("a\0b"), r"the name 'a\x00b' contains characters"),
    ("quote in a name", _name('a"b', "role"), "contains characters"),
    ("apostrophe in a name", _name("a'b", "role"), "contains characters"),
    ("space before a name", _name(" a", "role"), "contains characters"),
    ("group sign", _name("+a", "role"), "contains characters"),
    ("space in a database", _name("my db", "database"), "contains characters"),
    ("database postgres", _name("postgres", "database"), "is reserved by PostgreSQL"),
    ("database template1", _name("template1", "database"), "is reserved by PostgreSQL"),
    ("database all", _name("all", "database"), "a meaning of its own in pg_hba.conf"),
    ("role postgres", _name("postgres", "role"), "is reserved by PostgreSQL for its own roles"),
    ("role pg_airflow", _name("pg_airflow", "role"), "is reserved by PostgreSQL for its own roles"),
    ("role public", _name("public", "role"), "is reserved by PostgreSQL for its own roles"),
    ("name of no kind", _name("pg_airflow"), "is reserved by PostgreSQL for its own roles"),
    ("slash in a unit", _unit("a/b"), "site_workers: systemd refuses 'a/b' in a unit's name."),
    ("space in a unit", _unit("a b"), "systemd refuses 'a b'"),
    ("newline in a unit", _unit("a\n"), r"systemd refuses 'a\n'"),
    ("empty unit", _unit(None), "systemd refuses ''"),
    ("long unit", _unit("a" * 233), "site_workers: with 233 characters the unit's name exceeds 255."),
    (
        "worker twice",
        {"workers": [WORKER, WORKER, WORKER | {"name": "b"}]},
        "app1: site_workers: 2 workers have the name default.",
    ),
    ("worker without name", _worker(name=""), "a worker has no name."),
    ("worker without queues", _worker(queues=[]), "app1: site_workers: the worker default has no queues."),
    (
        "concurrency and autoscale",
        _worker(concurrency=4, autoscale={"min": 1, "max": 2}),
        "the worker default has both concurrency and autoscale.",
    ),
    ("queue with a space", _worker(queues=["a", "b c"]), "app1: site_workers: a queue cannot be named 'b c'."),
    ("queue list in one", _worker(queues=["a,b"]), "a queue cannot be named 'a,b'."),
    ("concurrency 0", _worker(concurrency=0), "the worker default has the concurrency 0."),
    ("concurrency in words", _worker(concurrency="four"), "has the concurrency 'four'."),
    ("autoscale turned round", _worker(autoscale={"min": 8, "max": 2}), "has autoscale.min above autoscale.max."),
    ("half an autoscale", _worker(autoscale={"max": 2}), "needs autoscale.min and autoscale.max."),
    ("autoscale as text", _worker(autoscale="8,2"), "needs autoscale.min and autoscale.max."),
    (
        "old database",
        {"database": {"version_num": 130018, "minimum": 14}},
        "site_database_host: the server is PostgreSQL 13.18, and this Airflow needs 14 or newer.",
    ),
    (
        "database of another encoding",
        {"database": {"version_num": 150018, "minimum": 13, "encoding": "SQL_ASCII"}},
        "site_database_name: the database has the encoding SQL_ASCII, and Airflow writes UTF8. Make another one there",
    ),
    (
        "pooled transactions",
        {"database": {"version_num": 150018, "minimum": 13, "pooled": True}},
        "site_database_host: what answers there pools transactions, as PgBouncer with pool_mode = transaction does: ",
    ),
    (
        "broker that lets nobody in",
        {"broker_login": BROKER | {"answer": {"error": "NOAUTH Authentication required.", "stage": "login"}}},
        "site_broker_host: mq does not let the user airflow use the database 0: NOAUTH Authentication required.",
    ),
    (
        "database that leaves",
        {"leaving": {"components": ["worker", "postgresql"], "holds_data": ["postgresql", "redis"], "allowed": []}},
        "app1: postgresql would leave the host, with data that the site does not have elsewhere. Put the host back",
    ),
    (
        "leaving under a tag",
        {"leaving": {"components": ["redis"], "holds_data": ["redis"], "allowed": ["redis"], "tags": ["airflow"]}},
        "app1: redis would leave the host, and this run's tags do not stop it. Run site.yml without tags first.",
    ),
    (
        "another home",
        {"fixed": {"recorded": {"site_home": "/srv/a", "site_x": 1}, "wanted": {"site_home": "/srv/b"}}},
        "app1: site_home is '/srv/b', and the site was installed with '/srv/a', which no run changes. Set it back, ",
    ),
    (
        "older cluster",
        {"postgresql_clusters": {"clusters": {"15": "auto"}, "wanted": "17"}},
        "app1: site_postgresql_version: PostgreSQL 15 runs, and 17 is wanted, which would be an empty database beside "
        'it. Run playbooks/postgresql_upgrade.yml, or set site_postgresql_version to "15".',
    ),
    (
        "older cluster, new one prepared",
        {"postgresql_clusters": {"clusters": {"15": "auto", "17": "manual"}, "wanted": "17"}},
        "app1: site_postgresql_version: PostgreSQL 15 runs, and 17 is wanted",
    ),
    (
        "upgrade interrupted",
        {"postgresql_clusters": {"clusters": {"15": "manual", "17": "manual"}, "wanted": "17"}},
        "app1: no cluster of PostgreSQL starts with the host, and there are those of 15 and 17: an upgrade was "
        "interrupted. Run playbooks/postgresql_upgrade.yml again.",
    ),
]


@pytest.mark.parametrize(
    ("change", "message"), [pytest.param(change, message, id=name) for name, change, message in CASES]
)
def test_one_mistake_has_one_message(change: dict[str, Any], message: str) -> None:
    (problem,) = preflight_problems(FINE | change)
    assert message in problem


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            {"airflow": AIRFLOW | {"version": "3.2.0", "constraints": "https://example.com/c.txt"}}, id="constraints"
        ),
        pytest.param({"os": {"distribution": "Debian", "version": "12"}, "python": "3.11.2"}, id="Debian 12"),
        pytest.param({"os": {"distribution": "Debian", "version": "12.11", "broker": "redis-server"}}, id="Redis"),
        pytest.param(
            {"os": {"distribution": "Ubuntu", "version": "22.04", "broker": ""}}, id="Ubuntu without a broker"
        ),
        pytest.param({"os": {"distribution": "Ubuntu", "version": "24.04", "broker": "redis-server"}}, id="Ubuntu"),
        pytest.param({"clock_offsets": {"a": 0, "b": 5}}, id="exactly the limit"),
        pytest.param({"clock_offsets": {}}, id="no clocks"),
        pytest.param(
            _login(
                "metadata", msg='connection to server at "db", port 5432 failed: SSL error: certificate verify failed'
            ),
            id="a database of an authority that the hosts know and the controller does not",
        ),
        pytest.param(_change(tags=["airflow_worker", "airflow"]), id="a component's tag, and that of all"),
        pytest.param(_change(tags=["redis"]), id="a tag of no component"),
        pytest.param(_change(needed=False, tags=["airflow_worker"], hosts=[]), id="no new version"),
        pytest.param(_change(migration_host="", hosts=["w1"]), id="nobody has to migrate"),
        pytest.param(_left_out(installed=[""], named=[]), id="a new host beside one that is dead"),
        pytest.param(_left_out(installed=[], hosts={}), id="all have the version"),
        pytest.param(
            {"leaving": FINE["leaving"] | {"tags": ["airflow", "removal"]}}, id="a tag that stops what leaves"
        ),
        pytest.param(_name("pg_data", "database"), id="database pg_data"),
        pytest.param(_name("template0", "role"), id="role template0"),
        pytest.param(_name("a" * 63, "role"), id="63 bytes"),
        pytest.param(_unit("a" * 232), id="a unit name of 255 characters"),
    ],
)
def test_allowed(change: dict[str, Any]) -> None:
    assert preflight_problems(FINE | change) == []


def test_several_mistakes_have_a_message_each() -> None:
    mistakes = {
        "python": "3.9.2",
        "os": {"distribution": "Debian", "version": "11"},
        "secret_problems": ["a", "b", "a"],
    }
    assert len(preflight_problems(FINE | mistakes)) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"ssh_sources": []},
        {"ssh_sources": ["192.0.2.7"]},
        {"ssh_port": "2222"},
        {"connection": ["2001:db8::1", "50000", "2001:db8::2", "2222"]},
        {"connection": [], "ssh_port": 1, "ssh_sources": ["198.51.100.1"]},
        {"connection": ["UNKNOWN", "65535", "UNKNOWN", "65535"], "ssh_sources": ["198.51.100.1"]},
    ],
    ids=["everybody", "an address", "a port as text", "IPv6", "no SSH", "SSH without IP"],
)
def test_firewalls_that_let_the_controller_in_are_fine(options: dict[str, Any]) -> None:
    assert preflight_problems(_firewall(**options)) == []


@pytest.mark.parametrize("clusters", [{}, {"17": "manual"}, {"17": "auto"}, {"15": "auto", "17": "auto"}])
def test_the_wanted_cluster_or_none_is_fine(clusters: dict[str, str]) -> None:
    assert preflight_problems({"postgresql_clusters": {"clusters": clusters, "wanted": "17"}}) == []


def test_an_unknown_system_wants_no_cluster() -> None:
    assert preflight_problems({"postgresql_clusters": {"clusters": {"15": "auto"}, "wanted": ""}}) == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"firewall": {"ssh_sources": "192.0.2.7"}}, "firewall.ssh_sources must be a list, found str"),
        ([], "the facts must be a mapping, found list"),
        ({"memory": 1}, "unknown fact 'memory'; known: airflow, authority_problems, broker_login, b"),
        ({"workers": [{"name": "a", "queues": "default"}]}, "queues of site_workers must be a list, found str"),
        ({"disk": [{"path": "/", "free_mb": "9", "needed_mb": 1}]}, "free_mb of / must be a number, found '9'"),
        ({"clock_offsets": {"a": None}}, "clock_offsets.a must be a number, found None"),
        ({"secret_problems": "none"}, "secret_problems must be a list, found str"),
        ({"database": {"minimum": 14}}, "database.version_num must be a number, found None"),
        ({"airflow": {"version": "3.3.2"}}, "airflow.available must be a mapping, found NoneType"),
    ],
)
def test_wrong_types_are_errors(facts: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        preflight_problems(facts)


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(-20, 20), max_size=6))
def test_clocks_are_fine_only_within_the_limit(offsets: dict[str, float]) -> None:
    spread = max(offsets.values()) - min(offsets.values()) if offsets else 0
    assert (preflight_problems({"clock_offsets": offsets}) == []) == (spread <= 5)


@given(st.text(max_size=70), st.sampled_from(["role", "database", None]))
def test_accepted_names_are_short_and_printable(name: str, kind: str | None) -> None:
    problems = preflight_problems(_name(name, kind))
    if not problems:
        assert 0 < len(name.encode()) <= 63
        assert not set(name) & set("\0\n'\"\\")
    for problem in problems:
        assert "\0" not in problem
        assert "\n" not in problem
