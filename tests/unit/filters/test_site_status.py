"""How a site is, worked out from what its hosts, its database and its broker have said."""

import json
from typing import Any

import pytest
from airstrip_status import (
    DAY,
    FIVE,
    NEW,
    NOW,
    OLD,
    THREE,
    broker,
    facts,
    lost,
    model,
    rows,
    seen,
    unit,
)  # fmt: skip
from ansible.errors import AnsibleFilterError
from site_status import airflow_status, status_asker, status_broker_question


def row(site: dict[str, Any], component: str) -> dict[str, Any]:
    """Return the only row of a component."""
    found: list[dict[str, Any]] = [row for row in airflow_status(site)["components"] if row["component"] == component]
    assert len(found) == 1
    return found[0]


def problems(site: dict[str, Any]) -> list[str]:
    return [problem["text"] for problem in airflow_status(site)["problems"]]


def with_unit(name: str, **changed: Any) -> dict[str, Any]:
    """Return a site in which a unit is not as it should be."""
    site = seen()
    for host in site["answers"]:
        for found in facts(site, host)["units"]:
            if found["unit"] == f"{name}.service":
                found.update(changed)
    return site


def test_a_site_in_which_all_is_well_needs_no_attention() -> None:
    for site in (seen(), seen(model(FIVE))):
        status = airflow_status(site)
        assert status["problems"] == []
        assert {row["state"] for row in status["components"]} == {"active"}
        assert {row["level"] for row in status["components"]} == {"good"}
        json.dumps(status)
    status = airflow_status(seen())
    assert sorted((row["host"], row["component"]) for row in status["components"]) == [
        ("control", "api_server"), ("control", "dag_processor"), ("control", "scheduler"), ("control", "triggerer"),
        ("data", "postgresql"), ("data", "redis"), ("worker", "worker@big"), ("worker", "worker@default"),
    ]  # fmt: skip
    assert (status["site"], status["time"], status["executor"]) == (
        "production", "2027-01-15T08:00:00Z", "CeleryExecutor",
    )  # fmt: skip


def test_a_row_tells_all_of_a_component() -> None:
    assert row(seen(), "worker@default") == {
        "host": "worker", "component": "worker@default", "unit": "airflow-worker@default.service",
        "version": "3.3.2", "release": NEW, "state": "active", "level": "good", "since": "2027-01-15T07:00:00Z",
        "seconds": 3600.0, "restarts": 0, "heartbeat": 0.0, "busy": 5, "slots": 16, "shared": False, "note": "",
    }  # fmt: skip
    scheduler = row(seen(), "scheduler")
    assert (scheduler["heartbeat"], scheduler["slots"], scheduler["busy"]) == (1.4, None, None)
    assert (row(seen(), "redis")["unit"], row(seen(), "redis")["release"]) == ("redis-server.service", "")


@pytest.mark.parametrize(
    ("changed", "state", "level"),
    [
        pytest.param({"active": "failed", "sub": "failed"}, "failed", "bad", id="failed"),
        pytest.param({"active": "inactive", "sub": "dead"}, "stopped", "bad", id="stopped"),
        pytest.param(
            {"active": "activating", "sub": "auto-restart"}, "restarting", "bad", id="restarts again and again"
        ),
        pytest.param({"active": "activating", "sub": "start"}, "starting", "warning", id="starts"),
        pytest.param({"active": "deactivating", "sub": "stop-sigterm"}, "stopping", "warning", id="drains"),
        pytest.param({"active": "reloading", "sub": "reload"}, "active", "good", id="reloads"),
        pytest.param({"active": "maintenance", "sub": "x"}, "maintenance", "bad", id="unheard of"),
    ],
)
def test_states_of_systemd_are_one_word(changed: dict[str, str], state: str, level: str) -> None:
    found = row(with_unit("airflow-scheduler", **changed), "scheduler")
    assert (found["state"], found["level"]) == (state, level)


def test_what_is_bad_is_said_with_the_command_that_mends_it() -> None:
    site = with_unit("airflow-scheduler", active="failed", sub="failed", result="exit-code", release="", since=NOW - 60)
    assert airflow_status(site)["problems"] == [
        {
            "level": "bad",
            "code": "component-down",
            "text": "control: scheduler is failed (exit-code) since 2027-01-15 07:59:00 UTC",
            "command": "on control: journalctl -n 50 -u airflow-scheduler.service; "
            "systemctl restart airflow-scheduler.service",
        }
    ]
    assert row(site, "scheduler")["release"] == NEW


