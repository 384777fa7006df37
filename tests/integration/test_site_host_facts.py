"""The module site_host_facts: what a host says of itself."""

import hmac
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from airstrip_module import run_module
from airstrip_tree import PROJECT

# The last one is of no registry any more.
KNOWN = {
    "keepalived": {"units": ["keepalived.service"], "owns": []},
    "scheduler": {
        "units": ["airflow-scheduler.service"],
        "owns": ["{root}/units/airflow-scheduler.service", "{root}/etc"],
    },
    "worker": {
        "units": ["airflow-worker@*.service"],
        "owns": ["{root}/units/airflow-worker@*.service", "{root}/etc"],
    },
}
NOTHING: dict[str, Any] = {"components": {}, "fixed": {}, "secrets": {}}


def known(root: str, *names: str) -> dict[str, Any]:
    """Return components, as the model of a site gives them."""
    entries: dict[str, Any] = json.loads(json.dumps({name: KNOWN[name] for name in names}).replace("{root}", root))
    return entries


def said(root: Path, *, placed: tuple[str, ...] = ("scheduler",), **more: Any) -> dict[str, Any]:
    """Return what the host says if its files lie below a root."""
    given = {
        "now": 0, "python": sys.executable, "release": f"{root}/current", "paths": ["/"],
        "postgresql": {"configuration": f"{root}/etc", "programs": f"{root}/lib"},
        "root_paths": {"airflow_log_directory": f"{root}/owned/logs"}, "taken_over": [f"{root}/home"],
        "fernet_key": f"{root}/fernet_key", "units": f"{root}/units", "secrets": {
            "key": {"path": f"{root}/fernet_key"}, "none": {"path": f"{root}/none"},
            "owner": {"path": f"{root}/url", "user": "own/er", "cuts_off": True},
            "other": {"path": f"{root}/url", "user": "other"},
            "authority": {"path": f"{root}/ca.crt", "is_held": False, "cuts_off": True},
        },
        "placed": known(str(root), *placed), "known": known(str(root), *KNOWN), "record": f"{root}/placed.json",
        "api_server": f"{root}/airflow-api-server.service", "webserver_config": f"{root}/webserver_config.py",
        "drained": f"{root}/drained", "credentials": f"{root}/run",
    }  # fmt: skip
    arguments = root / "arguments"
    arguments.mkdir(exist_ok=True)
    found = run_module(arguments, "site_host_facts", given | more, check=True)
    assert (found["failed"], found["changed"]) == (False, False), found
    return found


# The shell stays, as it does above sudo: what follows keeps it from being replaced by its command.
_SHELL = ("sh", "-c", '"$@"; exit $?', "sh")
_CONNECTION = "import json, site_host_facts; print(json.dumps(site_host_facts.ssh_connection()))"


def connection(variables: dict[str, str], *command: str) -> list[str]:
    """Return the SSH connection that is found by a process with these variables, in addition, through a command."""
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"} | variables
    environment["PYTHONPATH"] = f"{PROJECT}/library:{PROJECT}/collections"
    argv = [*_SHELL, *command, sys.executable, "-c", _CONNECTION]
    result = subprocess.run(argv, capture_output=True, check=True, env=environment, text=True)
    found: list[str] = json.loads(result.stdout)
    return found


def test_ssh_connection_is_found_where_sudo_has_dropped_it() -> None:
    variables = {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 2222"}
    expected = ["192.0.2.7", "50000", "192.0.2.1", "2222"]
    assert connection(variables) == expected
    assert connection(variables, "env", "-u", "SSH_CONNECTION") == expected


_RESOLVERS = "import json, sys, site_host_facts; print(json.dumps(site_host_facts.resolvers(tuple(sys.argv[1:]))))"


def test_name_servers_are_those_of_elsewhere(tmp_path: Path) -> None:
    stub, own = tmp_path / "stub", tmp_path / "own"
    (tmp_path / "resolv.conf").symlink_to(stub)
    stub.write_text(
        "# nameserver 192.0.2.1\nnameserver 127.0.0.53\nnameserver 192.0.2.54\noptions edns0\nnameserver fe80::1%eth0\n"
    )
    own.write_text("nameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver 192.0.2.53 # twice\nnameserver dns\n")
    command = [sys.executable, "-c", _RESOLVERS, str(tmp_path / "resolv.conf"), str(own), str(tmp_path / "none")]
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}/library:{PROJECT}/collections"}
    result = subprocess.run(command, capture_output=True, check=True, env=environment, text=True)
    assert json.loads(result.stdout) == ["192.0.2.54", "192.0.2.53", "2001:db8::53"]


