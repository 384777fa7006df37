"""Role base: the user, the authorities and the time of a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airstrip_site import PROJECT, Site

# As in the role's defaults, which no scenario changes.
UID = 50000
GID = 50000
# As .config/molecule/config.yml has it.
AUTHORITIES = [*Path("/usr/local/share/ca-certificates").glob("*.crt"), PROJECT / "molecule/shared/test-authority.crt"]


def test_user_has_the_same_ids_everywhere(host: Any) -> None:
    user = host.user("airflow")
    assert (user.uid, user.gid, user.group) == (UID, GID, "airflow")


def test_user_cannot_log_in(host: Any) -> None:
    assert host.user("airflow").shell == "/usr/sbin/nologin"
    assert host.check_output("getent shadow airflow").split(":")[1] in {"!", "!!", "*"}


def test_extra_authorities_are_trusted(host: Any) -> None:
    for certificate in AUTHORITIES:
        installed = host.file(f"/usr/local/share/ca-certificates/airstrip/{certificate.name}")
        assert installed.content_string.strip() == certificate.read_text(encoding="utf-8").strip()
        # The bundle has each certificate's body as it stands in its file.
        body = certificate.read_text(encoding="utf-8").split("-----")[2].strip()
        assert body in host.file("/etc/ssl/certs/ca-certificates.crt").content_string


@pytest.mark.only_in("distributed")
def test_the_sites_own_authority_is_none_of_the_systems(host: Any, site: Site) -> None:
    assert site.ca_certificate is not None
    body = site.ca_certificate.read_text(encoding="utf-8").split("-----")[2].strip()
    assert body not in host.file("/etc/ssl/certs/ca-certificates.crt").content_string
    assert (
        host.check_output("find /etc/ssl/certs /usr/local/share/ca-certificates -name 'airstrip*' -not -type d") == ""
    )


def test_containers_keep_their_machines_clock(host: Any) -> None:
    assert host.check_output("systemd-detect-virt --container || true") != "none"
    assert not host.package("chrony").is_installed


@pytest.mark.only_in("distributed")
def test_hosts_know_each_other_by_name(host: Any, site: Site, inventory_hostname: str) -> None:
    assert len(site.hosts) > 1
    # Its own name is the system's business: 127.0.1.1, mostly.
    for name in set(site.hosts) - {inventory_hostname}:
        assert host.check_output(f"getent -s files ahostsv4 {name}").split()[0] == site.address(name)


def test_the_journal_has_bounds_that_are_read(host: Any) -> None:
    path = "/etc/systemd/journald.conf.d/50-airstrip.conf"
    bounds = host.check_output("systemd-analyze cat-config systemd/journald.conf").splitlines()
    assert {"SystemMaxUse=2048M", "MaxRetentionSec=30day"} <= set(bounds)
    started = host.check_output('date --date="$(systemctl show -P ActiveEnterTimestamp systemd-journald)" +%s')
    assert int(started) >= int(host.check_output(f"stat --format=%Y {path}"))
    assert host.check_output("journalctl --no-pager --lines=1 --output=cat")
