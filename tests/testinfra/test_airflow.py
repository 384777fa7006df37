"""Role airflow: what the components of a host have in common."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_site import PROJECT, Site
from airstrip_units import exposure, processes, properties, units

MAXIMUM_EXPOSURE = 1.3
# Properties that are called otherwise than their options.
SHOWN = {"CPUQuota": "CPUQuotaPerSecUSec"}
GROUPS_OF_UNITS = {
    "airflow-api-server": "airflow_api_server",
    "airflow-scheduler": "airflow_scheduler",
    "airflow-dag-processor": "airflow_dag_processor",
    "airflow-triggerer": "airflow_triggerer",
    "airflow-worker": "airflow_worker",
}


def has_metadata_credentials(site: Site, hostname: str) -> bool:
    """Whether a component of the host needs the metadata database."""
    return any(hostname in site.group(group) for group in GROUPS_OF_UNITS.values() if group != "airflow_worker")


def test_host_runs_its_components_and_no_others(host: Any, site: Site, inventory_hostname: str) -> None:
    expected = {unit for unit, group in GROUPS_OF_UNITS.items() if inventory_hostname in site.group(group)}
    assert {re.sub(r"(@.*)?\.service$", "", unit) for unit in units(host)} == expected
    for unit in units(host):
        assert host.service(unit).is_running
        assert host.service(unit).is_enabled


@pytest.mark.usefixtures("probe_dags")
@pytest.mark.parametrize(
    ("dag", "state", "text"),
    [("airstrip_sleep", "running", "airstrip: sleeps"), ("airstrip_defer", "deferred", "trigger")],
)
def test_log_is_there_while_a_task_runs_or_waits(airflow: Airflow, dag: str, state: str, text: str) -> None:
    run = airflow.start(dag, seconds=20)
    limit, log = time.monotonic() + 60, ""
    while text not in log:
        assert time.monotonic() < limit, log
        time.sleep(0.5)
        (task,) = airflow.tasks(dag, run)
        log = airflow.log(dag, run, task) if task["state"] == state else ""
    # Wherever it comes from: nothing has failed on the way.
    assert "Could not read" not in log
    assert airflow.wait(dag, run) == "success"


def test_units_are_hardened(host: Any, record_property: Any) -> None:
    levels = {unit: exposure(host, unit) for unit in units(host)}
    for unit, level in levels.items():
        record_property(unit, level)
    assert levels
    assert max(levels.values()) <= MAXIMUM_EXPOSURE, levels


def test_systemd_finds_no_fault_in_the_units(host: Any) -> None:
    for unit in units(host):
        checked = host.run(f"systemd-analyze verify '/etc/systemd/system/{unit}'")
        ours = [line for line in (checked.stdout + checked.stderr).splitlines() if "airflow" in line]
        assert (checked.rc, ours) == (0, []), unit


def test_units_come_back_however_often_they_fail(host: Any) -> None:
    for unit in units(host):
        shown = properties(host, unit, "Restart", "StartLimitIntervalUSec", "RestartUSec", "KillMode", "KillSignal")
        assert shown == {
            "Restart": "always", "StartLimitIntervalUSec": "0", "RestartUSec": "5s", "KillMode": "mixed",
            "KillSignal": "15",
        }, unit  # fmt: skip


def test_units_have_the_limits_that_were_set(host: Any, site: Site, inventory_hostname: str) -> None:
    limits = site.inventory["_meta"]["hostvars"][inventory_hostname].get("airflow_resource_limits", {})
    wanted = {
        unit: limits.get(re.sub(r"(@.*)?\.service$", "", unit).removeprefix("airflow-").replace("-", "_"), {})
        for unit in units(host)
    }
    assert any(wanted.values()) == (site.scenario == "single_node_bookworm")
    memory = 1024 * int(host.check_output("sed -n 's/^MemTotal: *\\([0-9]*\\) kB$/\\1/p' /proc/meminfo"))
    for unit, options in wanted.items():
        expected = {SHOWN.get(name, name): in_units_of_systemd(str(value)) for name, value in options.items()}
        found = properties(host, unit, "MemoryMax", "MemoryHigh", "CPUQuotaPerSecUSec", "TasksMax")
        # systemd 252 writes 1.500000s where 257 writes 1.5s.
        found = {name: re.sub(r"(\.\d*?)0+s$", r"\1s", value) for name, value in found.items()}
        assert {name: found[name] for name in expected} == expected, unit
        # What the others leave, else.
        assert "MemoryMax" in options or 0.2 * memory < int(found["MemoryMax"]) < memory


def in_units_of_systemd(value: str) -> str:
    """Return a limit as `systemctl show` prints it: bytes, and seconds of a processor per second."""
    if value.endswith("%"):
        return f"{int(value[:-1]) / 100:g}s"
    factor = {"G": 2**30, "M": 2**20, "K": 2**10}.get(value[-1])
    return str(int(value[:-1]) * factor) if factor else value


def test_processes_have_no_privileges(host: Any) -> None:
    for unit in units(host):
        for process in processes(host, unit):
            status = host.run(f"cat /proc/{process}/status")
            if status.rc != 0:
                continue
            for name, value in (
                ("Uid", "50000"),
                ("CapEff", "0000000000000000"),
                ("NoNewPrivs", "1"),
                ("Seccomp", "2"),
            ):
                found = re.search(rf"^{name}:\s+(\S+)", status.stdout, flags=re.MULTILINE)
                assert found is not None
                assert found[1] == value, f"{name} of {process} in {unit}"


@pytest.mark.parametrize(
    ("path", "owner", "group", "mode"),
    [
        ("/etc/airflow", "root", "airflow", 0o750),
        ("/etc/airflow/airflow.cfg", "root", "airflow", 0o640),
        ("/etc/airflow/environment", "root", "airflow", 0o640),
        ("/etc/airflow/credentials", "root", "root", 0o700),
        ("/etc/airflow/webserver_config.py", "root", "airflow", 0o640),
        ("/usr/local/bin/airflow", "root", "root", 0o755),
        ("/var/lib/airflow", "root", "airflow", 0o750),
        ("/var/lib/airflow/config", "root", "airflow", 0o750),
    ],
)
def test_files_belong_to_root(host: Any, path: str, owner: str, group: str, mode: int) -> None:
    found = host.file(path)
    assert (found.user, found.group, found.mode) == (owner, group, mode)


@pytest.mark.only_in("distributed")
def test_tasks_trust_the_authorities_of_system_and_site(host: Any, site: Site) -> None:
    assert site.ca_certificate is not None
    bundle = host.file("/etc/airflow/ca-bundle.crt")
    assert (bundle.user, bundle.group, bundle.mode) == ("root", "root", 0o644)
    own = site.ca_certificate.read_text(encoding="utf-8").strip()
    system = host.file("/etc/ssl/certs/ca-certificates.crt").content_string
    assert bundle.content_string.strip() == f"{system.strip()}\n{own}"


def test_credentials_are_roots_alone(host: Any, site: Site, inventory_hostname: str) -> None:
    listed = host.check_output("find /etc/airflow/credentials -type f -printf '%f %u %m\\n'").splitlines()
    assert listed
    assert {line.split(" ", 1)[1] for line in listed} == {"root 600"}
    names = {line.split()[0] for line in listed}
    assert ("database_url" in names) == has_metadata_credentials(site, inventory_hostname)


def test_command_works_where_there_are_credentials(host: Any, site: Site, inventory_hostname: str) -> None:
    result = host.run("airflow dags list --output json")
    if has_metadata_credentials(site, inventory_hostname):
        assert result.rc == 0, result.stderr
        assert "airstrip_smoke_test" in result.stdout
        # The exit code is the command's own.
        assert host.run("airflow dags details there_is_no_such_dag").rc not in {0, 203}
    else:
        assert result.rc == 1
        assert "no credentials for the metadata database" in result.stderr
        assert host.run("airflow version").rc == 0


def test_command_asks_for_root(host: Any) -> None:
    result = host.run("setpriv --reuid=airflow --regid=airflow --clear-groups airflow version")
    assert result.rc == 1
    assert "sudo airflow version" in result.stderr


def where_secrets_must_not_be(host: Any) -> dict[str, str]:
    """Return all texts of a host in which a reader without privileges, or of logs, might find a secret."""
    texts = {
        "configuration": host.check_output("cat /etc/airflow/airflow.cfg /etc/airflow/environment"),
        "units": host.check_output("cat /etc/systemd/system/airflow*"),
        "command lines": host.check_output("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"),
        "journal": host.check_output("journalctl --no-pager --output=cat --boot"),
        "release": host.check_output("cat /opt/airflow/releases/*/requirements.in /usr/local/bin/airflow*"),
        "task logs": host.check_output(
            "find /var/log/airflow /srv/airflow/logs -type f -exec cat {} + 2>/dev/null || true"
        ),
    }
    for unit in units(host):
        texts[f"systemctl show {unit}"] = host.check_output(f"systemctl show '{unit}'")
        for process in processes(host, unit):
            texts[f"environment of {process} in {unit}"] = host.run(f"tr '\\0' '\\n' </proc/{process}/environ").stdout
    return texts


def test_secrets_are_nowhere_to_be_read(host: Any, site: Site) -> None:
    texts = where_secrets_must_not_be(host)
    log = PROJECT / ".cache" / "test" / f"{site.scenario}.log"
    texts["Ansible's output"] = log.read_text(encoding="utf-8") if log.exists() else ""
    assert all(texts[name] for name in ("configuration", "units", "command lines", "journal"))
    # Names only: the message of a failed assertion is read by everybody.
    leaks = [
        f"{name} in {place}" for place, text in texts.items() for name, value in site.secrets.items() if value in text
    ]
    assert leaks == []


def test_secret_scan_would_find_a_secret(host: Any, site: Site) -> None:
    credentials = host.check_output("cat /etc/airflow/credentials/*")
    assert any(value in credentials for value in site.secrets.values())


def test_options_reach_airflow(host: Any) -> None:
    """What Airflow itself takes for its configuration, and not only what stands in the file."""
    wanted = {
        "load_examples": "False",
        "auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    }
    for option, value in wanted.items():
        assert host.check_output(f"airflow config get-value core {option}").splitlines()[-1] == value


CLEANUP = "airstrip-cleanup.service"
PLANT = r"""
set -eu
logs=$1/dag_id=airstrip-test bundle=$2/airstrip-test tracking=$2/_tracking/airstrip-test
as="setpriv --reuid=airflow --regid=airflow --clear-groups"
$as mkdir --parents "$logs/old" "$logs/young" "$logs/open" "$bundle/versions" "$tracking"
for log in old young open; do $as sh -c 'echo airstrip >"$1"' sh "$logs/$log/attempt=1.log"; done
# What a task could put there, and what is not its own.
$as ln --symbolic /etc/passwd "$logs/young/link"
$as ln --symbolic /etc "$logs/young/directory"
$as mkfifo "$logs/young/pipe"
echo root >"$logs/young/root"
for version in old used newest; do
    $as mkdir "$bundle/versions/$version"
    $as sh -c 'echo >"$1"' sh "$bundle/versions/$version/dag.py"
    $as sh -c 'echo >"$1"' sh "$tracking/$version"