def test_clusters_are_those_that_have_a_server(tmp_path: Path) -> None:
    for version, start in (("13", "auto"), ("15", "# kept\nmanual\n"), ("17", ""), ("18", "# all\n auto # yes\n")):
        directory = tmp_path / "etc" / version / "main"
        directory.mkdir(parents=True)
        (directory / "postgresql.conf").write_text("", encoding="utf-8")
        (directory / "start.conf").write_text(start, encoding="utf-8")
    for version in ("15", "17", "18"):
        (tmp_path / "lib" / version / "bin").mkdir(parents=True)
        (tmp_path / "lib" / version / "bin" / "postgres").write_text("", encoding="utf-8")
    assert said(tmp_path)["postgresql"] == {"15": "manual", "17": "auto", "18": "auto"}


def test_marks_of_upgrades_are_found(tmp_path: Path) -> None:
    assert said(tmp_path)["postgresql_upgrades"] == {}
    for mark in ("upgrade-to-17/begun", "upgrade-to-17/complete", "upgrade-to-18/linked"):
        (tmp_path / "data" / mark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / mark).write_text("15\n", encoding="utf-8")
    asked = {"configuration": f"{tmp_path}/etc", "programs": f"{tmp_path}/lib", "data": f"{tmp_path}/data"}
    found = said(tmp_path, postgresql=asked)["postgresql_upgrades"]
    assert found == {"17": {"from": "15", "complete": True, "linked": False}}


def test_port_of_the_api_server_is_that_of_its_unit(tmp_path: Path) -> None:
    assert said(tmp_path)["api_server_port"] == 0
    unit = tmp_path / "airflow-api-server.service"
    unit.write_text(
        "[Service]\nExecStart=/opt/bin/airflow api-server --host :: --port 8081 --workers 2\n", encoding="utf-8"
    )
    assert said(tmp_path)["api_server_port"] == 8081


def test_a_configuration_that_is_not_read_any_more_is_seen(tmp_path: Path) -> None:
    assert said(tmp_path)["webserver_config"] is False
    (tmp_path / "webserver_config.py").touch()
    assert said(tmp_path)["webserver_config"] is True


def test_a_template_of_cloud_init_is_seen(tmp_path: Path) -> None:
    template = tmp_path / "hosts.debian.tmpl"
    assert said(tmp_path, hosts_template=str(template))["hosts_template"] == ""
    template.touch()
    assert said(tmp_path, hosts_template=str(template))["hosts_template"] == str(template)
    assert said(tmp_path)["hosts_template"] == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_ways_are_open_where_others_may_put_a_link(tmp_path: Path) -> None:
    def who() -> dict[str, str]:
        found: list[dict[str, str]] = said(tmp_path)["open_ways"]
        # Where this test runs as root, the directories above may still be somebody's.
        return {way["directory"].removeprefix(str(tmp_path)): way["who"] for way in found}

    owned, home = tmp_path / "owned", tmp_path / "home"
    assert who() == {}
    home.mkdir()
    owned.mkdir()
    os.chown(owned, 1, 0)
    assert who() == {"/owned": "daemon"}
    os.chown(owned, 0, 1)
    owned.chmod(0o775)
    assert who() == {"/owned": "the group daemon"}
    owned.chmod(0o1777)
    assert who() == {}
    owned.chmod(0o757)
    assert who() == {"/owned": "everybody"}
    # The way of a link is that to its target, and one that root takes over meanwhile is closed.
    owned.rmdir()
    (home / "logs").mkdir()
    owned.symlink_to(home / "logs")
    os.chown(home, 1, 0)
    assert who() == {}
    os.chown(home / "logs", 1, 0)
    assert who() == {"/home/logs": "daemon"}


def test_space_is_that_of_the_nearest_parent_and_a_missing_release_is_none(tmp_path: Path) -> None:
    seen = said(tmp_path)
    assert seen["free_mb"]["/"] > 0
    assert (seen["release"], seen["installed_version"]) == ("", "")
    assert seen["python"] == ".".join(map(str, sys.version_info[:2]))


def test_secrets_are_named_and_told_by_salted_digests(tmp_path: Path) -> None:
    (tmp_path / "fernet_key").write_text("new-key,old-key", encoding="utf-8")
    (tmp_path / "url").write_text("db+postgresql+psycopg2://own%2Fer:pass%40word@192.0.2.1:5432/a", encoding="utf-8")
    first, second = said(tmp_path), said(tmp_path)
    assert first["secrets"] == ["key", "owner"]
    salt = first["fernet_key"]["salt"].encode()
    expected = [hmac.new(salt, key, "sha256").hexdigest() for key in (b"new-key", b"old-key")]
    assert first["fernet_key"]["digests"] == expected
    assert second["fernet_key"]["digests"] != expected
    assert not {"new-key", "old-key", "pass@word", "pass%40word"} & {*json.dumps(first).split('"')}
    (tmp_path / "fernet_key").unlink()
    assert said(tmp_path)["fernet_key"]["digests"] == []


