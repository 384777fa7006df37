"""Each service speaks TLS and nothing else, and its clients check its certificate: tried from the clients' hosts."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from airstrip_certificates import Issued, issue
from airstrip_edge import servers, wait_for
from airstrip_site import Site

pytestmark = pytest.mark.only_in("distributed")

# What runs on a client's host, after a line that sets `given`. It prints the protocol and the cipher, or why there is
# no connection; without TLS, what was answered.
CONNECT = """
import base64, json, socket, ssl
context = ssl.create_default_context(cadata=given["ca"])
if given["ciphers"]:
    context.set_ciphers(given["ciphers"])
if given["version"]:
    context.minimum_version = context.maximum_version = ssl.TLSVersion[given["version"]]
try:
    connection = socket.create_connection((given["address"], given["port"]), timeout=10)
    connection.sendall(base64.b64decode(given["greeting"]))
    if given["plain"]:
        found = "plain: " + connection.recv(512).decode(errors="replace")
    elif given["greeting"] and connection.recv(1) != b"S":
        found = "refused: no TLS"
    else:
        with context.wrap_socket(connection, server_hostname=given["name"]) as tls:
            found = tls.version() + " " + tls.cipher()[0]
except OSError as error:
    found = "refused: " + str(error)
print(json.dumps(found))
"""

# The products' own clients, with the credentials of their host. They print why they do not connect.
POSTGRESQL_CLIENT = """
import glob, sqlalchemy
url = open(glob.glob("/etc/airflow/credentials/results_*")[0]).read().removeprefix("db+")
try:
    sqlalchemy.create_engine(url).connect()
    print("connected")
except sqlalchemy.exc.OperationalError as error:
    print(str(error.orig))
"""
BROKER_CLIENT = """
import glob, kombu
url = open(glob.glob("/etc/airflow/credentials/broker_url*")[0]).read()
try:
    kombu.Connection(url).ensure_connection(max_retries=1, timeout=5)
    print("connected")
except kombu.exceptions.OperationalError as error:
    print(str(error))
"""

# PostgreSQL's documentation, 53.7: SSLRequest, and StartupMessage of protocol 3.0.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
LOGIN = b"user\0airflow_results\0database\0airflow_results\0\0"
STARTUP = struct.pack("!ii", 8 + len(LOGIN), 3 << 16) + LOGIN
HTTP = b"GET /api/v2/version HTTP/1.1\r\nHost: airflow\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Service:
    """A service of a host, a host that is its client, and where it has its certificate from."""

    name: str
    hostname: str
    client: str
    port: int
    # What a client says that knows no TLS.
    plain: bytes
    certificate: str
    # Empty: it is in the same file.
    key: str
    reread: str


NAMES = ("postgresql", "redis", "api_server", "https", "execution_api")


def services(site: Site) -> dict[str, Service]:
    (data,), (control, other) = site.group("postgresql"), site.group("load_balancer")
    worker = site.group("airflow_worker")[0]
    cluster, broker = "$(ls -d /etc/postgresql/*/main)", f"/etc/{site.broker}"
    credential = "/etc/airflow/credentials/api_server_certificate"
    listed = (
        Service("postgresql", data, worker, 5432, STARTUP, f"{cluster}/server.crt", f"{cluster}/server.key",
                "systemctl reload 'postgresql@*'"),
        Service("redis", data, worker, 6379, b"PING\r\n", f"{broker}/server.crt", f"{broker}/server.key",
                f"systemctl restart {site.broker}-server"),
        Service("api_server", control, other, 8080, HTTP, credential, f"{credential}_key",
                "systemctl restart airflow-api-server"),
        Service("https", control, worker, 443, HTTP, "/etc/haproxy/tls/public.pem", "", "systemctl reload haproxy"),
        Service("execution_api", control, worker, 8443, HTTP, "/etc/haproxy/tls/execution.pem", "",
                "systemctl reload haproxy"),
    )  # fmt: skip
    return {service.name: service for service in listed}


def on(site: Site, hostname: str) -> Any:
    return testinfra.get_host(site.connection(hostname))


def python(host: Any, script: str, interpreter: str = "python3") -> str:
    """Run a script on a host; it travels in one word, whatever shell is between."""
    encoded = base64.b64encode(script.encode()).decode()
    return str(host.check_output(f"echo {encoded} | base64 -d | {interpreter} -")).strip()


def connect(site: Site, service: Service, ca: str, **changes: Any) -> str:
    """Return what a connection from the service's client comes to."""
    greeting = SSL_REQUEST if service.name == "postgresql" else b""
    given = {
        "address": site.address(service.hostname), "port": service.port, "name": site.address(service.hostname),
        "ca": ca, "version": "", "ciphers": "", "plain": False, "greeting": base64.b64encode(greeting).decode(),
    }  # fmt: skip
    found: str = json.loads(python(on(site, service.client), f"given = {given | changes!r}\n{CONNECT}"))
    return found


