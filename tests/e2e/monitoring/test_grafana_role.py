"""The role grafana, as far as it can be tried without Grafana: with a package that has its unit, and no more.

Its program reads, as the user and in the unit of Grafana's package, what Grafana would read, and says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import testinfra
import yaml
from airstrip_site import PROJECT, Site

SECRETS = {"admin_password": "secret-admin", "secret_key": "secret-key", "oidc": "secret-oidc"}
VARIABLES: dict[str, Any] = {
    "grafana_admin_password": SECRETS["admin_password"],
    "grafana_secret_key": SECRETS["secret_key"],
    "grafana_secret_files": [{"name": "oidc", "password": SECRETS["oidc"]}],
    "grafana_prometheus_servers": [
        {"name": "Prometheus", "url": "https://127.0.0.1:9090", "user": "viewer", "password": "secret-viewer"}
    ],
}
PLAY = [{"hosts": "monitoring", "any_errors_fatal": True, "roles": [{"role": "grafana"}]}]
READER = """#!/usr/bin/python3
import configparser, glob, hashlib, json, os, time
ini = configparser.ConfigParser(interpolation=None)
ini.read_file(open("/etc/grafana/grafana.ini"))
held = os.environ["CREDENTIALS_DIRECTORY"]
print(json.dumps({
    "address": ini["server"]["http_addr"],
    "anonymous": ini["auth.anonymous"]["enabled"],
    "dashboards": sorted(json.load(open(path))["uid"] for path in glob.glob("/etc/grafana/dashboards/*.json")),
    "sources": "secret-viewer" in open("/etc/grafana/provisioning/datasources/datasources.yaml").read(),
    "secrets": {name: hashlib.sha256(open(f"{held}/{name}", "rb").read()).hexdigest() for name in os.listdir(held)},
    "directory": held,
}), flush=True)
time.sleep(10**9)
"""
UNIT = """[Service]
User=grafana
Group=grafana
ExecStart=/usr/bin/grafana-reader
[Install]
WantedBy=multi-user.target
"""
CONTROL = """Package: grafana
Version: 0.0.1
Architecture: all
Maintainer: Airstrip <airstrip@example.com>
Depends: python3, adduser
Description: reads what Grafana would read
"""
INSTALLED = """#!/bin/sh
set -e
getent group grafana >/dev/null || addgroup --system grafana
getent passwd grafana >/dev/null || adduser --system --ingroup grafana --no-create-home grafana
mkdir -p /etc/grafana/provisioning/datasources /etc/grafana/provisioning/dashboards
chown -R root:grafana /etc/grafana
"""
PLACES = ("/etc/grafana", "/etc/systemd/system/grafana-server.service.d", "/var/cache/airstrip/grafana.deb")


def archive(files: dict[str, tuple[str, int]]) -> bytes:
    """Return a tar archive of files by path, with their texts and modes; all are root's."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for path, (text, mode) in files.items():
            entry = tarfile.TarInfo(f"./{path}")
            entry.size, entry.mode = len(text), mode
            tar.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


def write_package(path: Path) -> str:
    """Write the package, in the format of deb(5); return its SHA-256."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": archive({"control": (CONTROL, 0o644), "postinst": (INSTALLED, 0o755)}),
        "data.tar.gz": archive(
            {
                "usr/bin/grafana-reader": (READER, 0o755),
                "usr/lib/systemd/system/grafana-server.service": (UNIT, 0o644),
            }
        ),
    }
    whole = b"!<arch>\n"
    for name, content in members.items():
        whole += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        whole += b"\n" * (len(content) % 2)
    path.write_bytes(whole)
    return hashlib.sha256(whole).hexdigest()


@pytest.fixture(scope="module")
def monitor(site: Site) -> Any:
    """The first monitoring host, as root."""
    return testinfra.get_host(site.connection(site.group("monitoring")[0]))


class Trial:
    """The role on the monitoring hosts, with variables of the test's."""

    def __init__(self, site: Site, directory: Path) -> None:
        self._site, self._directory = site, directory
        package = directory / "grafana.deb"
        self.package = {"grafana_package_file": str(package), "grafana_package_checksum": write_package(package)}
        (directory / "play.yml").write_text(yaml.safe_dump(PLAY), encoding="utf-8")

    def run(self, variables: dict[str, Any], *options: str) -> CompletedProcess[str]:
        path = self._directory / "variables.json"
        path.write_text(json.dumps(VARIABLES | variables), encoding="utf-8")
        return self._site.command(
            "ansible-playbook", str(self._directory / "play.yml"), "-e", f"@{path}", "--diff", *options
        )

    def changed(self, variables: dict[str, Any], *options: str) -> int:
        """Return how many tasks have changed something; all have to succeed, and to show no secret."""
        result = self.run(variables, *options)
        said = result.stdout + result.stderr
        assert result.returncode == 0, said
        assert "secret-" not in said
        return sum(map(int, re.findall(r"changed=(\d+)", result.stdout)))


