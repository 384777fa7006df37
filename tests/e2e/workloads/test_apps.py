"""App workers on a host: they do their work, are shut in, are scraped, scale, roll, and leave."""

from __future__ import annotations

import copy
import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airstrip_prometheus import Prometheus
from airstrip_site import PROJECT, Site

UNITS = ["engine@1", "camunda@1", "camunda@2", "gateway@1", "zeebe@1", "queue@1", "reports@1"]
EXPOSURE = 1.3
MOST = 3
# 90 MB of jobs, at the host itself: no argument list takes one of them.
FLOOD = """
import json, urllib.error, urllib.request
job = json.dumps({"text": "x" * 900_000, "seconds": 1}).encode()
for _ in range(100):
    try:
        with urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8140/jobs", job), timeout=20) as answer:
            print(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode())
"""
# KB of the broker of Airflow.
RESIDENT = "ps -o rss= -C redis-server"
EMPTY = "REDISCLI_AUTH=$(cat /etc/airstrip/app-worker/queue/queue_password) redis-cli -p 6390 FLUSHALL"


def until(found: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float) -> Any:
    """Ask again and again; return the first answer that is wanted."""
    limit = time.monotonic() + seconds
    while not wanted(answer := found()):
        assert time.monotonic() < limit, f"after {seconds} s still {answer!r}"
        time.sleep(1)
    return answer


def changed(declared: list[dict[str, Any]], name: str, **more: Any) -> list[dict[str, Any]]:
    """Return the apps with something else for one of them."""
    return [{**app, **more} if app["name"] == name else app for app in copy.deepcopy(declared)]


@pytest.mark.parametrize("unit", UNITS)
def test_each_instance_runs(apps: Any, unit: str) -> None:
    service = apps.service(f"app-worker-{unit}.service")
    assert service.is_running
    assert service.is_enabled


@pytest.mark.parametrize(
    ("variables", "state", "expected"),
    [
        ({"amount": 250}, "completed", {"score": 0.25, "by_hand": False}),
        ({"amount": 5000}, "completed", {"score": 1.0, "by_hand": True}),
        ({"colour": "red"}, "error", {}),
    ],
)
def test_a_worker_does_what_camunda_asks(ask: Any, variables: dict[str, Any], state: str, expected: Any) -> None:
    status, text = ask("POST", 8100, "/test/tasks", {"topicName": "score-order", "variables": variables})
    assert status == 200, text
    name = json.loads(text)["id"]
    row = until(
        lambda: json.loads(ask("GET", 8100, f"/test/tasks/{name}")[1]), lambda row: row["state"] != "waiting", 60
    )
    assert row["state"] == state
    assert {key: value["value"] for key, value in row["said"].get("variables", {}).items()} == expected


def test_a_worker_does_what_zeebe_asks(ask: Any) -> None:
    job = {"type": "reserve-stock", "variables": {"order": "A-7", "pieces": 3}}
    key = json.loads(ask("POST", 8120, "/jobs", job)[1])["key"]
    row = until(lambda: json.loads(ask("GET", 8120, f"/jobs/{key}")[1]), lambda row: row["state"] == "completed", 60)
    assert row["result"] == {"reservation": "A-7-3", "pieces": 3}


def test_a_worker_of_bullmq_takes_jobs_from_airflow_s_host(site: Site, ask_from: Any) -> None:
    url = f"http://{site.address('apps-1')}:8140"
    status, text = ask_from("node-1", "POST", f"{url}/jobs", json.dumps({"text": "one two three"}))
    assert status == 201, text
    name = json.loads(text)["id"]
    row = until(
        lambda: json.loads(ask_from("node-1", "GET", f"{url}/jobs/{name}")[1]),
        lambda row: row["state"] == "completed",
        60,
    )
    assert row["result"] == {"words": 3}


def test_a_flood_of_jobs_ends_at_the_queue_s_own_bound(apps: Any, node: Any) -> None:
    before = int(node.check_output(RESIDENT))
    try:
        answers = [line.partition(" ") for line in apps.check_output("python3 -c %s", FLOOD).splitlines()]
    finally:
        apps.check_output(EMPTY)
    assert len(answers) == 100
    refused = [text for status, _, text in answers if status == "400"]
    assert refused
    assert all("OOM" in text or "memory" in text for text in refused), refused[0]
    assert int(node.check_output(RESIDENT)) - before < 20_000


@pytest.mark.parametrize("unit", UNITS)
def test_it_is_shut_in(apps: Any, unit: str) -> None:
    text = apps.check_output(f"systemd-analyze security --no-pager app-worker-{unit}.service")
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", text)
    assert found
    assert float(found[1]) <= EXPOSURE


def test_a_secret_is_in_a_file_of_root_s_and_in_no_environment(apps: Any, site: Site) -> None:
    secret = site.secrets["camunda_password"]
    file = apps.file("/etc/airstrip/app-worker/camunda/camunda_password")
    assert (file.user, file.mode) == ("root", 0o600)
    assert file.content_string == secret
    for unit in ("camunda@1", "engine@1"):
        pid = apps.check_output(f"systemctl show --property=MainPID --value app-worker-{unit}.service")
        assert secret not in apps.check_output(f"tr '\\0' '\\n' </proc/{pid}/environ")
        assert secret not in apps.check_output(f"tr '\\0' ' ' </proc/{pid}/cmdline")
    assert secret not in apps.check_output("cat /etc/systemd/system/app-worker-*.service")
    assert apps.run(f"grep -rqs {secret} /opt/app /var/lib/app-worker").rc == 1