done
find "$logs"/* -exec touch --no-dereference --date='-60 days' {} +
touch --date='-29 days' "$logs/young/attempt=1.log"
find "$bundle/versions"/* "$tracking/old" "$tracking/used" -exec touch --date='-3 days' {} +
# A task that runs, of which nothing else tells.
task='exec flock --no-fork --shared "$2" sleep 66 >>"$1" 2>&1'
$as sh -c "$task" sh "$logs/open/attempt=1.log" "$tracking/used" &
until flock --nonblock --conflict-exit-code=0 "$tracking/used" false; do sleep 0.02; done
touch --date='-60 days' "$logs/open/attempt=1.log"
"""


@pytest.fixture
def planted(host: Any) -> Iterator[tuple[str, str]]:
    """Logs and versions of a bundle, old and young, used and not: their directories."""
    logs = host.check_output("sed -n 's/^base_log_folder = //p' /etc/airflow/airflow.cfg")
    unit = host.check_output("find /var/lib/airflow -mindepth 1 -maxdepth 1 -user airflow | sort | head -n 1")
    try:
        host.check_output(f"bash -c {shlex.quote(PLANT)} plant {logs} {unit}/bundles")
        yield f"{logs}/dag_id=airstrip-test", f"{unit}/bundles/airstrip-test/versions"
    finally:
        host.run("pkill --uid airflow --exact --full 'sleep 66'")
        host.check_output(
            f"rm -rf {logs}/dag_id=airstrip-test {unit}/bundles/airstrip-test"
            f" {unit}/bundles/_tracking/airstrip-test {unit}/bundles/_locks/airstrip-test.lock"
        )


def test_old_logs_and_versions_go_by_themselves(host: Any, planted: tuple[str, str]) -> None:
    timer = host.service("airstrip-cleanup.timer")
    assert timer.is_enabled
    assert timer.is_running
    logs, versions = planted
    host.check_output(f"systemctl start {CLEANUP}")
    left = host.check_output(f"cd {logs} && find . -not -type d | sort").split()
    assert left == ["./open/attempt=1.log", "./young/attempt=1.log", "./young/root"]
    assert host.run(f"test -e {logs}/old").rc == 1
    assert host.check_output("head -c 5 /etc/passwd") == "root:"
    assert host.check_output(f"ls {versions}").split() == ["newest", "used"]
    journal = host.check_output(f"journalctl --no-pager --output=cat --unit={CLEANUP} --lines=9")
    assert re.search(r"removed \d+ files \(\d+\.\d MB\), \d+ directories and \d+ versions of bundles", journal)


def test_cleanup_is_hardened(host: Any) -> None:
    assert exposure(host, CLEANUP) <= MAXIMUM_EXPOSURE
