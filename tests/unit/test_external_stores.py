"""How the wiring of an inventory reaches a database and a broker."""

from typing import Any

import pytest
from airstrip_imagined import PLACED, imagined
from airstrip_render import Role
from airstrip_tree import PROJECT
from ansible.parsing.dataloader import DataLoader
from ansible_collections.airstrip.core.plugins.module_utils.site_views import reach

WIRING: dict[str, Any] = DataLoader().load_from_file(str(PROJECT / "inventory/wiring.yml"), trusted_as_template=True)
SYSTEM, OWN = "/etc/ssl/certs/ca-certificates.crt", "/etc/airflow/ca.crt"


@pytest.mark.parametrize(
    ("placed", "variables", "authority"),
    [
        (PLACED, {}, OWN),
        (PLACED, {"tls_enabled": False}, ""),
        (PLACED | {"postgresql": [], "redis": []}, {"database_host": "db", "broker_host": "broker"}, SYSTEM),
        (PLACED | {"postgresql": [], "redis": []}, {"database_host": "localhost", "broker_host": "127.0.0.1"}, ""),
        (
            PLACED | {"postgresql": [], "redis": []},
            {"database_host": "db", "broker_host": "b", "plain_database_allowed": True, "plain_broker_allowed": "true"},
            "",
        ),
    ],
)
def test_servers_are_verified_by_who_signed_them(
    placed: dict[str, list[str]], variables: dict[str, Any], authority: str
) -> None:
    names = ("airflow_database_options", "airflow_broker_options", "airflow_broker_tls_enabled")
    known = {"site_here": {"reach": reach(imagined(placed, **variables), "control")}}
    role = Role("airflow", {name: WIRING[name] for name in names} | known)
    database = {"sslmode": "verify-full", "sslrootcert": authority} if authority else {}
    broker = {"ssl_cert_reqs": "required", "ssl_ca_certs": authority, "ssl_check_hostname": "true"} if authority else {}
    assert [role.evaluate(name) for name in names] == [database, broker, bool(authority)]
