"""Fixtures of the tests of programs beside Airflow."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site

# Asks a URL of a host's own, and prints status and text: the test hosts have no curl.
_ASK = """
import sys, urllib.error, urllib.request
method, url, body = sys.argv[1:]
request = urllib.request.Request(url, data=body.encode() or None, method=method)
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
except OSError as error:
    print(0, error)
"""

Ask = Callable[..., tuple[int, str]]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def apps(site: Site) -> Any:
    """The host of the apps, as root."""
    return testinfra.get_host(site.connection("apps-1"))


@pytest.fixture(scope="session")
def airflow(site: Site) -> Airflow:
    """Airflow's API, as the first administrator."""
    authority = site.directory / ".certificates" / "ca.crt"
    return Airflow(f"https://{site.address('node-1')}", "admin", site.secrets["airflow_admin_password"], authority)


def _ask(host: Any, method: str, url: str, body: str = "") -> tuple[int, str]:
    # Testinfra quotes what stands for %s.
    text = host.check_output("python3 -c %s %s %s %s", _ASK, method, url, body)
    status, _, answer = text.partition(" ")
    return int(status), answer


@pytest.fixture(scope="session")
def ask(apps: Any) -> Ask:
    """Ask a port of the host of the apps from itself: method, port and path, body."""

    def asked(method: str, port: int, path: str, body: Any = None) -> tuple[int, str]:
        return _ask(apps, method, f"http://127.0.0.1:{port}{path}", "" if body is None else json.dumps(body))

    return asked


@pytest.fixture(scope="session")
def ask_from(site: Site) -> Ask:
    """Ask a URL from a host of the site."""

    def asked(hostname: str, method: str, url: str, body: str = "") -> tuple[int, str]:
        return _ask(testinfra.get_host(site.connection(hostname)), method, url, body)

    return asked


@pytest.fixture(scope="session")
def declared(site: Site) -> list[dict[str, Any]]:
    """The apps of the scenario."""
    found: list[dict[str, Any]] = site.variable("apps-1", "site_app_workers")
    return found


@pytest.fixture
def apply(site: Site, tmp_path: Path) -> Run:
    """Run site.yml with other variables, with the tags that a test names."""

    def run(*arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "variables.json"
        file.write_text(json.dumps(variables))
        return site.command("ansible-playbook", "site.yml", "--extra-vars", f"@{file}", *arguments)

    return run