def test_secrets_of_units_that_run_are_told_by_digests(tmp_path: Path) -> None:
    assert said(tmp_path)["running_secrets"] == {"owner": [], "authority": []}
    for unit, text in {"airflow-a": "pass%40word", "airflow-b": "pass%40word", "other": "x"}.items():
        (tmp_path / "run" / f"{unit}.service").mkdir(parents=True)
        url = f"redis://own%2Fer:{text}@192.0.2.1:6379/0"
        (tmp_path / "run" / f"{unit}.service" / "url").write_text(url, encoding="utf-8")
    (tmp_path / "run" / "airflow-b.service" / "url").write_text("redis://other:x@192.0.2.1:6379/0", encoding="utf-8")
    found = said(tmp_path)
    expected = hmac.new(b"owner", b"pass@word", "sha256").hexdigest()
    assert found["running_secrets"] == {"owner": [expected], "authority": ["unknown"]}
    assert "pass@word" not in json.dumps(found)


def test_units_are_those_that_this_project_writes(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "airflow-scheduler.service").write_text("[Unit]\n", encoding="utf-8")
    assert said(tmp_path)["units"] is False
    (tmp_path / "units" / "airflow-triggerer.service").write_text("[Unit]\nX-ConfigChecksum=1\n", encoding="utf-8")
    assert said(tmp_path)["units"] is True


def test_a_host_without_the_database_has_no_schema(tmp_path: Path) -> None:
    assert said(tmp_path)["schema"] is False


def unit(root: Path, name: str, text: str = "[Service]\nX-ConfigChecksum=1\n") -> str:
    (root / "units").mkdir(exist_ok=True)
    (root / "units" / name).write_text(text, encoding="utf-8")
    return str(root / "units" / name)


def test_what_is_placed_leaves_nothing(tmp_path: Path) -> None:
    unit(tmp_path, "airflow-scheduler.service")
    # Somebody else's.
    unit(tmp_path, "airflow-worker@mine.service", "[Service]\n")
    found = said(tmp_path)
    assert (found["leaving"], found["record"]) == ([], NOTHING)


def test_units_of_ours_leave_without_a_record(tmp_path: Path) -> None:
    unit(tmp_path, "airflow-scheduler.service")
    paths = [unit(tmp_path, f"airflow-worker@{name}.service") for name in ("a", "b")]
    (tmp_path / "etc").mkdir()
    units = ["airflow-worker@a.service", "airflow-worker@b.service"]
    # What the scheduler has as well stays.
    assert said(tmp_path)["leaving"] == [{"component": "worker", "units": units, "paths": paths}]
    alone = said(tmp_path, placed=())["leaving"]
    assert [entry["component"] for entry in alone] == ["scheduler", "worker"]
    assert str(tmp_path / "etc") in alone[0]["paths"]


def test_what_the_record_knows_leaves_in_the_order_of_stopping(tmp_path: Path) -> None:
    unit(tmp_path, "airflow-scheduler.service")
    made = unit(tmp_path, "old.service", "[Service]\n")
    unit(tmp_path, "keepalived.service", "[Service]\n")
    components = known(str(tmp_path), "scheduler", "keepalived")
    components["flower"] = {"units": ["old.service"], "owns": [made, f"{tmp_path}/nothing"]}
    components["idle"] = {"units": [], "owns": []}
    record = {"components": components, "fixed": {"site_user": "airflow"}, "secrets": {"a": "b"}}
    (tmp_path / "placed.json").write_text(json.dumps(record), encoding="utf-8")
    found = said(tmp_path)
    assert found["record"] == record
    assert found["leaving"] == [
        {"component": "keepalived", "units": ["keepalived.service"], "paths": []},
        {"component": "flower", "units": ["old.service"], "paths": [made]},
        {"component": "idle", "units": [], "paths": []},
    ]


def test_a_template_is_no_unit_that_stops(tmp_path: Path) -> None:
    made = [unit(tmp_path, name, "[Service]\n") for name in ("web@.service", "web@a.service")]
    record = {"components": {"web": {"units": ["web@*.service"], "owns": made}}, "fixed": {}, "secrets": {}}
    (tmp_path / "placed.json").write_text(json.dumps(record), encoding="utf-8")
    assert said(tmp_path)["leaving"] == [{"component": "web", "units": ["web@a.service"], "paths": made}]


