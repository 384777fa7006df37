"""How the exporters of a host are called."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from exporter_programs import exporter_programs

SETTINGS: dict[str, Any] = {
    "directory": "/etc/x",
    "port": 9999,
    "listen_addresses": ["127.0.0.1"],
    "tls": False,
    "has_authority": True,
    "ports": {"node": 1, "process": 2, "postgresql": 3, "redis": 4, "blackbox": 5},
    "units": "a.*",
    "textfile_directory": "/var/x",
    "database": {"address": "db", "port": 5432, "tls": True, "external": False, "name": "airflow", "user": "m"},
    "broker": {"address": "::1", "port": 6379, "tls": True, "external": False, "user": "m", "queues": ["a", "b"]}
    | {"database": 2},
}


def one(name: str, **changed: Any) -> dict[str, Any]:
    (found,) = exporter_programs([name], SETTINGS | changed)
    return found


def test_each_is_the_distributions_package_with_a_unit() -> None:
    found = one("postgresql_exporter")
    assert found["program"] == "prometheus-postgres-exporter"
    assert found["service"] == "prometheus-postgres-exporter.service"
    assert found["path"] == "/etc/systemd/system/prometheus-postgres-exporter.service.d/airstrip.conf"


@pytest.mark.parametrize(
    "name", ["node_exporter", "process_exporter", "postgresql_exporter", "redis_exporter", "blackbox_exporter"]
)
def test_all_but_the_one_that_passes_them_on_are_for_their_own_host(name: str) -> None:
    assert "listen-address=127.0.0.1:" in one(name)["arguments"][0]


def test_one_port_is_plain_or_tls_and_never_both() -> None:
    plain = one("exporter_exporter")
    assert "-web.listen-address=127.0.0.1:9999" in plain["arguments"]
    assert plain["credentials"] == ["token"]
    tls = one("exporter_exporter", tls=True, listen_addresses=["127.0.0.1", "192.0.2.1"])
    assert "-web.listen-address=" in tls["arguments"]
    assert "-web.tls.listen-address=:9999" in tls["arguments"]
    assert tls["credentials"] == ["token", "tls.crt", "tls.key"]


def test_servers_are_known_by_the_authority_that_they_have() -> None:
    uri = one("postgresql_exporter")["environment"]["DATA_SOURCE_URI"]
    assert uri == "db:5432/airflow?connect_timeout=5&sslmode=verify-full&sslrootcert=%d/ca.crt"
    outside = SETTINGS["database"] | {"external": True}
    uri = one("postgresql_exporter", database=outside)["environment"]["DATA_SOURCE_URI"]
    assert uri.endswith("sslrootcert=/etc/ssl/certs/ca-certificates.crt")
    plain = SETTINGS["database"] | {"tls": False}
    assert one("postgresql_exporter", database=plain)["environment"]["DATA_SOURCE_URI"].endswith("sslmode=disable")
    assert "-tls-ca-cert-file=%d/ca.crt" in one("redis_exporter")["arguments"]
    outside = SETTINGS["broker"] | {"external": True}
    assert "-tls-ca-cert-file=/etc/ssl/certs/ca-certificates.crt" in one("redis_exporter", broker=outside)["arguments"]
    plain = SETTINGS["broker"] | {"tls": False}
    found = one("redis_exporter", broker=plain)["arguments"]
    assert "-redis.addr=redis://[::1]:6379" in found
    assert not any("tls" in argument for argument in found)


def test_no_password_is_among_the_arguments() -> None:
    found = one("redis_exporter")
    assert "-redis.password-file=%d/broker-passwords" in found["arguments"]
    assert "-check-single-keys=db2=a,db2=b" in found["arguments"]
    assert found["broker_urls"] == ["rediss://[::1]:6379", "rediss://m@[::1]:6379"]
    assert "%d/database-password" in one("postgresql_exporter")["environment"].values()


def test_an_exporter_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="'x' is none of exporter_exporter, node_exporter"):
        exporter_programs(["x"], SETTINGS)
