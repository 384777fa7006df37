"""Faults that a site can have, each put into what its hosts, its database and its broker say: it is named first.

Each comes with what follows from it, as it does on a real site: who needs a dead database is silent or fails, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airstrip_status import DAY, FIVE, NOW, OLD, broker, facts, lost, model, rows, seen, unit, unit_of
from ansible_collections.airstrip.core.plugins.module_utils.host_status import KINDS
from site_status import airflow_status

Seen = dict[str, Any]
FAILED = {"active": "failed", "sub": "failed", "result": "exit-code", "since": NOW - 60, "age": 60.0, "release": ""}
STOPPED = {"active": "inactive", "sub": "dead", "since": NOW - 60, "age": 60.0, "release": ""}
RESTARTING = {"active": "activating", "sub": "auto-restart", "result": "exit-code", "restarts": 7, "release": ""}


def silence(site: Seen, host: str, part: str) -> None:
    """Let the ports and the URL of a part not answer."""
    for answer in facts(site, host)["answers"]:
        if answer["part"] == part:
            answer.update(seconds=None, error="Connection refused")


def forget(site: Seen, job: str, host: str, age: float | None = None) -> None:
    """Let the heartbeat of a job be old, or not be there."""
    jobs = rows(site)[0]
    beat = next(one for one in jobs if one["job_type"] == job and one["hostname"].startswith(host))
    beat["age"] = age
    if age is None:
        jobs.remove(beat)


def servers(site: Seen, server: str, status: str) -> None:
    """Let both load balancers see a server in a state."""
    for host in FIVE["load_balancer"]:
        for one in facts(site, host)["servers"]:
            if one["server"] == server:
                one.update(status=status, check="L4CON" if status == "DOWN" else "L7OK")


def down(host: str, name: str, how: dict[str, Any]) -> Callable[[Seen], None]:
    return lambda site: unit_of(site, host, name).update(how)


def dead_host(host: str) -> Callable[[Seen], None]:
    def fault(site: Seen) -> None:
        servers(site, host, "DOWN")
        lost(site, host)
        if host == "worker-1":
            site["broker"] = [broker({"default": 9, "big": 0}, ["default@worker-2", "big@worker-2"])]
        if host == "data-1":
            dead_database(site)
            dead_broker(site)

    return fault


def dead_database(site: Seen) -> None:
    site["database"] = [{"failed": True, "msg": "connection refused"}]
    for host in FIVE["airflow_scheduler"]:
        unit_of(site, host, "airflow-scheduler").update(RESTARTING)
        silence(site, host, "api_server")
        servers(site, host, "DOWN")


def dead_broker(site: Seen) -> None:
    site["broker"] = [{"rc": 1, "stdout": "", "stderr": "OperationalError: timed out"}]


def stopped_database(site: Seen) -> None:
    unit_of(site, "data-1", "postgresql").update(STOPPED)
    silence(site, "data-1", "postgresql")
    dead_database(site)


def stopped_broker(site: Seen) -> None:
    unit_of(site, "data-1", "redis").update(STOPPED)
    silence(site, "data-1", "redis")
    dead_broker(site)


def full_disk(site: Seen) -> None:
    facts(site, "data-1")["disks"].append({"path": "/var/lib/postgresql", "free": 0.0})
    unit_of(site, "data-1", "postgresql").update(FAILED)
    dead_database(site)


def lost_mount(state: str) -> Callable[[Seen], None]:
    def fault(site: Seen) -> None:
        facts(site, "worker-1")["mounts"].append({"path": "/srv/airflow", "state": state})
        unit_of(site, "worker-1", "airflow-worker@default").update(FAILED)

    return fault


def ended(host: str, name: str, days: float) -> Callable[[Seen], None]:
    def fault(site: Seen) -> None:
        for certificate in facts(site, host)["certificates"]:
            if certificate["name"] == name:
                certificate["ends"] = NOW + days * DAY
        if name == "api_server" and days < 0:
            silence(site, host, name)
            servers(site, host, "DOWN")
        if name == "postgresql" and days < 0:
            dead_database(site)

    return fault


def no_certificate(site: Seen) -> None:
    facts(site, "control-2")["certificates"][1]["ends"] = None
    unit_of(site, "control-2", "airflow-api-server").update(FAILED)
    servers(site, "control-2", "DOWN")


def dead_api_server(how: dict[str, Any]) -> Callable[[Seen], None]:
    def fault(site: Seen) -> None:
        unit_of(site, "control-1", "airflow-api-server").update(how)
        silence(site, "control-1", "api_server")
        servers(site, "control-1", "DOWN")

    return fault


def unanswered_worker(site: Seen) -> None:
    site["broker"] = [broker({"default": 9, "big": 0}, ["default@worker-1", "big@worker-1", "big@worker-2"])]


def gone_unit(site: Seen) -> None:
    facts(site, "control-1")["units"].remove(unit_of(site, "control-1", "airflow-triggerer"))
    forget(site, "TriggererJob", "control-1")


def closed_port(site: Seen) -> None:
    silence(site, "control-2", "load_balancer")


def unserved(site: Seen) -> None:
    rows(site)[2].append({"queue": "gpu", "tasks": 7})


def drained(site: Seen) -> None:
    facts(site, "control-2")["drained"] = {"since": "2027-01-15T07:00:00Z", "reason": "new disk"}
    for one in facts(site, "control-2")["units"]:
        if one["unit"].startswith("airflow-"):
            one.update(STOPPED, enabled="disabled")
    servers(site, "control-2", "MAINT")


def told(host: str, answer: Any) -> Callable[[Seen], None]:
    def fault(site: Seen) -> None:
        site["answers"][host] = answer

    return fault


def changed(host: str, key: str, value: Any) -> Callable[[Seen], None]:
    return lambda site: facts(site, host).update({key: value})


def other_release(site: Seen) -> None:
    facts(site, "worker-2")["current"] = OLD
    for one in facts(site, "worker-2")["units"]:
        one["release"] = OLD


def outside(site: Seen) -> None:
    """Let the database be a server outside, which dies; facts and model of the site are set anew."""
    elsewhere = {group: hosts for group, hosts in FIVE.items() if group != "postgresql"}
    site.update(seen(model(elsewhere, database_host="db.example.com")))
    for host in FIVE["airflow_scheduler"]:
        silence(site, host, "postgresql")
    dead_database(site)


FAULTS: dict[str, tuple[Callable[[Seen], None], str, str]] = {
    "a worker's host is dead": (dead_host("worker-1"), "host-unreachable", "worker-1"),
    "a control host is dead": (dead_host("control-2"), "host-unreachable", "control-2"),
    "the data host is dead": (dead_host("data-1"), "host-unreachable", "data-1"),
    "a host answers no JSON": (told("worker-1", {"failed": True, "msg": "MODULE FAILURE"}), "host-unseen", "worker-1"),
    "an answer lacks keys": (told("control-1", {"facts": {"now": NOW}}), "host-unseen", "control-1"),
    "an answer has other types": (changed("data-1", "units", [{"unit": 7}]), "host-unseen", "data-1"),
    "the database's disk is full": (full_disk, "disk-full", "data-1"),
    "a disk is nearly full": (changed("worker-2", "disks", [{"path": "/", "free": 7.5}]), "disk-low", "worker-2"),
    "the shared storage is not mounted": (lost_mount("missing"), "mount-missing", "worker-1"),
    "the shared storage hangs": (lost_mount("silent"), "mount-missing", "worker-1"),
    "a clock is wrong": (changed("control-2", "now", NOW + 400), "clock-wrong", "control-2"),
    "nobody keeps a clock": (changed("worker-1", "synchronized", False), "clock-unsynchronized", "worker-1"),
    "an API server's certificate has ended": (ended("control-1", "api_server", -2), "certificate-ended", "control-1"),
    "the database's certificate has ended": (ended("data-1", "postgresql", -0.5), "certificate-ended", "data-1"),
    "the authority's certificate has ended": (ended("worker-1", "authority", -2), "certificate-ended", ""),
    "a certificate will end": (ended("data-1", "redis", 12), "certificate-ends", "data-1"),
    "a certificate is no certificate": (no_certificate, "certificate-missing", "control-2"),
    "a unit is gone": (gone_unit, "component-missing", "control-1"),
    "the database is stopped": (stopped_database, "component-down", "data-1"),
    "the broker is stopped": (stopped_broker, "component-down", "data-1"),
    "a scheduler has failed": (down("control-2", "airflow-scheduler", FAILED), "component-down", "control-2"),
    "a triggerer is stopped": (down("control-1", "airflow-triggerer", STOPPED), "component-down", "control-1"),
    "a DAG processor ends again and again": (
        down("control-1", "airflow-dag-processor", RESTARTING), "component-down", "control-1",
    ),
    "a worker has failed": (down("worker-2", "airflow-worker@big", FAILED), "component-down", "worker-2"),
    "HAProxy has failed": (down("control-1", "haproxy", FAILED), "component-down", "control-1"),
    "an API server has failed": (dead_api_server(FAILED), "component-down", "control-1"),
    "an API server hangs": (dead_api_server({}), "component-silent", "control-1"),
    "a scheduler hangs": (
        lambda site: forget(site, "SchedulerJob", "control-2", 95.0), "component-silent", "control-2",
    ),
    "a triggerer beats no more": (
        lambda site: forget(site, "TriggererJob", "control-1"), "component-silent", "control-1",
    ),
    "a worker does not answer": (unanswered_worker, "component-silent", "worker-2"),
    "the database refuses": (
        lambda site: site.update(database=[{"msg": "FATAL: too many connections"}]), "database-silent", "data-1",
    ),
    "a database outside is gone": (outside, "outside-silent", "control-1"),
    "the broker refuses": (dead_broker, "broker-silent", "data-1"),
    "the broker's answer is none": (
        lambda site: site.update(broker=[{"rc": 0, "stdout": "Killed", "stderr": ""}]), "broker-silent", "data-1",
    ),
    "a port is closed": (closed_port, "port-closed", "control-2"),
    "a network lies between": (lambda site: servers(site, "control-2", "DOWN"), "server-down", "control-1"),
    "a queue has no worker": (unserved, "queue-unserved", ""),
    "a host is drained": (drained, "host-drained", "control-2"),
    "a restart has left a server drained": (
        lambda site: servers(site, "control-2", "DRAIN"), "server-drained", "control-1",
    ),
    "a server is in maintenance": (lambda site: servers(site, "control-1", "MAINT"), "server-drained", "control-1"),
    "a component restarted often": (
        down("worker-1", "airflow-worker@default", {"restarts": 5, "age": 100.0}), "component-restarting", "worker-1",
    ),
    "a unit is not enabled": (down("data-1", "redis", {"enabled": "disabled"}), "component-disabled", "data-1"),
    "a process runs an old release": (
        down("control-1", "airflow-triggerer", {"release": OLD}), "component-outdated", "control-1",
    ),
    "a host was left out of an upgrade": (other_release, "releases-differ", ""),
    "what left still runs": (
        lambda site: facts(site, "data-1")["units"].append(unit("airflow-scheduler")), "component-unplaced", "data-1",
    ),
}  # fmt: skip


def first(fault: Callable[[Seen], None]) -> dict[str, Any]:
    site = seen(model(FIVE))
    fault(site)
    found: dict[str, Any] = next(iter(airflow_status(site)["problems"]), {"code": "", "text": ""})
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_first(name: str) -> None:
    fault, code, host = FAULTS[name]
    found = first(fault)
    assert (found["code"], found["text"].partition(": ")[0] if host else "") == (code, host), found
    assert found["command"]


def test_there_are_faults_enough_and_all_codes_among_them() -> None:
    named = [name for name, (fault, code, _) in FAULTS.items() if first(fault)["code"] == code]
    assert len(FAULTS) >= 30
    assert len(named) >= len(FAULTS) - 2
    assert {code for _, code, _ in FAULTS.values()} == {*KINDS}
