"""Role redis, through a client on the controller."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import PROJECT, Site
from redis.backoff import NoBackoff
from redis.retry import Retry

PORT = 6379


Client = Callable[[str | None, str | None], Any]


@pytest.fixture(scope="module")
def client(site: Site, inventory_hostname: str) -> Iterator[Client]:
    """Make clients of the broker that ask once: a refusal is not tried again. Firewalls let in no other host."""
    tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(site.ca_certificate)} if site.is_shared else {}
    with site.tunnel(inventory_hostname, PORT) as local:
        yield lambda username, password: redis.Redis(
            host="127.0.0.1", port=local, username=username, password=password, socket_timeout=15,
            decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 0), **tls,
        )  # fmt: skip


@pytest.fixture(scope="module")
def workers(site: Site) -> dict[str, list[str]]:
    """The names of the site's workers, and their queues."""
    listed = [worker for name in site.group("airflow_worker") for worker in site.variable(name, "site_workers")]
    return {worker["name"]: worker["queues"] for worker in listed}


@pytest.fixture
def as_airflow(client: Client, site: Site) -> Iterator[Any]:
    with client("airflow", site.secrets["airflow_broker_password"]) as connection:
        yield connection


@pytest.fixture
def as_admin(client: Client, site: Site) -> Iterator[Any]:
    with client("admin", site.secrets["redis_admin_password"]) as connection:
        yield connection


def test_listens_where_the_topology_needs_it(host: Any, site: Site, inventory_hostname: str) -> None:
    address = site.address(inventory_hostname)
    assert host.socket(f"tcp://{address}:{PORT}").is_listening == site.is_shared


def test_engine_is_the_one_that_was_asked_for(host: Any, site: Site) -> None:
    engine = site.broker
    assert host.service(f"{engine}-server").is_running
    assert host.service(f"{engine}-server").is_enabled
    assert not host.package("valkey-server" if engine == "redis" else "redis-server").is_installed


def test_configuration_stays_roots(host: Any, site: Site) -> None:
    engine = site.broker
    # What the package does in each update.
    host.check_output(
        f"DPKG_MAINTSCRIPT_NAME=postinst DPKG_MAINTSCRIPT_PACKAGE={engine}-tools"
        f" /var/lib/dpkg/info/{engine}-tools.postinst configure"
    )
    found = host.check_output(f"find /etc/{engine} -printf '%u %g %m %y\n'").splitlines()
    assert set(found) == {f"root {engine} 750 d", f"root {engine} 640 f"}
    assert host.run(f"setpriv --reuid={engine} --regid={engine} --clear-groups ln -s / /etc/{engine}/planted").rc != 0


@pytest.mark.parametrize("command", ["PING", "INFO", "KEYS *", "GET x"])
def test_nobody_gets_in_without_a_user(client: Client, command: str) -> None:
    with client(None, None) as connection, pytest.raises(redis.RedisError, match=r"NOAUTH|Authentication"):
        connection.execute_command(*command.split())


@pytest.mark.parametrize(
    ("username", "password"), [(None, "airflow"), ("default", ""), ("airflow", "airflow"), ("admin", "admin")]
)
def test_other_passwords_are_refused(client: Client, username: str | None, password: str) -> None:
    with client(username, password) as connection, pytest.raises(redis.RedisError):
        connection.ping()


