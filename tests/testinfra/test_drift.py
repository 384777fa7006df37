"""What is changed by hand on a host is as it was after the next run."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import testinfra
from airstrip_site import Site
from airstrip_units import properties

# Directories with files of ours that say so in their first line, and those where all files are ours.
MARKED = "/etc /usr/local/bin"
OURS = "/etc/airflow/credentials /etc/redis/users.acl /usr/local/share/airflow/smoke_test"
DIRECTORIES = (
    "/etc/airflow",
    "/etc/airflow/credentials",
    "/etc/uv",
    "/srv/airflow/dags",
    "/usr/local/share/airflow/smoke_test",
    "/var/lib/airflow",
    "/var/lib/airflow/scheduler",
    "/var/lib/airflow/worker-default",
    "/var/log/airflow",
)
LINK = "/opt/airflow/current"
# Files of ours on a load balancer, and those of TLS on a host of database and broker.
EDGE = (
    "/etc/haproxy/haproxy.cfg /etc/haproxy/tls /etc/keepalived/keepalived.conf /usr/local/libexec/keepalived"
    " /etc/redis/server.crt /etc/redis/server.key /etc/valkey/server.crt /etc/valkey/server.key"
    " /etc/postgresql/*/main/server.crt /etc/postgresql/*/main/server.key /etc/postgresql/*/main/pg_hba.conf"
)

# What happens to the files, in turn.
DAMAGES = (
    "printf '# by hand' >>{path}",
    "chown nobody {path} && chmod 0777 {path}",
    "rm {path}",
)


def state(host: Any, paths: list[str]) -> dict[str, str]:
    """Return kind, owner, group, mode, and target or content of each path. A missing one has none."""
    quoted = " ".join(map(shlex.quote, paths))
    attributes = host.run(f"stat --format '%n|%F|%U|%G|%a|%N' {quoted}").stdout.splitlines()
    sums = host.run(f"sha256sum {quoted} 2>/dev/null").stdout.splitlines()
    contents = {path: digest for digest, path in (line.split("  ", 1) for line in sums)}
    return {path: f"{rest}|{contents.get(path)}" for path, rest in (line.split("|", 1) for line in attributes)}


def managed_files(host: Any) -> list[str]:
    """Return the files that site.yml keeps on a host."""
    marked = host.check_output(f"grep --recursive --files-with-matches --max-count=1 'Ansible managed' {MARKED}")
    found: str = marked + "\n" + host.check_output(f"find {OURS} -type f -not -path '*/__pycache__/*'")
    return sorted(found.split())


def damage(host: Any, files: list[str]) -> None:
    """Change files by hand, each in one of the ways."""
    for number, path in enumerate(files):
        host.check_output(DAMAGES[number % len(DAMAGES)].format(path=shlex.quote(path)))


def as_user(host: Any, user: str, script: str) -> Any:
    """Run a script as a user of the host."""
    return host.run(f"setpriv --reuid={user} --regid={user} --init-groups sh -c {shlex.quote(script)}")


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, str | None]:
    """Return what is not as it was."""
    return {path: after.get(path) for path in before if after.get(path) != before[path]}


@pytest.mark.only_in("single_node")
def test_what_is_changed_by_hand_is_mended(host: Any, site: Site) -> None:
    files = managed_files(host)
    units = [path for path in files if path.startswith("/etc/systemd/system/airflow-")]
    assert len(units) == 5
    assert {"/etc/airflow/airflow.cfg", "/etc/airflow/credentials/jwt_secret", "/etc/pip.conf"} <= set(files)
    assert [path for path in files if "postgresql" in path]
    assert [path for path in files if "redis" in path]
    before = state(host, [*files, *DIRECTORIES, LINK])
    damage(host, files)
    for path in DIRECTORIES:
        host.check_output(f"chown daemon:daemon {path} && chmod 0711 {path}")
    host.check_output(f"ln --symbolic --force --no-dereference /nowhere {LINK}")
    damaged = state(host, [*files, *DIRECTORIES, LINK])
    assert [path for path in before if damaged.get(path) == before[path]] == []

    result = site.command("ansible-playbook", "site.yml")
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    mended = state(host, [*files, *DIRECTORIES, LINK])
    assert differences(before, mended) == {}


# As the service's user, in the directory of its configuration: other names for what is root's.
PLANTED = """
set -e
cd {directory}
rm {file}
ln -s /etc/proof/file {file}
"""
LED_ASTRAY = "cd {directory} && mv conf.d kept && ln -s /etc/proof conf.d"
PUT_BACK = "cd {directory} && rm conf.d && mv kept conf.d"


def since(host: Any, unit: str) -> int:
    """Return when systemd has started or reloaded a unit last, in microseconds of the host's uptime."""
    return int(properties(host, unit, "StateChangeTimestampMonotonic")["StateChangeTimestampMonotonic"])