def test_nobody_can_change_what_runs(apps: Any) -> None:
    found = apps.check_output("find -P /opt/app ! -user root -o ! -type l -perm /022 -o -perm /6000")
    assert found == ""
    for user in ("app-camunda", "app-build"):
        assert apps.run(f"runuser -u {user} -- test -w /opt/app/camunda/current/app/score_orders.py").rc == 1
    assert apps.run("runuser -u app-zeebe -- cat /etc/airstrip/app-worker/camunda/camunda_password").rc != 0


def test_each_instance_is_scraped(ask: Any, prometheus: Prometheus) -> None:
    def seen() -> list[list[float]]:
        labels = 'job="app_camunda",instance="apps-1",app_instance="{}"'
        return [prometheus.at_once(f"up{{{labels.format(number)}}}") for number in (1, 2)]

    until(seen, lambda values: values == [[1.0], [1.0]], 180)
    # They count from their start.
    for _ in range(2):
        status, text = ask("POST", 8100, "/test/tasks", {"topicName": "score-order", "variables": {"amount": 250}})
        assert status == 200, text
    done = 'sum(worker_tasks_processed_total{job="app_camunda"})'
    until(lambda: prometheus.at_once(done), lambda values: bool(values) and values[0] >= 2, 60)


def test_it_follows_the_length_of_its_queue(apps: Any, ask: Any) -> None:
    def running() -> int:
        text = apps.check_output("systemctl list-units --plain --no-legend --state=active 'app-worker-reports@*'")
        return len(text.splitlines())

    # What a flood has left.
    file = "/etc/airstrip/app-worker/queue/queue_password"
    apps.check_output(f'REDISCLI_AUTH="$(cat {file})" redis-cli -p 6390 FLUSHALL')
    apps.check_output("systemctl restart app-worker-reports@1.service")
    until(lambda: ask("GET", 8140, "/health")[0], lambda status: status == 200, 60)
    for _ in range(120):
        status, text = ask("POST", 8140, "/jobs", {"text": "a b", "seconds": 5})
        assert status == 201, text
    until(running, lambda count: count == MOST, 180)
    assert ask("GET", 8142, "/health")[0] == 200
    until(running, lambda count: count == 1, 600)


def worker(tmp_path: Path, *lines: str) -> str:
    """Return a copy of the Camunda worker with more lines at its top."""
    place = tmp_path / "camunda"
    if not place.exists():
        shutil.copytree(PROJECT / "examples" / "workers" / "camunda", place)
    text = (PROJECT / "examples" / "workers" / "camunda" / "score_orders.py").read_text()
    (place / "score_orders.py").write_text(text.replace("import os\n", "\n".join(["import os", *lines, ""]), 1))
    return str(place)


def current(apps: Any) -> str:
    return str(apps.check_output("readlink /opt/app/camunda/current"))


def test_a_version_that_never_answers_leaves_the_running_one(
    apps: Any, ask: Any, apply: Any, declared: Any, tmp_path: Path
) -> None:
    before = current(apps)
    bad = changed(
        declared,
        "camunda",
        source=worker(tmp_path, "raise SystemExit('broken')"),
        health={"http": "/metrics", "seconds": 5},
    )
    result = apply("--tags", "app_worker", site_app_workers=bad)
    assert result.returncode != 0
    assert "app-worker-camunda@1.service has not started" in result.stdout
    assert "The version before runs again (app-worker-camunda@1.service, app-worker-camunda@2.service)" in result.stdout
    assert "broken" in result.stdout
    assert current(apps) == before
    assert [ask("GET", port, "/metrics")[0] for port in (8110, 8111)] == [200, 200]


def test_a_new_version_comes_one_instance_after_the_other(
    apps: Any, ask: Any, apply: Any, declared: Any, tmp_path: Path
) -> None:
    before, silent, ended = current(apps), [], threading.Event()

    def look() -> None:
        while not ended.is_set():
            answers = [ask("GET", port, "/metrics")[0] for port in (8110, 8111)]
            if 200 not in answers:
                silent.append(answers)

    watcher = threading.Thread(target=look)
    watcher.start()
    new = changed(declared, "camunda", source=worker(tmp_path, "VERSION = 2"))
    result = apply("--tags", "app_worker", site_app_workers=new)
    ended.set()
    watcher.join()
    assert result.returncode == 0, result.stdout
    assert current(apps) != before
    assert silent == []
    again = apply("--tags", "app_worker", site_app_workers=new)
    assert re.search(r"apps-1 .* changed=0 ", again.stdout), again.stdout
    back = apply("--tags", "app_worker", site_app_workers=declared)
    assert back.returncode == 0, back.stdout
    assert current(apps) == before


def test_what_leaves_the_inventory_leaves_the_host(apps: Any, apply: Any, declared: Any) -> None:
    left = [app for app in declared if app["name"] != "zeebe"]
    result = apply("--tags", "app_worker", site_app_workers=left)
    assert result.returncode == 0, result.stdout
    assert not apps.file("/etc/systemd/system/app-worker-zeebe@1.service").exists
    assert not apps.file("/opt/app/zeebe").exists
    assert not apps.file("/etc/airstrip/app-worker/zeebe").exists
    assert not apps.user("app-zeebe").exists
    assert apps.run("systemctl is-active app-worker-zeebe@1.service").rc != 0
    kept = apps.file("/var/lib/app-worker/zeebe")
    assert (kept.is_directory, kept.user, kept.mode) == (True, "root", 0o700)
    back = apply("--tags", "app_worker", site_app_workers=declared)
    assert back.returncode == 0, back.stdout
    assert apps.service("app-worker-zeebe@1.service").is_running
    assert apps.file("/var/lib/app-worker/zeebe").user == "app-zeebe"
