"""Worker sets that follow the load: what is refused, who runs how many, and what a site without them has of it."""

import re
from typing import Any

import pytest
from airstrip_alerts import SCALED
from airstrip_imagined import PLACED, facts, imagined, inventory
from airstrip_registry import declared, registry
from ansible_collections.airstrip.core.plugins.module_utils.site_checks import problems
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_programs import programs
from ansible_collections.airstrip.core.plugins.module_utils.site_scale import DEFAULTS, rules_of, scale_of
from ansible_collections.airstrip.core.plugins.module_utils.site_sizing import budget, host_slots, memory_needed
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact, viewers
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import Host
from hypothesis import given
from hypothesis import strategies as st

WATCHED = PLACED | {"monitoring": ["monitor"]}
SCALE = {"min": 2, "max": 10, "target": 2, "longest_task_seconds": 300}
DEFAULT = {"name": "default", "queues": ["default"], "concurrency": 4}


def worker(**more: Any) -> dict[str, Any]:
    return {"name": "elastic", "queues": ["elastic"], "concurrency": 2, "scale": SCALE} | more


def scaled(**more: Any) -> dict[str, Any]:
    return worker(scale=SCALE | more)


def site(
    *workers: Any, placed: dict[str, Any] = WATCHED, on: tuple[str, ...] = ("worker1", "worker2"), **hosts: Any
) -> Site:
    """Return a site with a set on some hosts; or with what a host has of its own."""
    own = {host: {"site_workers": [DEFAULT, *(workers or (worker(),))]} for host in on}
    given_facts = hosts.pop("said", {})
    for host, more in hosts.items():
        own[host] = own.get(host, {}) | more
    return inventory(placed, {}, own, given_facts).site(registry(), declared())


def said(*workers: Any, **more: Any) -> list[str]:
    return problems(site(*workers, **more))


@pytest.mark.parametrize(
    "given_worker",
    [
        worker(),
        scaled(target=0.5, counted="waiting", per_host=10, cpu=1, memory=100, host_cpu=100, host_memory=100),
        scaled(up={"percent": 0, "instances": 1}, down={"percent": 100, "instances": 0, "stabilization": 0}),
        scaled(min=10),
        scaled(max=20, per_host=10),
        worker(arguments="--loglevel DEBUG", unit_options={"Nice": 5}),
    ],
)
def test_these_are_fine(given_worker: dict[str, Any]) -> None:
    assert said(given_worker) == []


