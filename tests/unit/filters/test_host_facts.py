"""What hosts say of themselves, and those that say nothing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from host_facts import airflow_host_name_problems, airflow_silent_host_problems


def said(hostname: str, fqdn: str = "", nodename: str = "") -> dict[str, str]:
    return {"hostname": hostname, "fqdn": fqdn or hostname, "nodename": nodename or hostname}


def site(**facts: dict[str, str]) -> dict[str, Any]:
    """Return a site of data-1 and worker-1, which say what is given for `data` and `worker`."""
    hosts = {"data-1": facts.get("data", said("data-1")), "worker-1": facts.get("worker", said("worker-1"))}
    return {
        "hosts": {host: {"facts": names, "known": facts.get("known") or {}} for host, names in hosts.items()},
        "public": {"name": "airflow.example.com", "hosts": []},
        "file": ".facts.json",
    }


@pytest.mark.parametrize(
    "facts",
    [
        site(),
        site(worker=said("worker-1", "worker-1.example.com")),
        site(worker=said("ip-10-0-0-5", "ip-10-0-0-5.example.com", "ip-10-0-0-5.example.com")),
        site(worker=said("worker-1", "worker-1.example.com"), known=said("worker-1")),
        site(data=said("db"), worker=said("job"), known=said("db") | {"nodename": "job"}),
        site() | {"public": {"name": "worker-1", "hosts": ["worker-1"]}},
        site() | {"public": {"name": "", "hosts": []}},
        # Nobody is misled.
        {"hosts": {"vm": {"facts": said("localhost")}}, "public": {"name": "localhost", "hosts": []}, "file": ""},
        {"hosts": {"one": {"facts": {}}, "other": {}}, "public": {}, "file": ""},
    ],
)
def test_these_names_are_fine(facts: dict[str, Any]) -> None:
    assert airflow_host_name_problems(facts) == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            site(worker=said("worker-1", "worker-1\n192.0.2.66 pypi.org")),
            r"worker-1: the host calls itself 'worker-1\n192.0.2.66 pypi.org' (its fact fqdn), which is no host name.",
        ),
        (site(worker=said("worker-1", "worker-1\n")), r"calls itself 'worker-1\n' (its fact fqdn), which is no"),
        (site(worker=said("worker_1")), "calls itself 'worker_1' (its fact fqdn), which is no host name"),
        (site(worker=said("worker-1", "192.0.2.1")), "calls itself '192.0.2.1' (its fact fqdn), which is no host name"),
        (site(worker=said("worker-1", "2001:db8::1")), "'2001:db8::1' (its fact fqdn), which is no host name"),
        (site(worker=said("worker-1", f"{'a' * 64}.com")), "(its fact fqdn), which is no host name"),
        (site(worker=said("worker-1", ".".join(["a" * 60] * 5))), "(its fact fqdn), which is no host name"),
        (site(worker=said("worker-1", "worker-1 data-1")), "'worker-1 data-1' (its fact fqdn), which is no host name"),
        (site(worker=said("")), "'' (its fact fqdn), which is no host name"),
        (
            site(worker=said("worker-1", "DATA-1")),
            "worker-1: the host calls itself 'data-1' (its fact fqdn), and that is the host data-1 of the inventory",
        ),
        (
            site(worker=said("worker-1", "Airflow.example.com")),
            "'airflow.example.com' (its fact fqdn), and that is airflow_public_name. Give it a name of its own",
        ),
        (site(worker=said("worker-1", "localhost.localdomain")), "and that is what every host calls itself"),
        (
            site(data=said("vm"), worker=said("vm")),
            "data-1 and worker-1 call themselves 'vm': Airflow would take one's tasks and logs for the other's.",
        ),
        (
            site(data=said("data-1", "db.example.com"), worker=said("worker-1", nodename="db.example.com")),
            "data-1 and worker-1 call themselves 'db.example.com'",
        ),
        (
            site(worker=said("worker-1", "pypi.org"), known=said("worker-1")),
            "worker-1: the host calls itself 'pypi.org' (its fact fqdn), and in the last run it was worker-1. Find out "
            "who renamed it; if that was meant, take its entry out of .facts.json.",
        ),
    ],
)
def test_each_name_that_misleads_is_refused(facts: dict[str, Any], message: str) -> None:
    problems = airflow_host_name_problems(facts)
    assert len(problems) == 1, problems
    assert message in problems[0]
    assert "\n" not in problems[0]


def test_a_single_host_is_asked_for_its_spelling() -> None:
    facts = {"hosts": {"vm": {"facts": said("a b")}}, "public": {}, "file": ""}
    assert "'a b'" in airflow_host_name_problems(facts)[0]


@pytest.mark.parametrize("facts", [None, {}, site() | {"hosts": {"a": 1}}, site() | {"hosts": {"a": {"facts": 1}}}])
def test_other_shapes_are_refused(facts: Any) -> None:
    with pytest.raises(AnsibleFilterError):
        airflow_host_name_problems(facts)


KNOWN = said("w2") | {"memtotal_mb": 8000, "processor_vcpus": 2, "default_ipv4": {"address": "10.0.0.2"}}


def silent(**given: Any) -> list[str]:
    facts = {"inside": {}, "outside": {}, "limit": "", "file": ".facts.json"} | given
    return airflow_silent_host_problems(facts)


@pytest.mark.parametrize(
    "entry",
    [
        {"address": "", "known": KNOWN},
        {"address": "10.0.0.9", "known": KNOWN | {"default_ipv4": {}}},
        {"address": "", "known": KNOWN | {"default_ipv4": {}, "default_ipv6": {"address": "2001:db8::2"}}},
    ],
)
def test_a_host_outside_of_the_run_that_is_known_stops_nobody(entry: dict[str, Any]) -> None:
    assert silent(outside={"w2": entry}) == []


@pytest.mark.parametrize(
    ("entry", "lacking"),
    [
        ({"address": "", "known": {}}, "airflow_host_address and airflow_known_facts (hostname, fqdn, nodename, "),
        ({"address": "10.0.0.9", "known": {}}, "set for it airflow_known_facts (hostname, fqdn, nodename, "),
        ({"address": "", "known": KNOWN | {"default_ipv4": {}}}, "set for it airflow_host_address."),
    ],
)
def test_a_host_of_which_too_little_is_known_is_refused(entry: dict[str, Any], lacking: str) -> None:
    (problem,) = silent(outside={"w2": entry})
    assert problem.startswith("w2 is outside of this run and does not answer, and .facts.json does not say what")
    assert lacking in problem


@pytest.mark.parametrize(
    ("limit", "remedy"), [("", "--limit '!w1,!w2'."), ("airflow_worker", "--limit 'airflow_worker,!w1,!w2'.")]
)
def test_a_host_of_the_run_that_is_dead_can_be_left_out(limit: str, remedy: str) -> None:
    problems = silent(inside={"w1": "Task failed: timed\n out.", "w2": "no route"}, limit=limit)
    assert problems[0] == f"w1 does not answer: timed out. Bring it back, or leave it out by {remedy}"
    assert problems[1].startswith("w2 does not answer: no route. ")


@pytest.mark.parametrize("facts", [None, {}, {"inside": 1, "outside": {}, "limit": "", "file": ""}])
def test_other_facts_are_refused(facts: Any) -> None:
    with pytest.raises(AnsibleFilterError):
        airflow_silent_host_problems(facts)
