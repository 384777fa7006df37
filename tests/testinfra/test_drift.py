"""What is changed by hand on a host is as it was after the next run."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import testinfra
from airstrip_site import Site

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
    " /etc/valkey/server.crt /etc/valkey/server.key /etc/postgresql/*/main/server.crt /etc/postgresql/*/main/server.key"
    " /etc/postgresql/*/main/pg_hba.conf"
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
