"""Who trusts the site's own authority: the parts of Airflow, and not every program of a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airstrip_render import Role, written

SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
BUNDLE = "/etc/airflow/ca-bundle.crt"
AUTHORITY = "-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize(
    ("trusted", "certificate", "state"),
    [(None, AUTHORITY, "absent"), ("false", AUTHORITY, "absent"), (True, AUTHORITY, "file"), (True, "", "absent")],
)
def test_the_systems_store_has_the_sites_authority_only_where_that_is_wanted(
    trusted: Any, certificate: str, state: str
) -> None:
    wanted = {} if trusted is None else {"base_internal_ca_trusted": trusted}
    variables = {"base_internal_ca_certificate": certificate, "base_ca_certificates": [], **wanted}
    states = {entry["path"]: entry.get("state") for entry in written("base", "files", Role("base", variables))}
    assert states["/usr/local/share/ca-certificates/airstrip.crt"] == state


def test_the_systems_store_has_the_authorities_of_the_inventory(tmp_path: Path) -> None:
    path = tmp_path / "ours.crt"
    path.write_text(f"{AUTHORITY}\n", encoding="utf-8")
    entries = written("base", "files", Role("base", {"base_ca_certificates": [str(path)]}))
    contents = {entry["path"]: entry.get("content") for entry in entries}
    assert contents["/usr/local/share/ca-certificates/airstrip/ours.crt"] == f"{AUTHORITY}\n"


@pytest.mark.parametrize(("certificate", "path"), [(AUTHORITY, BUNDLE), ("", SYSTEM)])
def test_tasks_trust_the_sites_authority_beside_the_systems(certificate: str, path: str) -> None:
    role = Role("airflow", {"airflow_ca_certificate": certificate})
    environment = role.evaluate("__airflow_environment")
    assert (environment["SSL_CERT_FILE"], environment["REQUESTS_CA_BUNDLE"]) == (path, path)
    assert role.evaluate("__airflow_config_blocks.task_trust.options.api.ssl_cert") == path
    entries = written("airflow", "configure", role)
    parts = [entry.get("src") for entry in entries if entry["path"].startswith("/etc/airflow/ca.d")]
    assert parts == ([None, SYSTEM, "/etc/airflow/ca.crt"] if certificate else [])