def test_airflow_can_send_and_receive(as_airflow: Any) -> None:
    assert as_airflow.execute_command("LPUSH", "airstrip-test", "message") == 1
    assert as_airflow.execute_command("BRPOP", "airstrip-test", "5") == ("airstrip-test", "message")


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET maxmemory 1mb", "KEYS *", "SCAN 0", "ACL LIST",
        "ACL SETUSER airflow +@all", "SHUTDOWN", "MONITOR", "SAVE", "REPLICAOF 127.0.0.1 1", "MODULE LIST",
        "FUNCTION LIST",
    ],
)  # fmt: skip
def test_airflow_can_do_nothing_else(as_airflow: Any, as_admin: Any, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        as_airflow.execute_command(*command.split())
    # So that the log tells of Airflow's own commands only.
    as_admin.execute_command("ACL", "LOG", "RESET")


def test_data_survives_and_is_never_dropped(as_admin: Any) -> None:
    settings = as_admin.config_get("*")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert int(settings["maxmemory"]) >= 64 * 2**20
    assert settings["protected-mode"] == "yes"


def test_users_are_those_that_are_known(as_admin: Any, workers: dict[str, list[str]]) -> None:
    assert sorted(as_admin.acl_users()) == sorted(
        ["admin", "airflow", "default", *(f"airflow-worker-{name}" for name in workers)]
    )
    default = as_admin.acl_getuser("default")
    assert "off" in default["flags"]
    assert "nopass" not in default["flags"]


# What another worker's user, or a task with it, might do to the workers of a name.
ATTACKS = (
    "LPUSH {queue} message",
    "RPOP {queue}",
    "LRANGE {queue} 0 -1",
    "SADD _kombu.binding.{queue} binding",
    "HGETALL unacked.{name}",
    "ZADD unacked_index.{name} 1 x",
    "PUBLISH /0/{name}.celery.pidbox shutdown",
    "PSUBSCRIBE /0/{name}.celery.pidbox",
    "HGETALL unacked",
    "PUBLISH /0.celery.pidbox shutdown",
    "PSUBSCRIBE *",
    "KEYS *",
    "SCAN 0",
    "CONFIG GET *",
)


@pytest.mark.parametrize("command", ATTACKS)
def test_a_worker_reaches_nothing_of_others(
    client: Client, site: Site, as_admin: Any, workers: dict[str, list[str]], command: str
) -> None:
    others = {**workers, "another": ["another"]}
    for name in workers:
        with client(f"airflow-worker-{name}", site.secrets[f"airflow_broker_password_{name}"]) as connection:
            assert connection.ping()
            for other, queues in others.items():
                if other != name:
                    with pytest.raises(redis.exceptions.NoPermissionError):
                        connection.execute_command(*command.format(name=other, queue=queues[0]).split())
    as_admin.execute_command("ACL", "LOG", "RESET")


def test_airflows_traffic_needs_no_command_that_is_denied(as_admin: Any, airflow: Airflow) -> None:
    as_admin.execute_command("ACL", "LOG", "RESET")
    run = airflow.start("airstrip_smoke_test")
    assert airflow.wait("airstrip_smoke_test", run) == "success"
    assert as_admin.execute_command("ACL", "LOG") == []


def test_workers_remote_control_needs_no_command_that_is_denied(site: Site, as_admin: Any) -> None:
    as_admin.execute_command("ACL", "LOG", "RESET")
    worker = testinfra.get_host(site.connection(site.group("airflow_worker")[0]))
    scheduler = testinfra.get_host(site.connection(site.group("airflow_scheduler")[0]))
    assert worker.run("airflow-celery inspect stats").rc == 0
    assert scheduler.run("airflow-celery inspect active").rc == 0
    assert as_admin.execute_command("ACL", "LOG") == []


def test_files_hold_no_password(host: Any, site: Site, inventory: dict[str, Any], inventory_hostname: str) -> None:
    engine = inventory["_meta"]["hostvars"][inventory_hostname].get("site_redis_engine", "redis")
    text = host.check_output(f"cat /etc/{engine}/{engine}.conf /etc/{engine}/users.acl")
    leaked = [name for name, value in site.secrets.items() if value in text]
    assert leaked == []
    assert host.file(f"/etc/{engine}/users.acl").mode == 0o640


def test_keys_of_a_server_that_is_taken_over_are_kept(
    host: Any, inventory: dict[str, Any], inventory_hostname: str
) -> None:
    engine = inventory["_meta"]["hostvars"][inventory_hostname].get("site_redis_engine", "redis")
    data, configuration = "/root/airstrip-test-redis", "/root/airstrip-test-redis.conf"
    script = (PROJECT / "roles" / "redis" / "files" / "keep_keys.py").read_text(encoding="utf-8")
    keep = f"python3 -c {shlex.quote(script)} {configuration} {data}"
    ask = f"{engine}-cli -p 6390 --no-auth-warning -a secret"
    # As a package leaves it, with a password: what it knows goes to a dump, and it starts from one.
    lines = ("port 6390", f"dir {data}", "daemonize yes", "requirepass secret", "save 3600 1")
    start = f"{engine}-server {configuration} && until {ask} ping | grep -q PONG; do sleep 0.2; done"
    stop = f"{ask} shutdown && while {ask} ping 2>&1 | grep -q PONG; do sleep 0.2; done"
    host.check_output(f"mkdir {data} && printf '%s\\n' {' '.join(map(shlex.quote, lines))} >{configuration}")
    try:
        host.check_output(f"{start} && {ask} -n 3 set kept 1 && {stop} && test -s {data}/dump.rdb")
        refused = host.run(keep)
        assert refused.rc == 1
        assert "start it, so that it is kept" in refused.stderr
        host.check_output(start)
        assert host.check_output(keep) == "changed"
        assert host.check_output(keep) == "kept"
        host.check_output(f"{stop} && echo 'appendonly yes' >>{configuration} && {start}")
        assert host.check_output(f"{ask} -n 3 get kept") == "1"
    finally:
        host.run(f"{ask} shutdown nosave; rm -r {data} {configuration}")
