"""How the wiring of an inventory reaches a database and a broker, inside and outside of it."""

from typing import Any

import pytest
from airstrip_render import Role
from airstrip_tree import PROJECT
from ansible.parsing.dataloader import DataLoader

WIRING: dict[str, Any] = DataLoader().load_from_file(str(PROJECT / "inventory/wiring.yml"), trusted_as_template=True)
SYSTEM, SITE = "/etc/ssl/certs/ca-certificates.crt", "/etc/airflow/ca.crt"


def database(**variables: Any) -> dict[str, str]:
    """Return the options of the database of a site, by default of several hosts and with its database outside."""
    names = ("airflow_database_options", "airflow_plain_database_allowed")
    found = evaluated({"airflow_component_hosts": {"postgresql": []}}, names, variables)
    return dict(found["airflow_database_options"])


def broker(**variables: Any) -> tuple[bool, dict[str, str]]:
    """Return the same of the broker."""
    names = ("airflow_broker_options", "airflow_broker_tls_enabled", "airflow_plain_broker_allowed")
    found = evaluated({"airflow_component_hosts": {"redis": []}}, names, variables)
    return found["airflow_broker_tls_enabled"], found["airflow_broker_options"]


def evaluated(site: dict[str, Any], names: tuple[str, ...], variables: dict[str, Any]) -> dict[str, Any]:
    wanted = (*names, "airflow_loopback", "airflow_authorities_file")
    given = {name: WIRING[name] for name in wanted} | site | {"airflow_tls_enabled": True} | variables
    role = Role("airflow", given)
    return {name: role.evaluate(name) for name in names}


@pytest.mark.parametrize("host", ["192.0.2.1", "db.example.com", "2001:db8::1", "localhost.example.com"])
@pytest.mark.parametrize("tls", [True, False])
def test_what_is_outside_is_verified_by_the_systems_authorities(host: str, tls: bool) -> None:
    options = database(airflow_database_host=host, airflow_tls_enabled=tls)
    assert options == {"sslmode": "verify-full", "sslrootcert": SYSTEM}
    enabled, options = broker(airflow_broker_host=host, airflow_tls_enabled=tls)
    assert enabled
    assert options == {"ssl_cert_reqs": "required", "ssl_ca_certs": SYSTEM, "ssl_check_hostname": "true"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "::1", "localhost"])
def test_what_is_on_the_host_needs_no_tls(host: str) -> None:
    assert database(airflow_database_host=host) == {}
    assert broker(airflow_broker_host=host) == (False, {})


@pytest.mark.parametrize("allowed", [True, "true"])
def test_what_is_meant_to_be_plain_is_plain(allowed: bool | str) -> None:
    assert database(airflow_database_host="192.0.2.1", airflow_plain_database_allowed=allowed) == {}
    assert broker(airflow_broker_host="192.0.2.1", airflow_plain_broker_allowed=allowed) == (False, {})


def test_what_is_in_the_inventory_is_verified_by_the_sites_authority() -> None:
    hosts: dict[str, Any] = {"airflow_component_hosts": {"postgresql": ["data-1"], "redis": ["data-1"]}}
    assert database(**hosts)["sslrootcert"] == SITE
    assert broker(**hosts) == (
        True, {"ssl_cert_reqs": "required", "ssl_ca_certs": SITE, "ssl_check_hostname": "true"},
    )  # fmt: skip
    assert database(**hosts, airflow_tls_enabled=False) == {}
    assert broker(**hosts, airflow_tls_enabled=False) == (False, {})