def test_what_runs_and_is_not_in_the_inventory_is_shown() -> None:
    site = seen()
    facts(site, "data")["units"] += [unit("airflow-worker@old"), unit("haproxy", active="inactive")]
    assert row(site, "worker@old")["note"] == "not in the inventory"
    assert problems(site) == ["data: worker@old (airflow-worker@old.service) runs, and is not placed here"]


@pytest.mark.parametrize(("age", "state"), [(1.0, "active"), (29.0, "active"), (31.0, "silent"), (None, "silent")])
def test_a_component_that_runs_and_does_not_beat_is_silent(age: float | None, state: str) -> None:
    site = seen()
    jobs = rows(site)[0]
    jobs[1]["age"] = age
    if age is None:
        del jobs[1]
    found = row(site, "dag_processor")
    assert (found["state"], found["heartbeat"]) == (state, age)
    said = "does not answer" if age is None else f"gave its last sign of life {age:.0f} s ago"
    assert problems(site) == ([f"control: dag_processor is active, but {said}"] if state == "silent" else [])


def test_a_component_that_has_just_started_may_take_its_time() -> None:
    site = with_unit("airflow-dag-processor", age=20.0)
    del rows(site)[0][1]
    assert row(site, "dag_processor")["state"] == "active"


def test_servers_and_workers_that_do_not_answer_are_silent() -> None:
    site = seen(broker=[broker({}, ["default@worker"])])
    for answer in facts(site, "control")["answers"]:
        answer.update(seconds=None, error="timed out")
    states = {found["component"]: found["state"] for found in airflow_status(site)["components"]}
    assert {name for name, state in states.items() if state == "silent"} == {"api_server", "worker@big"}
    assert problems(site) == [
        "control: api_server is active, but http://127.0.0.1:8080/execution/health does not answer: timed out",
        "worker: worker@big is active, but does not answer",
    ]


def test_nobody_is_silent_whom_nobody_could_ask() -> None:
    traceback = "Traceback (most recent call last):\n  File x, line 1\nModuleNotFoundError: No module named 'celery'\n"
    site = seen(
        database=[{"msg": "connection refused\n\tIs the server running?", "failed": True}],
        broker=[{"rc": 1, "stdout": "", "stderr": traceback}],
    )
    status = airflow_status(site)
    assert {found["state"] for found in status["components"]} == {"active"}
    worker = row(site, "worker@default")
    assert (worker["heartbeat"], worker["busy"], worker["slots"]) == (None, None, 16)
    assert [(found["waiting"], found["queued"]) for found in status["queues"]] == [(None, None), (None, None)]
    assert problems(site) == [
        "data: no answer from the metadata database: connection refused Is the server running?",
        "data: no answer from the broker: ModuleNotFoundError: No module named 'celery'",
    ]


def test_without_anybody_who_can_ask_that_is_the_reason() -> None:
    assert problems(seen(database=[{"skipped": True}, {}], broker=[])) == [
        f"data: no answer from the {name}: no host that has a release and may ask it can be reached"
        for name in ("metadata database", "broker")
    ]


def test_workers_of_a_host_that_has_told_no_name_are_not_silent() -> None:
    site = seen()
    site["site"]["silent"] = ["worker"]
    assert (row(site, "worker@big")["state"], row(site, "worker@big")["heartbeat"]) == ("active", None)


def test_a_host_that_cannot_be_reached_is_shown_with_what_others_know_of_it() -> None:
    site = seen()
    lost(site, "control")
    site["answers"]["worker"] = {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "python3: not found"}
    site["site"]["silent"], site["site"]["facts"]["worker"] = ["worker"], {}
    site["site"]["hosts"]["worker"]["workers"] = [{"name": "default", "queues": ["default"]}]
    rows(site)[1][0]["hostname"] = "worker"
    scheduler, worker = row(site, "scheduler"), row(site, "worker@default")
    assert (scheduler["state"], scheduler["heartbeat"], scheduler["restarts"]) == ("unreachable", 1.4, None)
    assert (worker["state"], worker["busy"], worker["slots"]) == ("unknown", 5, None)
    assert airflow_status(site)["queues"][1]["slots"] is None
    assert problems(site) == [
        "control: cannot be reached: No route to host",
        "worker: has told nothing: python3: not found",
    ]