@pytest.fixture(scope="module")
def authority(site: Site) -> Issued:
    assert site.ca_certificate is not None
    return Issued(site.ca_certificate.read_text(encoding="utf-8"), site.secrets["airflow_ca_key"])


@pytest.fixture(params=NAMES)
def service(request: pytest.FixtureRequest, site: Site) -> Service:
    return services(site)[request.param]


@contextmanager
def certificate(site: Site, service: Service, issued: Issued) -> Iterator[None]:
    """Give a service another certificate for a while."""
    host = on(site, service.hostname)
    contents = {service.certificate: issued.pem + ("" if service.key else issued.key), service.key: issued.key}
    paths = {str(host.check_output(f"echo {path}")): text for path, text in contents.items() if path}
    before = {path: host.file(path).content_string for path in paths}

    def write(texts: dict[str, str]) -> None:
        for path, text in texts.items():
            # Into the file that is there, which keeps its owner and mode.
            host.check_output(f"echo {base64.b64encode(text.encode()).decode()} | base64 -d >{path}")
        host.check_output(service.reread)
        wait_for(lambda: "Connection refused" not in connect(site, service, issued.pem), f"{service.name} is back", 60)

    write(paths)
    try:
        yield
    finally:
        write(before)


def expired(site: Site, service: Service, authority: Issued) -> Issued:
    names = (site.address(service.hostname), service.hostname, "127.0.0.1", site.virtual_address)
    return issue(service.hostname, authority, names, days=(-9, -2))


def test_speaks_tls_with_a_certificate_of_the_authority(site: Site, service: Service, authority: Issued) -> None:
    for name in (site.address(service.hostname), service.hostname):
        assert connect(site, service, authority.pem, name=name).startswith("TLSv1.3 TLS_")


def test_refuses_who_does_not_speak_tls(site: Site, service: Service, authority: Issued) -> None:
    greeting = base64.b64encode(service.plain).decode()
    answer = connect(site, service, authority.pem, plain=True, greeting=greeting)
    if service.name == "postgresql":
        assert "no pg_hba.conf entry" in answer
        assert "no encryption" in answer
    else:
        # Nothing, or the alert of TLS.
        assert not any(word in answer for word in ("HTTP/", "PONG", "NOAUTH")), answer


def test_client_refuses_a_certificate_of_another_authority(site: Site, service: Service) -> None:
    assert "certificate verify failed" in connect(site, service, issue("another authority").pem)


def test_client_refuses_a_certificate_of_another_name(site: Site, service: Service, authority: Issued) -> None:
    assert "certificate is not valid for" in connect(site, service, authority.pem, name="other.example.com")


def test_refuses_old_protocols(site: Site, service: Service, authority: Issued) -> None:
    old = connect(site, service, authority.pem, version="TLSv1_1", ciphers="ALL:@SECLEVEL=0")
    assert old.startswith("refused: "), old