ONE = "worker1: site_workers: the worker elastic "
NUMBER = "Set it to a whole number from"
REFUSED = {
    "min above max": (scaled(min=11), "has scale.min 11 above scale.max 10. Exchange them."),
    "a target of 0": (
        scaled(target=0),
        "has scale.target 0. Set it to the tasks for each instance, above 0.",
    ),
    "a target below 0": (
        scaled(target=-1.5),
        "has scale.target -1.5. Set it to the tasks for each instance, above 0.",
    ),
    "a target without end": (
        scaled(target=float("inf")),
        "has scale.target inf. Set it to the tasks for each instance, above 0.",
    ),
    "a target that is no number": (
        scaled(target="2"),
        "has scale.target '2'. Set it to the tasks for each instance, above 0.",
    ),
    "a target that is true": (
        scaled(target=True),
        "has scale.target True. Set it to the tasks for each instance, above 0.",
    ),
    "scale beside autoscale": (
        worker(autoscale={"min": 1, "max": 4}),
        "has both scale and autoscale. Keep scale, and set concurrency.",
    ),
    "no concurrency": (
        {key: item for key, item in worker().items() if key != "concurrency"},
        "has a scale and no concurrency. Set concurrency: an instance has as many slots on each host.",
    ),
    "a scale that is no mapping": (
        worker(scale=5),
        "has a scale that is no mapping. Give it min, max, target and longest_task_seconds.",
    ),
    "an unknown key": (
        scaled(maximum=3),
        "has the unknown key scale.maximum. Known are counted, cpu, down, host_cpu, host_memory, "
        "longest_task_seconds, max, memory, min, per_host, target, up.",
    ),
    "an unknown key of a step": (
        scaled(up={"second": 3}),
        "has the unknown key scale.up.second. Known are cooldown, instances, percent, seconds, stabilization.",
    ),
    "no instances": (scaled(min=0), f"has scale.min 0. {NUMBER} 1 to 500."),
    "too many": (scaled(max=501), f"has scale.max 501. {NUMBER} 1 to 500."),
    "a half": (scaled(max=2.5), f"has scale.max 2.5. {NUMBER} 1 to 500."),
    "none on a host": (scaled(per_host=0), f"has scale.per_host 0. {NUMBER} 1 to 500."),
    "more than all of a processor": (scaled(cpu=101), f"has scale.cpu 101. {NUMBER} 1 to 100."),
    "no memory": (scaled(host_memory=0), f"has scale.host_memory 0. {NUMBER} 1 to 100."),
    "no time for a task": (
        scaled(longest_task_seconds=0),
        f"has scale.longest_task_seconds 0. {NUMBER} 1 to 31536000.",
    ),
    "steps too quick to be seen": (scaled(down={"seconds": 9}), f"has scale.down.seconds 9. {NUMBER} 10 to 86400."),
    "a cooldown below 0": (scaled(up={"cooldown": -1}), f"has scale.up.cooldown -1. {NUMBER} 0 to 86400."),
    "a step that is no mapping": (
        scaled(up=5),
        "has scale.up that is no mapping. Give it percent, instances and seconds.",
    ),
    "a step of nothing": (
        scaled(down={"percent": 0, "instances": 0}),
        "has scale.down with percent 0 and instances 0, so it never changes. Set one of them.",
    ),
    "counted otherwise": (scaled(counted="running"), "has scale.counted 'running'. Set it to all or waiting."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_worker_is_refused(name: str) -> None:
    given_worker, message = REFUSED[name]
    assert [text for text in said(given_worker) if text.startswith("worker1")] == [ONE + message]


@pytest.mark.parametrize("key", SCALE)
def test_what_has_no_default_is_asked_for(key: str) -> None:
    short = worker(scale={name: item for name, item in SCALE.items() if name != key})
    assert [text for text in said(short) if text.startswith("worker1")] == [f"{ONE}has no scale.{key}. Set it."]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists), st.sampled_from(
    ["min", "max", "target", "longest_task_seconds", "counted", "per_host", "cpu", "host_cpu", "up", "down", "more"]
))  # fmt: skip
def test_whatever_is_given_is_refused_or_understood(value: Any, key: str) -> None:
    given_worker = scaled(**{key: value})
    assert bool(scale_of(given_worker)) or said(given_worker, on=("worker1",))


def test_without_monitoring_nothing_scales() -> None:
    assert said(placed=PLACED) == [
        "site_workers: elastic has a scale, which Prometheus works out, and no host is in the group monitoring. Put "
        "one there, or take out scale and set concurrency."
    ]


@pytest.mark.parametrize(("timeout", "longest", "is_refused"), [(300, 300, True), (301, 300, False), (0, 1, True)])
def test_what_stops_has_time_for_its_tasks(timeout: int, longest: int, is_refused: bool) -> None:
    found = said(scaled(longest_task_seconds=longest), worker2={"site_worker_stop_timeout": timeout})
    assert found == [
        f"worker2: site_worker_stop_timeout is {timeout}, and tasks of elastic take up to {longest} s "
        "(scale.longest_task_seconds): an instance that is taken away would end them. Set it to more."
    ] * is_refused  # fmt: skip


def test_a_queue_is_of_one_set_that_scales() -> None:
    both = (worker(queues=["a", "b"]), worker(name="more", queues=["b", "c"]))
    assert said(*both) == [
        "site_workers: elastic and more have a scale, and both take the queue b: each would count its tasks. Give it "
        "to one of them."
    ]
    # One that does not scale may help.
    assert said(worker(queues=["a"]), {**DEFAULT, "name": "more", "queues": ["a"]}) == []


DIFFERS = (
    "site_workers: the workers elastic differ on worker2 and worker1. What scales is one set: give it the same entry "
    "on all of its hosts."
)