@pytest.fixture(scope="module")
def trial(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    yield Trial(site, tmp_path_factory.mktemp("grafana"))
    for name in site.group("monitoring"):
        host = testinfra.get_host(site.connection(name))
        host.run("systemctl disable --now grafana-server; apt-get purge -qq --yes grafana")
        host.check_output("rm -rf %s %s %s && systemctl daemon-reload", *PLACES)


def places(monitor: Any) -> list[str]:
    return [place for place in PLACES if monitor.file(place).exists]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "grafana_repository: no distribution has Grafana"),
        ({"grafana_repository": "https://apt.example.com"}, "grafana_repository: no distribution has Grafana"),
        ({"grafana_listen_address": "192.0.2.1"}, "192.0.2.1 is not of the loopback: set grafana_tls_enabled"),
        ({"grafana_package_checksum": 64 * "0"}, "and not the one of grafana_package_checksum"),
        ({"grafana_package_file": "/nowhere/grafana.deb"}, "/nowhere/grafana.deb is not there"),
    ],
)
def test_what_cannot_be_installed_is_refused(variables: dict[str, Any], said: str, trial: Trial, monitor: Any) -> None:
    package = trial.package if any(name.startswith("grafana_package") for name in variables) else {}
    result = trial.run({**package, **variables})
    assert result.returncode != 0
    assert said in " ".join((result.stdout + result.stderr).split())
    assert places(monitor) == []


def test_check_mode_works_on_a_bare_host_and_changes_nothing(trial: Trial, monitor: Any) -> None:
    assert trial.changed(trial.package, "--check") > 0
    assert places(monitor) == []
    assert not monitor.package("grafana").is_installed


def test_the_server_has_what_it_needs_and_nobody_else(trial: Trial, monitor: Any) -> None:
    assert trial.changed(trial.package) > 0
    assert monitor.service("grafana-server").is_running
    assert monitor.service("grafana-server").is_enabled
    said = json.loads(monitor.check_output("journalctl -u grafana-server -o cat -g '^{' -n 1"))
    files = (PROJECT / "roles" / "grafana" / "files" / "dashboards").glob("*.json")
    assert said == {
        "address": "127.0.0.1",
        "anonymous": "false",
        "dashboards": sorted(f"airstrip-{path.stem}" for path in files),
        "sources": True,
        "secrets": {name: hashlib.sha256(value.encode()).hexdigest() for name, value in SECRETS.items()},
        # As the settings name it.
        "directory": "/run/credentials/grafana-server.service",
    }
    for path in ("grafana.ini", "provisioning/datasources/datasources.yaml", "credentials/admin_password"):
        assert monitor.run("runuser -u nobody -- cat /etc/grafana/%s", path).failed
    assert monitor.run("runuser -u grafana -- cat /etc/grafana/credentials/admin_password").failed


def test_a_second_run_changes_nothing(trial: Trial) -> None:
    assert trial.changed(trial.package) == 0
    assert trial.changed(trial.package, "--check") == 0


def test_a_change_is_read(trial: Trial, monitor: Any) -> None:
    assert trial.changed({**trial.package, "grafana_settings": {"server": {"http_addr": "127.0.0.2"}}}) > 0
    said = json.loads(monitor.check_output("journalctl -u grafana-server -o cat -g '^{' -n 1"))
    assert said["address"] == "127.0.0.2"