def test_a_timer_stops_with_the_last_component_that_has_it(tmp_path: Path) -> None:
    timer = unit(tmp_path, "web.timer", "[Timer]\n")
    components = known(str(tmp_path), "scheduler", "worker")
    for entry in components.values():
        entry["owns"] = [timer]
    (tmp_path / "placed.json").write_text(json.dumps({"components": components}), encoding="utf-8")
    alone = said(tmp_path, placed=())["leaving"]
    assert [(entry["units"], entry["paths"]) for entry in alone] == [(["web.timer"], [timer])] * 2


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"components": null}', '{"components": []}', '{"fixed": 3}'
    ],
)  # fmt: skip
def test_a_broken_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "placed.json").write_text(text, encoding="utf-8")
    found = said(tmp_path)
    assert (found["leaving"], found["record"]) == ([], NOTHING)


@pytest.mark.parametrize("entry", ["units", {"units": "ab", "owns": [1]}, None, {}])
def test_a_broken_entry_stops_nothing(tmp_path: Path, entry: Any) -> None:
    (tmp_path / "placed.json").write_text(json.dumps({"components": {"keepalived": entry}}), encoding="utf-8")
    assert said(tmp_path)["leaving"] == [{"component": "keepalived", "units": [], "paths": []}]


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("releases/3.2.2-0123456789ab", "3.2.2"),
        ("3.3.2", "3.3.2"),
        ("releases/somewhere-else", ""),
        ("releases/3.3.2-ab/venv", ""),
        ("/opt/airflow-2", ""),
    ],
)
def test_a_link_that_leads_elsewhere_is_no_release(tmp_path: Path, release: str, version: str) -> None:
    (tmp_path / "current").symlink_to(release)
    found = said(tmp_path)
    assert (found["release"], found["installed_version"]) == (release, version)


@pytest.mark.parametrize("python", ["/nowhere/python3", "/bin/false"])
def test_a_python_that_does_not_run_is_not_there(tmp_path: Path, python: str) -> None:
    assert said(tmp_path, python=python)["python"] == "not there"


def test_a_host_that_is_asked_for_its_clock_says_no_more(tmp_path: Path) -> None:
    before = time.time()
    found = run_module(tmp_path, "site_host_facts", {"now": before - 60})
    assert 60 <= found["clock_offset"] < 120
    empty = {name: found[name] for name in ("python", "drained", "secrets", "leaving", "open_ways", "units", "schema")}
    assert not any(empty.values()), empty


@pytest.mark.skipif(not shutil.which("apt-get"), reason="only Debian has apt")
def test_sources_of_packages_are_asked_where_a_component_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources.list").write_text("deb http://127.0.0.1:1/debian trixie main\n", encoding="utf-8")
    config = f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "-";\n'
    (tmp_path / "apt.conf").write_text(config, encoding="utf-8")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    asked = {"proxy": {}, "timeout": 2}
    assert len(said(tmp_path, sources=asked)["sources"]["silent"]) == 1
    components = known(str(tmp_path), "scheduler")
    (tmp_path / "placed.json").write_text(json.dumps({"components": components}), encoding="utf-8")
    assert said(tmp_path, sources=asked)["sources"]["silent"] == []
    assert said(tmp_path)["sources"] == {}


def test_a_record_that_others_can_have_written_is_none(tmp_path: Path) -> None:
    record = tmp_path / "placed.json"
    record.write_text(json.dumps({"components": {"keepalived": {"units": [], "owns": ["/etc/passwd"]}}}))
    record.chmod(0o644)
    assert [entry["paths"] for entry in said(tmp_path)["leaving"]] == [["/etc/passwd"]]
    record.chmod(0o666)
    assert said(tmp_path)["leaving"] == []
    record.chmod(0o644)
    tmp_path.chmod(0o777)
    assert said(tmp_path)["leaving"] == []
    tmp_path.chmod(0o700)
    moved = record.rename(tmp_path / "elsewhere.json")
    record.symlink_to(moved)
    assert said(tmp_path)["leaving"] == []


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    for name in ("drained", "fernet_key", "placed.json"):
        os.mkfifo(tmp_path / name)
    assert said(tmp_path)["drained"] == ""


def test_what_is_on_the_host_of_somebody_else_s_is_in_the_answer(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text(f"port 1\ndir {tmp_path}\n", encoding="utf-8")
    asked = {"redis": {"package": "redis-server", "configuration": f"{tmp_path}/redis.conf"}}
    found = said(tmp_path, stores=asked)["stores"]
    assert found["postgresql"] == {}
    assert found["redis"]["answers"] is False