def test_a_drained_host_says_so_and_its_stopped_components_are_meant() -> None:
    site = with_unit("airflow-worker@big", active="inactive", sub="dead", release="", enabled="disabled")
    facts(site, "worker")["drained"] = {"since": "2027-01-15T07:00:00Z", "reason": "new disk"}
    found = row(site, "worker@big")
    assert (found["state"], found["level"]) == ("stopped", "warning")
    assert airflow_status(site)["problems"] == [
        {
            "level": "warning",
            "code": "host-drained",
            "text": "worker: drained since 2027-01-15T07:00:00Z: new disk",
            "command": "playbooks/undrain.yml --limit worker",
        }
    ]
    assert airflow_status(site)["hosts"][2]["drained"]["reason"] == "new disk"


def test_a_server_is_drained_with_its_host_and_that_is_one_finding() -> None:
    site = seen(model(FIVE))
    for host in ("control-1", "control-2"):
        facts(site, host)["servers"][1].update(status="DRAIN")
        facts(site, host)["servers"][3].update(status="DRAIN")
    assert problems(site) == [
        f"{host}: no requests to control-2 (airflow_api, airflow_execution): DRAIN L7OK"
        for host in ("control-1", "control-2")
    ]
    facts(site, "control-2")["drained"] = {"since": "x", "reason": "y"}
    assert problems(site) == ["control-2: drained since x: y"]


def test_a_process_of_another_release_than_that_which_is_installed_is_told() -> None:
    site = with_unit("airflow-triggerer", release=OLD)
    found = row(site, "triggerer")
    assert (found["version"], found["release"], found["level"]) == ("3.2.2", OLD, "good")
    assert found["note"] == f"runs {OLD}, and {NEW} is installed"
    assert problems(site) == [f"control: triggerer {found['note']}"]


def test_hosts_with_different_releases_are_told() -> None:
    site = seen()
    facts(site, "worker")["current"] = OLD
    for found in facts(site, "worker")["units"]:
        found["release"] = OLD
    assert problems(site) == [f"hosts have different releases: {OLD}, {NEW}"]


def test_workers_with_a_queue_in_common_are_counted_together() -> None:
    site = seen()
    site["site"]["hosts"]["worker"]["workers"] = [
        {"name": "default", "queues": ["default", "x"], "concurrency": 16},
        {"name": "big", "queues": ["big", "x"], "autoscale": {"min": 1, "max": 4}},
    ]
    rows(site)[1].append({"hostname": "worker", "queue": "big", "tasks": 1})
    for name in ("worker@default", "worker@big"):
        found = row(site, name)
        assert (found["busy"], found["slots"], found["shared"]) == (6, 20, True)


def test_queues_are_those_with_workers_and_those_with_tasks() -> None:
    site = seen(broker=[broker({"default": 2, "big": 0, "gpu": 4}, ["default@worker", "big@worker"])])
    rows(site)[2].append({"queue": "gpu", "tasks": 7})
    assert airflow_status(site)["queues"] == [
        {"queue": "big", "waiting": 0, "queued": 0, "workers": 1, "slots": 2},
        {"queue": "default", "waiting": 2, "queued": 3, "workers": 1, "slots": 16},
        {"queue": "gpu", "waiting": 4, "queued": 7, "workers": 0, "slots": 0},
    ]
    assert problems(site) == ["queue gpu has 7 tasks and no worker"]


def test_without_celery_the_schedulers_have_the_slots() -> None:
    alone = {group: ["vm"] for group in THREE if group not in ("redis", "airflow_worker")}
    site = seen(model(alone, executor="LocalExecutor"), broker=[])
    rows(site)[1].append({"hostname": "vm", "queue": "default", "tasks": 3})
    scheduler = row(site, "scheduler")
    assert (scheduler["busy"], scheduler["slots"]) == (3, 32)
    site["config"] = {"core": {"parallelism": 8}}
    assert row(site, "scheduler")["slots"] == 8
    assert airflow_status(site)["queues"] == []
    assert problems(site) == []