@pytest.mark.only_in("single_node_bookworm")
def test_services_read_what_a_killed_run_has_written(host: Any, site: Site) -> None:
    cluster = host.check_output("ls -d /etc/postgresql/*/main")
    files = {
        f"postgresql@{cluster.split('/')[3]}-main.service": f"{cluster}/pg_hba.conf",
        "redis-server.service": "/etc/redis/users.acl",
        "haproxy.service": "/etc/haproxy/haproxy.cfg",
    }
    before = {unit: since(host, unit) for unit in files}
    # As if the run had been killed between the file and its handler.
    host.check_output(f"touch {' '.join(files.values())}")
    tags = ("--tags", "postgresql,redis,haproxy")
    result = site.command("ansible-playbook", "site.yml", *tags)
    assert result.returncode == 0, result.stdout[-4000:]
    assert [unit for unit in files if since(host, unit) <= before[unit]] == []
    again = site.command("ansible-playbook", "site.yml", *tags)
    assert re.findall(r"changed=(\d+)", again.stdout) == ["0"], again.stdout[-4000:]


@pytest.mark.only_in("single_node")
def test_users_of_services_lead_root_nowhere(host: Any, site: Site) -> None:
    cluster = host.check_output("ls -d /etc/postgresql/*/main")
    files = {"postgres": (cluster, "pg_hba.conf"), "redis": ("/etc/redis", "users.acl")}
    host.check_output("install -d /etc/proof && echo root >/etc/proof/file")
    # As its package leaves it.
    host.check_output("chown redis:redis /etc/redis && chmod 2770 /etc/redis")
    ours = [f"{directory}/{file}" for directory, file in files.values()]
    try:
        before = state(host, ["/etc/proof", "/etc/proof/file"])
        for user, (directory, file) in files.items():
            assert as_user(host, user, PLANTED.format(directory=directory, file=file)).rc == 0
        result = site.command("ansible-playbook", "site.yml", "--tags", "postgresql,redis")
        assert result.returncode == 0, result.stdout[-8000:] + result.stderr
        assert differences(before, state(host, list(before))) == {}
        assert [path for path in ours if host.check_output(f"stat -c %F {path}") != "regular file"] == []
        assert as_user(host, "redis", PLANTED.format(directory="/etc/redis", file="users.acl")).rc != 0

        assert as_user(host, "postgres", LED_ASTRAY.format(directory=cluster)).rc == 0
        result = site.command("ansible-playbook", "site.yml", "--tags", "postgresql")
        assert result.returncode != 0
        assert f"{cluster}/conf.d/airstrip.conf: Permission denied" in result.stdout
        assert differences(before, state(host, list(before))) == {}
        assert host.check_output("find /etc/proof") == "/etc/proof\n/etc/proof/file"
    finally:
        as_user(host, "postgres", PUT_BACK.format(directory=cluster))
        host.check_output("rm -r /etc/proof")
    result = site.command("ansible-playbook", "site.yml", "--tags", "postgresql,redis")
    assert "changed=0 " in result.stdout, result.stdout[-8000:] + result.stderr


@pytest.mark.only_in("distributed")
def test_what_is_changed_by_hand_of_tls_and_load_balancers_is_mended(site: Site) -> None:
    hosts = {
        name: testinfra.get_host(site.connection(name))
        for name in (site.group("load_balancer")[0], site.group("postgresql")[0])
    }
    files = {name: host.check_output(f"find {EDGE} -type f 2>/dev/null; true").split() for name, host in hosts.items()}
    assert sum(map(len, files.values())) >= 10
    before = {name: state(host, files[name]) for name, host in hosts.items()}
    for name, host in hosts.items():
        damage(host, files[name])
        assert set(differences(before[name], state(host, files[name]))) == set(files[name])
    result = site.command("ansible-playbook", "site.yml", "--tags", "haproxy,keepalived,postgresql,redis")
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    assert {name: differences(before[name], state(host, files[name])) for name, host in hosts.items()} == {
        name: {} for name in hosts
    }
