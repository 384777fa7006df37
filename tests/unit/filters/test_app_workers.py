"""How apps run: commands, questions, environments, files and releases."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from app_releases import app_release_built_with, app_release_links, app_releases_old
from app_workers import (
    app_worker_files,
    app_worker_instances,
    app_worker_packages,
    app_worker_releases,
    app_worker_secrets,
    app_worker_units,
    systemd_words,
)

INSTANCE = {"number": 2, "unit": "app-worker-etl@2.service", "port": 8012, "elastic": False}
RELEASES = {"etl": "/r"}
HOST = {"python": "3.13", "system": "Debian 13", "program": "abc"}


def app(**more: Any) -> dict[str, Any]:
    return {"name": "etl", "command": ["python", "work.py"], "runtime": "python", "instances": [INSTANCE]} | more


def instance(**more: Any) -> dict[str, Any]:
    return app_worker_instances([app(source="s", **more)], RELEASES)[0]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a", '"a"'),
        ("", '""'),
        ("a b", '"a b"'),
        ("$HOME", '"$$HOME"'),
        ("100%", '"100%%"'),
        ('"', '"\\""'),
        ("\\", '"\\\\"'),
        ("a\nb", '"a\\nb"'),
        (7, '"7"'),
    ],
)
def test_a_word_is_one_word_for_systemd(word: Any, expected: str) -> None:
    assert systemd_words([word]) == expected


@pytest.mark.parametrize(
    ("runtime", "command", "expected"),
    [
        ("python", ["python", "work.py"], ["/r/venv/bin/python", "work.py"]),
        ("python", ["celery"], ["/r/venv/bin/celery"]),
        ("python", ["bin/work"], ["/r/app/bin/work"]),
        ("nodejs", ["node", "work.js"], ["/usr/bin/node", "work.js"]),
        ("nodejs", ["tsx", "a"], ["/r/app/node_modules/.bin/tsx", "a"]),
        ("none", ["work"], ["/r/app/work"]),
        ("none", ["/usr/bin/work", "-x"], ["/usr/bin/work", "-x"]),
    ],
)
def test_a_program_is_that_of_the_release(runtime: str, command: list[str], expected: list[str]) -> None:
    assert instance(runtime=runtime, command=command)["start"] == expected


@pytest.mark.parametrize(
    ("health", "expected", "seconds"),
    [
        (None, ["2", "none"], 17),
        ({"http": "/health"}, ["30", "http", "8012", "/health"], 45),
        ({"tcp": True, "seconds": 5}, ["5", "tcp", "8012"], 20),
        ({"command": ["python", "c.py"]}, ["30", "command", "/r/venv/bin/python", "c.py"], 45),
    ],
)
def test_an_app_is_asked_whether_it_answers(health: Any, expected: list[str], seconds: int) -> None:
    found = instance(health=health)
    assert (found["ask"][1:], found["seconds"]) == (expected, seconds)


def test_an_instance_knows_its_number_its_port_and_what_it_is_given() -> None:
    found = instance(environment={"N": 3, "PORT": "x"})["environment"]
    assert found["INSTANCE"] == "2"
    assert found["N"] == "3"
    assert found["PORT"] == "x"
    assert found["PATH"].startswith("/r/venv/bin:")
    assert "PORT" not in app_worker_instances([app(instances=[INSTANCE | {"port": 0}])], RELEASES)[0]["environment"]


def test_limits_and_exceptions_come_after_those_of_the_runtime() -> None:
    found = instance(
        runtime="nodejs",
        resources={"MemoryMax": "1G"},
        read_write_paths=["/a", "/b"],
        unit_options={"MemoryDenyWriteExecute": "yes"},
    )
    assert found["options"] == {"MemoryDenyWriteExecute": "yes", "MemoryMax": "1G", "ReadWritePaths": "/a /b"}


def test_runtimes_need_packages() -> None:
    assert app_worker_packages([app(), app(runtime="nodejs"), app(runtime="none")]) == ["nodejs", "npm", "python3-venv"]
    assert app_worker_packages([app(runtime="none")]) == []


def test_each_app_has_a_directory_with_its_secrets_alone() -> None:
    apps = [app(credentials={"token": "a", "key": "b"}), app(name="other", credentials={"token": "b"})]
    assert app_worker_secrets(apps) == ["a", "b"]
    found = app_worker_files(apps, "/d", {"a": "A", "b": "B"})
    assert [(row["path"], row.get("content"), row["mode"]) for row in found] == [
        ("/d/etl", None, "0700"),
        ("/d/etl/key", "B", "0600"),
        ("/d/etl/token", "A", "0600"),
        ("/d/other", None, "0700"),
        ("/d/other/token", "B", "0600"),
    ]
    assert all(row["secret"] for row in found if "content" in row)


def test_units_come_to_their_apps() -> None:
    apps = [app(), app(name="b", instances=[INSTANCE | {"unit": "b@1"}, INSTANCE | {"unit": "b@2", "elastic": True}])]
    instances = app_worker_instances(apps, {"etl": "/r", "b": "/s"})
    found = app_worker_units(apps, instances, ["one", "two", "three"], "/d")
    assert [(row["name"], row["release"], row["paths"]) for row in found] == [
        ("etl", "/r", ["/d/etl/*"]),
        ("b", "/s", ["/d/b/*"]),
    ]
    assert found[1]["units"][1] == {"name": "b@2", "content": "three", "elastic": True}


def test_what_is_built_has_the_lock_of_its_runtime() -> None:
    rows = app_worker_releases([app(source="s"), app(source="s", runtime="nodejs"), app(source="s", keep=0)], "/opt")
    assert [(row["lock"], row["keep"]) for row in rows] == [
        ("requirements.txt", 2),
        ("package-lock.json", 2),
        ("requirements.txt", 0),
    ]
    assert app_worker_releases([app(source="s", lock="l.txt")], "/opt")[0]["lock"] == "l.txt"


def test_a_release_is_another_one_with_another_python() -> None:
    python = {"runtime": "python", "lock": "requirements.txt"}
    assert app_release_built_with(python, HOST) != app_release_built_with(python, HOST | {"python": "3.11"})
    assert app_release_built_with({"runtime": "none"}, HOST) == app_release_built_with(
        {"runtime": "none"}, HOST | {"python": "3.11"}
    )


def result(path: str, keep: int) -> dict[str, Any]:
    return {"path": path, "app_release_app": {"directory": path.partition("/releases")[0], "keep": keep}}


def test_the_oldest_releases_go_and_never_the_one_in_use() -> None:
    files = [{"path": f"/a/releases/{name}", "ctime": moment} for moment, name in enumerate("wxyz")]
    files += [{"path": "/b/releases/w", "ctime": 0}]
    assert app_releases_old(files, [result("/a/releases/w", 1), result("/b/releases/w", 0)]) == [
        "/a/releases/y",
        "/a/releases/x",
    ]
    assert app_releases_old(files, [result("/a/releases/z", 3)]) == []


def test_a_link_leads_to_each_release() -> None:
    assert app_release_links([result("/a/releases/w", 1)]) == [
        {"path": "/a/current", "state": "link", "src": "/a/releases/w"}
    ]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="the apps must be a list"):
        app_worker_packages({"a": 1})
    with pytest.raises(AnsibleFilterError, match="the releases must be a mapping"):
        app_worker_instances([], [])