@pytest.mark.parametrize("name", [name for name in NAMES if name != "api_server"])
def test_refuses_old_ciphers(site: Site, authority: Issued, name: str) -> None:
    old = connect(site, services(site)[name], authority.pem, version="TLSv1_2", ciphers="ECDHE-ECDSA-AES128-SHA")
    assert old.startswith("refused: "), old
    new = connect(site, services(site)[name], authority.pem, version="TLSv1_2")
    assert new.startswith("TLSv1.2 ECDHE-ECDSA-"), new


def in_the_load_balancer(site: Site, service: Service) -> str:
    """Return what the client's load balancer thinks of the service's host."""
    return servers(on(site, service.client))["airflow_api", service.hostname]


# One restart of an API server, which takes long, for both of its clients: a program, and the load balancer.
def test_clients_refuse_an_expired_certificate(site: Site, service: Service, authority: Issued) -> None:
    balanced = service.name == "api_server"
    programs = {"postgresql": POSTGRESQL_CLIENT, "redis": BROKER_CLIENT}
    if balanced:
        wait_for(lambda: in_the_load_balancer(site, service) == "UP", "the server is in", 60)
    with certificate(site, service, expired(site, service, authority)):
        assert "certificate has expired" in connect(site, service, authority.pem)
        if service.name in programs:
            told = python(on(site, service.client), programs[service.name], "/opt/airflow/current/bin/python")
            assert "certificate" in told.lower(), told
        if balanced:
            wait_for(lambda: in_the_load_balancer(site, service) == "DOWN", "the server is taken out", 20)
    assert connect(site, service, authority.pem).startswith("TLSv1.3 ")
    if balanced:
        wait_for(lambda: in_the_load_balancer(site, service) == "UP", "the server is back", 60)


def converge(site: Site, directory: Path, variables: dict[str, Any], tag: str) -> None:
    """Run a part of site.yml with variables, which may be secret: they go by a file."""
    given = directory / "variables.yml"
    given.write_text(yaml.safe_dump(variables), encoding="utf-8")
    result = site.command("ansible-playbook", "site.yml", "--tags", tag, "-e", f"@{given}")
    assert result.returncode == 0, result.stdout[-4000:]


@pytest.mark.parametrize("program", [POSTGRESQL_CLIENT, BROKER_CLIENT])
def test_airflows_own_clients_connect(site: Site, program: str) -> None:
    assert python(on(site, site.group("airflow_worker")[0]), program, "/opt/airflow/current/bin/python") == "connected"


def test_own_certificates_and_renewal(site: Site, authority: Issued, tmp_path: Path) -> None:
    people, workers, database = (services(site)[name] for name in ("https", "execution_api", "postgresql"))
    other = issue("a public authority")
    own = issue("public", other, (site.public_name, site.address(people.hostname)))
    converge(site, tmp_path, {"haproxy_certificate": own.pem, "haproxy_certificate_key": own.key}, "haproxy")
    # People get it; workers get that of the site.
    assert connect(site, people, other.pem, name=site.public_name).startswith("TLSv1.3 ")
    assert "certificate verify failed" in connect(site, people, authority.pem)
    assert connect(site, workers, authority.pem).startswith("TLSv1.3 ")

    host = on(site, database.hostname)
    asked = (
        f"openssl x509 -noout -serial -in {database.certificate}",
        "head -n 1 /var/lib/postgresql/*/main/postmaster.pid",
    )
    before = [host.check_output(command) for command in asked]
    # More days than a certificate has at its first moment, and none of ones own any more.
    converge(site, tmp_path, {"site_certificate_renew_days": 366}, "haproxy,postgresql")
    after = [host.check_output(command) for command in asked]
    # Another certificate, and the same process: it was reloaded.
    assert after[0] != before[0]
    assert after[1] == before[1]
    for service in (people, workers, database):
        assert connect(site, service, authority.pem).startswith("TLSv1.3 ")