def test_hosts_whose_names_airflow_makes_by_a_function_have_no_heartbeat() -> None:
    site = seen(config={"core": {"hostname_callable": "mine.name"}})
    assert (row(site, "scheduler")["state"], row(site, "scheduler")["heartbeat"]) == ("active", None)
    assert row(site, "worker@default")["busy"] is None
    assert row(site, "worker@default")["heartbeat"] == 0.0


def test_certificates_tell_their_days_and_the_authority_s_is_one() -> None:
    site = seen(model(FIVE))
    ends = {"data-1": {"postgresql": 30.5, "redis": -1}, "control-1": {"api_server": 20.5, "authority": 5}}
    for host, days in ends.items():
        for found in facts(site, host)["certificates"]:
            found["ends"] = NOW + days.get(found["name"], 300) * DAY
    facts(site, "control-2")["certificates"][0]["ends"] = NOW + 5 * DAY
    facts(site, "control-2")["certificates"][1]["ends"] = None
    status = airflow_status(site)
    shown = {(entry["host"], entry["service"]): (entry["days"], entry["level"]) for entry in status["certificates"]}
    assert len([entry for entry in status["certificates"] if entry["service"] == "authority"]) == 1
    assert status["certificates"][0]["host"] == ""
    assert shown["", "authority"] == (5, "warning")
    assert shown["data-1", "postgresql"] == (30, "good")
    assert shown["data-1", "redis"] == (-1, "bad")
    assert shown["control-1", "api_server"] == (20, "warning")
    assert [(problem["code"], problem["text"]) for problem in status["problems"]] == [
        ("certificate-missing", "control-2: the certificate of api_server is not there, or none"),
        ("certificate-ended", "data-1: the certificate of redis ended on 2027-01-14"),
        ("certificate-ends", "the certificate of authority ends in 5 days"),
        ("certificate-ends", "control-1: the certificate of api_server ends in 20 days"),
    ]


def test_a_clock_is_compared_with_those_of_the_others() -> None:
    site = seen()
    facts(site, "worker")["now"] = NOW - 120
    assert problems(site) == ["worker: the clock is 120 s behind those of the other hosts"]
    alone = seen(model({group: ["vm"] for group in THREE}, tls_enabled="false"))
    # What it said some time ago.
    facts(alone, "vm")["now"] = NOW - 120
    assert problems(alone) == []
    facts(alone, "vm")["now"] = NOW + 120
    assert problems(alone) == ["vm: the clock is 120 s ahead of that of the controller"]


BAD_ANSWERS: list[tuple[Any, str]] = [
    ({}, "no reason given"),
    ({"facts": []}, "its answer is no mapping"),
    ({"facts": {"now": 1.0}}, "its answer has no current"),
    ({"failed": True, "msg": "MODULE FAILURE: No start of json char found", "module_stderr": ""}, "No start of json"),
]


@pytest.mark.parametrize(("answer", "reason"), BAD_ANSWERS)
def test_a_bad_answer_is_a_finding_of_that_host_and_of_no_other(answer: Any, reason: str) -> None:
    site = seen()
    site["answers"]["control"] = answer
    status = airflow_status(site)
    (problem,) = status["problems"]
    assert (problem["code"], problem["text"].partition(": ")[0]) == ("host-unseen", "control")
    assert reason in problem["text"]
    assert {row["state"] for row in status["components"] if row["host"] != "control"} == {"active"}


@pytest.mark.parametrize("key", ["now", "units", "certificates", "disks", "answers", "servers", "drained", "hidden"])
@pytest.mark.parametrize("value", ["text", 7, [7], [[]], [{}], {"a": 1}, None, True])
def test_no_answer_breaks_the_report(key: str, value: Any) -> None:
    site = seen()
    facts(site, "control")[key] = value
    status = airflow_status(site)
    assert {row["state"] for row in status["components"] if row["host"] != "control"} == {"active"}
    assert all(problem["text"].startswith("control: ") for problem in status["problems"])


def test_what_hosts_say_cannot_write_on_the_terminal() -> None:
    site = seen()
    facts(site, "worker")["drained"] = {"since": "\x1b[2J", "reason": "x" * 9999}
    (text,) = problems(site)
    assert text.isprintable()
    assert len(text) < 500