@pytest.mark.parametrize(
    "other",
    [
        scaled(max=9), worker(queues=["elastic", "more"]), worker(concurrency=3), worker(arguments="-E"),
        {key: item for key, item in worker().items() if key != "scale"},
    ],
)  # fmt: skip
def test_a_set_is_the_same_on_all_of_its_hosts(other: dict[str, Any]) -> None:
    assert said(worker1={"site_workers": [other]}) == [DIFFERS]


def test_a_default_that_is_written_out_is_the_same() -> None:
    assert said(worker1={"site_workers": [scaled(**DEFAULTS)]}) == []


def test_each_host_runs_one_at_least() -> None:
    assert said(scaled(min=1)) == []
    assert said(scaled(min=1, max=1)) == [
        "site_workers: the worker elastic has scale.max 1 and 2 hosts, of which each runs one at least. Set scale.max "
        "to 2 or more, or take the worker out of some hosts."
    ]
    assert said(scaled(min=1, max=1), on=("worker1",)) == []


def test_an_instance_does_not_take_the_name_of_a_worker() -> None:
    """Both would be airflow-worker@elastic-2."""
    assert said(worker(), {**DEFAULT, "name": "elastic-2", "queues": ["b"]}) == [
        "site_workers: the worker elastic-2 has the name of an instance of elastic, which has a scale. Give it another "
        "name."
    ]
    assert said(worker(), {**DEFAULT, "name": "elastic-b", "queues": ["b"]}) == []


def test_hosts_may_run_all_that_a_set_may_have() -> None:
    assert said(scaled(per_host=4)) == [
        "site_workers: the worker elastic has scale.max 10, and its 2 hosts may run 8 together (scale.per_host). Lower "
        "scale.max, or raise scale.per_host."
    ]


@pytest.mark.parametrize("queues", [5, "elastic", None, {}])
def test_queues_that_are_no_list_are_left_to_their_own_check(queues: Any) -> None:
    assert said(worker(queues=queues)) == []
    assert rules_of("elastic", {"worker1": worker(queues=queues)})["queues"] == ""


# Who runs how many


def names(found: list[Any]) -> list[str]:
    return [str(item["name"]) for item in found]


def test_instances_are_numbered_on_each_host() -> None:
    found = site(scaled(min=3, max=8))
    # The first of equal hosts has the odd one, in the order of the site.
    assert {host: names(found.instances("worker", host)) for host in ("worker1", "worker2")} == {
        "worker1": ["default", "elastic-1"],
        "worker2": ["default", "elastic-1", "elastic-2"],
    }
    assert names(found.more_instances("worker", "worker1")) == [f"elastic-{number}" for number in range(2, 9)]
    assert names(found.all_instances("worker", "worker1")) == ["default", *(f"elastic-{n}" for n in range(1, 5))]
    assert {str(item.get("set")) for item in found.more_instances("worker", "worker1")} == {"elastic"}
    assert not any("scale" in item for item in found.all_instances("worker", "worker1"))


def test_a_larger_host_takes_more_and_no_more_than_it_may() -> None:
    large = {"worker1": facts(8, "worker1", processor_vcpus=6)}
    assert site(scaled(min=4, per_host=7), said=large).shares == {
        "elastic": [Host("worker2", 2, 1, 7), Host("worker1", 6, 3, 7)]
    }
    assert site(scaled(max=3)).shares["elastic"][0].most == 3


def test_units_of_all_that_may_run_are_written() -> None:
    row = programs(site(scaled(max=4)), "worker1")["worker"]
    assert [one["unit"] for one in row["instances"]] == ["airflow-worker@default", "airflow-worker@elastic-1"]
    every, more = row["installed"], row["installed"][2:]
    assert every[:2] == row["instances"]
    assert [one["unit"] for one in more] == [f"airflow-worker@elastic-{number}" for number in (2, 3, 4)]
    assert {one["part_of"] for one in more} == {"airflow-worker@elastic-1.service"}
    assert {one["part_of"] for one in row["instances"]} == {""}
    assert [one["set"] for one in row["instances"]] == ["default", "elastic"]
    for key in ("unit", "node", "path", "directory"):
        assert len({one[key] for one in every}) == len(every)
    # One serves the logs of all; who starts an elastic one waits longer each time.
    assert ["--skip-serve-logs" in one["arguments"] for one in every] == [False, True, True, True, True]
    assert [one["unit_options"].get("Restart") for one in every] == [None, None, "no", "no", "no"]


