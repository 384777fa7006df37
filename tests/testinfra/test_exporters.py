"""Role exporters: what a host says of itself, and to whom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from airstrip_site import Site

PORT = 9999


@pytest.fixture(scope="module")
def base(site: Site, inventory_hostname: str) -> Iterator[str]:
    with site.tunnel(inventory_hostname, PORT) as port:
        yield f"http{'s' * site.is_shared}://127.0.0.1:{port}"


def ask(site: Site, url: str, token: str | None = None) -> requests.Response:
    given = {"Authorization": f"Bearer {token or site.secrets['exporters_token']}"}
    return requests.get(url, headers=given, verify=str(site.directory / ".certificates" / "ca.crt"), timeout=30)


def test_every_module_answers(site: Site, base: str, host: Any) -> None:
    listed = host.check_output("grep -oP '^  \\K[a-z]+(?=:)' /etc/airstrip/exporters/modules.yml").split()
    assert {"node", "process"} <= set(listed)
    for module in listed:
        result = ask(site, f"{base}/proxy?module={module}")
        assert result.status_code == 200, f"{module}: {result.text[:300]}"
        assert "# TYPE " in result.text


def test_nobody_gets_in_without_the_token(site: Site, base: str) -> None:
    for path in ("/proxy?module=node", "/metrics", "/"):
        assert ask(site, base + path, "wrong").status_code == 401
        assert requests.get(base + path, verify=False, timeout=30).status_code == 401  # noqa: S501 - nothing is sent


def test_exporters_listen_to_their_own_host_alone(host: Any) -> None:
    listening = host.check_output("ss --listening --tcp --numeric --no-header --processes")
    found = [line.split()[3] for line in listening.splitlines() if "prometheus-" in line and f":{PORT} " not in line]
    assert found
    assert all(address.startswith("127.0.0.1:") for address in found), found


def test_exporters_may_do_nothing_but_look(host: Any) -> None:
    for unit in ("prometheus-exporter-exporter", "prometheus-node-exporter", "prometheus-process-exporter"):
        said = host.check_output(f"systemctl show {unit} --property=User,NoNewPrivileges,CapabilityBoundingSet")
        assert "User=prometheus" in said
        assert "NoNewPrivileges=yes" in said
        assert "CapabilityBoundingSet=\n" in f"{said}\n"


def test_findings_are_told(site: Site, base: str) -> None:
    """Of the last minute and a half."""
    said = ask(site, f"{base}/proxy?module=node").text
    moment = next(line for line in said.splitlines() if line.startswith("airstrip_status_timestamp_seconds "))
    assert time.time() - float(moment.split()[1]) < 90
    assert "airstrip_host_drained 0" in said


def test_what_root_writes_for_them_is_roots(host: Any) -> None:
    for path in ("/var/lib/airstrip/textfile", "/var/lib/airstrip/textfile/airstrip.prom", "/etc/airstrip/exporters"):
        file = host.file(path)
        assert file.user == "root"
        assert file.mode & 0o022 == 0