@pytest.mark.parametrize("said", ["", "no json", "[]", '{"queues": {}}', '{"queues": [], "answers": []}'])
def test_an_answer_of_the_broker_that_is_none_is_a_finding(said: str) -> None:
    status = airflow_status(seen(broker=[{"rc": 0, "stdout": said, "stderr": ""}]))
    assert [problem["code"] for problem in status["problems"]] == ["broker-silent"]


@pytest.mark.parametrize(
    "said", [None, [], [[], []], [[{"job_type": "x"}], [], []], [[], [], [{"queue": "a", "tasks": "many"}]]]
)
def test_an_answer_of_the_database_that_is_none_is_a_finding(said: Any) -> None:
    status = airflow_status(seen(database=[{"query_all_results": said}]))
    assert [problem["code"] for problem in status["problems"]] == ["database-silent"]


@pytest.mark.parametrize("given", [None, [], {}, {"answers": {}}, {**seen(), "broker": None}, {**seen(), "site": {}}])
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="give what the role status has seen"):
        airflow_status(given)


def test_a_finding_can_be_muted_until_a_moment() -> None:
    site = with_unit("airflow-scheduler", active="failed", sub="failed")
    assert [problem["code"] for problem in airflow_status(site)["problems"]] == ["component-down"]
    for until, shown in (("2027-01-15T08:00:01Z", 0), ("2027-01-15T08:00:00Z", 1), ("2027-01-16", 0)):
        assert len(airflow_status(site | {"muted": {"component-down": until}})["problems"]) == shown, until
    assert len(airflow_status(site | {"muted": {"component-silent": "2027-01-16"}})["problems"]) == 1
    with pytest.raises(AnsibleFilterError, match="status_muted: component-down has the time 'soon'"):
        airflow_status(site | {"muted": {"component-down": "soon"}})


def test_the_first_host_that_has_a_release_asks() -> None:
    answers = seen()["answers"]
    assert status_asker(answers, ["data", "control", "worker"]) == "control"
    assert status_asker(answers, ["data"]) == ""
    assert status_asker({"control": {"facts": "x"}}, ["control", "gone"]) == ""


def test_the_broker_is_asked_for_queues_and_for_the_workers_that_run() -> None:
    site = with_unit("airflow-worker@big", active="failed")
    rows(site)[2].append({"queue": "gpu", "tasks": 7})
    site["config"] = {"celery_broker_transport_options": {"sep": ":", "other": 1}}
    assert status_broker_question(site, 5) == {
        "transport_options": {"sep": ":"},
        "queues": ["big", "default", "gpu"],
        "workers": [
            {"nodes": ["default@worker"], "transport_options": {"fanout_prefix": "/0/default."}},
            {"nodes": [], "transport_options": {"fanout_prefix": "/0/big."}},
        ],
        "timeout": 5,
    }
    # An instance of a set that scales is asked by the channel of its set.
    host = site["site"]["hosts"]["worker"]
    host["workers"] = [{"name": "default-1", "queues": ["default"], "set": "default"}]
    host["status"]["parts"][0] |= {"name": "worker@default-1"}
    assert status_broker_question(site, 5)["workers"][0]["nodes"] == ["default-1@worker"]
    site["config"] = {"celery": {"worker_enable_remote_control": "False"}}
    assert status_broker_question(site, 5)["workers"] == []
    with pytest.raises(AnsibleFilterError, match="give what the role status has seen"):
        status_broker_question({}, 5)


def test_what_is_outside_has_a_row_on_each_host_that_needs_it() -> None:
    elsewhere = {group: hosts for group, hosts in FIVE.items() if group != "postgresql"}
    site = seen(model(elsewhere, database_host="db.example.com"))
    answer = next(one for one in facts(site, "control-2")["answers"] if one["part"] == "postgresql")
    answer.update(seconds=None, error="timed out")
    status = airflow_status(site)
    found = {
        row["host"]: (row["state"], row["unit"]) for row in status["components"] if row["component"] == "postgresql"
    }
    # Workers need it for their results.
    assert found == {
        "control-1": ("active", ""), "control-2": ("silent", ""),
        "worker-1": ("active", ""), "worker-2": ("active", ""),
    }  # fmt: skip
    assert [(problem["text"], problem["command"]) for problem in status["problems"]] == [
        (
            "control-2: postgresql 5432 at db.example.com does not answer: timed out",
            "on control-2: timeout 3 bash -c '</dev/tcp/db.example.com/5432'",
        )
    ]