def test_connections_and_memory_are_those_of_all_instances() -> None:
    few, many = site(scaled(max=4)), site(scaled(max=8))
    per_instance = 3
    assert budget(many)["by_component"]["worker"] - budget(few)["by_component"]["worker"] == 4 * per_instance
    assert host_slots(many, "worker1") - host_slots(few, "worker1") == 2 * 2
    assert memory_needed(many, "worker1") - memory_needed(few, "worker1") == 2 * (596 + 2 * 225)


def test_all_instances_have_the_login_and_the_queues_of_their_set() -> None:
    found = fact(site())
    assert {"default", "elastic"} == set(found["worker_sets"])
    assert found["worker_sets"]["elastic"] == ["elastic"]
    assert len([row for row in found["broker_users"] if "elastic" in str(row)]) == 1
    assert sum(row["slots"] for row in found["task_slots"] if row["queues"] == ["elastic"]) == 10 * 2


def test_an_instance_that_does_not_run_is_no_finding() -> None:
    hosts = fact(site(scaled(max=4)))["hosts"]
    assert hosts["worker1"]["status"]["elastic_units"] == [
        f"airflow-worker@elastic-{number}.service" for number in (2, 3, 4)
    ]
    assert hosts["control"]["status"]["elastic_units"] == []


# Prometheus and the program


def test_the_program_is_where_something_scales() -> None:
    found = site(on=("worker1",))
    assert found.placed["worker_scale"] == ["worker1"]
    hosts = fact(found)["hosts"]
    assert [one["name"] for one in hosts["worker1"]["scaled_here"]] == ["elastic"]
    assert hosts["worker2"]["scaled_here"] == []
    (one,) = hosts["worker1"]["scaled_here"]
    assert (one["least"], one["most"], one["first"]) == (2, 10, "airflow-worker@elastic-1.service")
    assert one["units"][0] == "airflow-worker@elastic-3.service"


def test_who_asks_prometheus_has_a_login_of_its_own() -> None:
    hook = {"site_scale_hook": "/usr/local/sbin/make-workers"}
    hooked: dict[str, Any] = {host: hook for hosts in WATCHED.values() for host in hosts}
    assert viewers(site(**hooked)) == {
        "scale_hook": "scale_hook_password",
        "worker_scale": "worker_scale_password",
    }
    assert viewers(site()) == {"worker_scale": "worker_scale_password"}
    assert viewers(imagined(WATCHED)) == {}


def test_rules_match_queues_hosts_and_units_alone() -> None:
    row = rules_of("a.b", {"worker1": worker(name="a.b", queues=["q_2", "q1"]), "worker2": worker(name="a.b")})
    assert re.fullmatch(row["queues"], "q1")
    assert re.fullmatch(row["hosts"], "worker2")
    assert not re.fullmatch(row["hosts"], "worker21")
    assert re.fullmatch(row["units"], "airflow-worker@a.b-12.service")
    assert not re.fullmatch(row["units"], "airflow-worker@axb-12.service")
    assert (row["cpu"], row["down"]["stabilization"], row["counted"]) == (70, 300, "all")


def test_the_rules_are_tested_with_a_set_as_it_is() -> None:
    row = {"queues": ["extra", "elastic"], "scale": {"min": 2, "max": 10, "target": 2, "longest_task_seconds": 60}}
    assert rules_of("elastic", {"worker-1": row, "worker-2": row}) == SCALED


def test_a_site_without_scale_has_nothing_of_it() -> None:
    for placed in (PLACED, WATCHED):
        found = imagined(placed)
        assert found.scaled == {}
        assert found.placed.get("worker_scale", []) == []
        hosts = fact(found)["hosts"]
        assert [hosts[name]["scaled"] + hosts[name]["scaled_here"] for name in hosts] == [[]] * len(hosts)
        assert hosts["worker1"]["status"]["elastic_units"] == []
        # What any site may have, is known of each.
        for host in hosts.values():
            host["status"].pop("known_units")
        assert "worker-scale" not in str(hosts)
        row = programs(found, "worker1")["worker"]
        assert row["installed"] == row["instances"]
        assert found.instances("worker", "worker1") == found.all_instances("worker", "worker1")
