"""Role certificates: what it has made on the controller, and what has come of it to the hosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airstrip_site import Site
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

SERVICES = ("postgresql", "redis", "load_balancer", "api_server")


def issued(site: Site) -> dict[str, x509.Certificate]:
    """Return the certificates on the controller by the name of their file."""
    found = sorted((site.directory / ".certificates").glob("*.crt"))
    return {path.stem: x509.load_pem_x509_certificate(path.read_bytes()) for path in found}


def wanted(site: Site) -> set[str]:
    """Return the names of those that a site has; none for a host that is alone."""
    groups = {name: f"airflow_{name}" if name == "api_server" else name for name in SERVICES}
    services = {f"{name}-{host}" for name, group in groups.items() for host in site.group(group)}
    return {"ca", *services} if site.is_shared else set()


def test_each_service_of_several_hosts_has_one(site: Site) -> None:
    assert set(issued(site)) == wanted(site)
    keys = {name for name in site.secrets if name == "airflow_ca_key" or name.startswith("certificate_key_")}
    assert len(keys) == len(wanted(site))


@pytest.mark.only_in("distributed")
def test_authority_signs_servers_and_no_other_authority(site: Site) -> None:
    constraints = issued(site)["ca"].extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


@pytest.mark.only_in("distributed")
def test_certificates_are_the_authoritys_and_belong_to_their_keys(site: Site) -> None:
    certificates = issued(site)
    authority = certificates.pop("ca")
    for name, certificate in certificates.items():
        certificate.verify_directly_issued_by(authority)
        service, _, hostname = name.partition("-")
        key: Any = load_pem_private_key(site.secrets[f"certificate_key_{service}_{hostname}"].encode(), None)
        assert key.public_key() == certificate.public_key()
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        assert timedelta(days=364) < left < timedelta(days=366)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
        assert {site.address(hostname), "127.0.0.1"} <= addresses
        assert hostname in names.get_values_for_type(x509.DNSName)
        assert (site.virtual_address in addresses) == (hostname in site.group("load_balancer"))


def test_authoritys_key_is_on_no_host(host: Any, site: Site) -> None:
    paths = host.run("grep --recursive --files-with-matches -e '-----BEGIN .*PRIVATE KEY-----' /etc").stdout.split()
    # Names only: a failed assertion is read by everybody.
    key = site.secrets.get("airflow_ca_key", "none")
    assert [path for path in paths if key.strip() in host.file(path).content_string] == []


def test_nothing_secret_is_among_them(site: Site) -> None:
    directory: Path = site.directory / ".certificates"
    assert [path for path in directory.glob("*") if b"PRIVATE" in path.read_bytes()] == []
