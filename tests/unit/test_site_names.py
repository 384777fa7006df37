"""The names that hosts give themselves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.airstrip.core.plugins.module_utils.site_names import name_problems


def said(hostname: str, fqdn: str = "", nodename: str = "") -> dict[str, str]:
    return {"hostname": hostname, "fqdn": fqdn or hostname, "nodename": nodename or hostname}


def site(**facts: dict[str, str]) -> dict[str, Any]:
    """Return a site of data-1 and worker-1, which say what is given for `data` and `worker`."""
    hosts = {"data-1": facts.get("data", said("data-1")), "worker-1": facts.get("worker", said("worker-1"))}
    known = dict.fromkeys(hosts, facts.get("known") or {})
    return {"hosts": hosts, "known": known, "public": ("airflow.example.com", []), "file": ".facts.json"}


@pytest.mark.parametrize(
    "facts",
    [
        site(),
        site(worker=said("worker-1", "worker-1.example.com")),
        site(worker=said("ip-10-0-0-5", "ip-10-0-0-5.example.com", "ip-10-0-0-5.example.com")),
        site(worker=said("worker-1", "worker-1.example.com"), known=said("worker-1")),
        site(data=said("db"), worker=said("job"), known=said("db") | {"nodename": "job"}),
        site() | {"public": ("worker-1", ["worker-1"])},
        site() | {"public": ("", [])},
        # Nobody is misled.
        {"hosts": {"vm": said("localhost")}, "known": {}, "public": ("localhost", []), "file": ""},
        {"hosts": {"one": {}, "other": {}}, "known": {}, "public": ("", []), "file": ""},
    ],
)
def test_these_names_are_fine(facts: dict[str, Any]) -> None:
    assert name_problems(**facts) == []


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
            "'airflow.example.com' (its fact fqdn), and that is site_public_name. Give it a name of its own",
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
    problems = name_problems(**facts)
    assert len(problems) == 1, problems
    assert message in problems[0]
    assert "\n" not in problems[0]


def test_a_single_host_is_asked_for_its_spelling() -> None:
    facts: dict[str, Any] = {"hosts": {"vm": said("a b")}, "known": {}, "public": ("", []), "file": ""}
    assert "'a b'" in name_problems(**facts)[0]
