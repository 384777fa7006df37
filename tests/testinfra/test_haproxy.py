"""Role haproxy, as people and workers see it: each load balancer at its own address, of one host and of several."""

from __future__ import annotations

import json
import re
import shlex
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from typing import Any

import certifi
import pytest
import requests
import testinfra
from airstrip_edge import Client, Probe, all_up, fetch, haproxy, servers, wait_for
from airstrip_site import Site

DISTRIBUTED = pytest.mark.only_in("distributed")
RATE = 30
EXECUTION_PORT = 8443
BACKENDS = ("airflow_api", "airflow_execution")
TOLD = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "content-security-policy": "frame-ancestors 'self'",
}
# Puts a server with headers of its own behind a second HAProxy, which has the host's rules for people; prints the
# headers of its answer.
BEHIND = r"""
import http.client, http.server, json, re, subprocess, sys, tempfile, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        for name, value in json.loads(sys.argv[1]).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
text = open("/etc/haproxy/haproxy.cfg").read()
sections = re.split(r"(?m)^(?=[a-z])", text)
kept = [part for part in sections if part.startswith(("defaults", "frontend public"))]
rules = "".join(kept).replace("default_backend airflow_api", "default_backend behind")
rules = re.sub(r"(?m)^    bind .*", "    bind 127.0.0.1:18080", rules)
rules = re.sub(r"(?m)^.*(table logins|sc0_).*\n|^    default-server .*\n", "", rules)
rules += f"backend behind from common\n    server behind 127.0.0.1:{server.server_port}\n"
with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
    file.write(rules)
    file.flush()
    haproxy = subprocess.Popen(["haproxy", "-db", "-q", "-f", file.name], stderr=subprocess.DEVNULL)
    try:
        for attempt in range(100):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", 18080, timeout=10)
                connection.request("GET", "/")
                break
            except OSError:
                time.sleep(0.1)
        answer = connection.getresponse()
        assert answer.getheader("X-Seen"), answer.status
        print(json.dumps({name.lower(): answer.headers.get_all(name) for name in answer.headers}))
    finally:
        haproxy.kill()
"""


def connected(site: Site, hostname: str) -> Any:
    return testinfra.get_host(site.connection(hostname))


def client_of(site: Site, hostname: str) -> Client:
    if site.is_shared:
        return Client(site.address(hostname), site.ca_certificate)
    return Client(site.address(hostname), None, site.variable(hostname, "site_http_port"))


@pytest.fixture
def client(site: Site, inventory_hostname: str) -> Client:
    return client_of(site, inventory_hostname)


@pytest.fixture
def balancers(site: Site) -> list[Any]:
    return [connected(site, name) for name in site.group("load_balancer")]


@pytest.fixture
def counted_logins(balancers: list[Any]) -> Iterator[None]:
    """Begin with no logins counted, and leave none that would count against another test."""
    for balancer in balancers:
        haproxy(balancer, "clear table logins")
    yield
    for balancer in balancers:
        haproxy(balancer, "clear table logins")


@DISTRIBUTED
def test_http_leads_to_https(client: Client) -> None:
    answer = requests.get(
        f"http://{client.address}/dags?state=failed", allow_redirects=False, proxies={"http": ""}, timeout=30
    )
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://{client.address}/dags?state=failed"


@DISTRIBUTED
def test_browsers_are_told_to_keep_to_https(client: Client) -> None:
    for path in ("/api/v2/version", "/execution/"):
        _, headers, _ = client.ask("GET", path)
        assert headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/api/v2/version", {}, 200),
        ("GET", "/auth/login/", {}, 200),
        ("GET", "/nowhere/%zz", {}, 404),
        ("GET", "/execution/", {}, 404),
        ("POST", "/api/v2/variables", {"Content-Length": str(11 * 1024 * 1024)}, 413),
    ],
)
def test_browsers_are_told_what_to_keep_to(
    client: Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    found, told, _ = client.ask(method, path, headers)
    assert found == status
    # Each once, whoever it is from.
    assert {name: told.get(name) for name in TOLD} == TOLD


@DISTRIBUTED
def test_browsers_are_told_on_the_way_to_https(site: Site, inventory_hostname: str) -> None:
    status, told, _ = Client(site.address(inventory_hostname), None, 80).ask("GET", "/")
    assert status == 308
    assert {name: told.get(name) for name in TOLD} == TOLD


def test_what_airflow_tells_browsers_itself_stays(host: Any) -> None:
    """By the configuration in force, with a server behind it that has something to say."""
    own = {"Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'", "X-Seen": "1"}
    told = json.loads(host.check_output(f"python3 -c {shlex.quote(BEHIND)} {shlex.quote(json.dumps(own))}"))
    assert told["referrer-policy"] == ["no-referrer"]
    assert told["content-security-policy"] == ["default-src 'none'", "frame-ancestors 'self'"]
    assert told["x-content-type-options"] == ["nosniff"]
    own["Content-Security-Policy"] = "frame-ancestors 'none'"
    told = json.loads(host.check_output(f"python3 -c {shlex.quote(BEHIND)} {shlex.quote(json.dumps(own))}"))
    assert told["content-security-policy"] == ["frame-ancestors 'none'"]


@DISTRIBUTED
def test_old_tls_is_refused(client: Client) -> None:
    context = ssl.create_default_context(cafile=str(client.ca))
    # What a client of ten years ago would do.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.protocol.version"):
        client.ask("GET", "/", context=context)


@DISTRIBUTED
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_current_tls_is_spoken_with_current_ciphers(client: Client, version: str) -> None:
    context = ssl.create_default_context(cafile=str(client.ca))
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with (
        socket.create_connection((client.address, client.port), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname=client.address) as connection,
    ):
        cipher = connection.cipher()
    assert cipher is not None
    assert re.search("GCM|CHACHA20", cipher[0])


@DISTRIBUTED
def test_weak_ciphers_are_refused(client: Client) -> None:
    context = ssl.create_default_context(cafile=str(client.ca))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES:!AESGCM:!AESCCM:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.handshake.failure"):
        client.ask("GET", "/", context=context)


@DISTRIBUTED
def test_no_other_authority_vouches_for_it(client: Client) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        client.ask("GET", "/", context=ssl.create_default_context(cafile=certifi.where()))


@pytest.mark.parametrize(
    "path",
    [
        "/execution",
        "/execution/",
        "/execution/health",
        "/execution/health?x=1",
        "/execution/docs",
        "//execution/health",
        "/%65xecution/health",
        "/%65%78%65%63ution%2Fhealth",
        "/%2Fexecution/health",
        "/EXECUTION/health",
        "/./execution/health",
        "/x/../execution/health",
        "/x/%2e%2e/execution/health",
        "/%5Cexecution/health",
        "/execution/%zz",
        "/%65xecution/%",
        "/execution;x/health",
        "/%00/execution/health",
    ],
)
def test_execution_api_is_not_there_for_people(client: Client, path: str) -> None:
    status, headers, body = client.ask("GET", path)
    assert status == 404
    # HAProxy's own words: Airflow never saw the request.
    assert body == "Not found"
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/api/v2/version", "/executions", "/dags/execution/x"])
def test_paths_that_look_like_it_are(client: Client, path: str) -> None:
    status, _, body = client.ask("GET", path)
    assert (status, body) != (404, "Not found")


@pytest.mark.only_in("single_node")
def test_one_host_is_reached_at_its_ssh_and_its_user_interface_only(client: Client) -> None:
    open_ports = []
    for port in range(1, 65536):
        with socket.socket() as tried:
            tried.settimeout(5)
            if tried.connect_ex((client.address, port)) == 0:
                open_ports.append(port)
    assert open_ports == [22, client.port]


@pytest.mark.only_in("single_node")
def test_api_server_makes_room_for_its_first_load_balancer(host: Any, site: Site, client: Client) -> None:
    host.check_output("systemctl stop haproxy")
    change = f"s/--host 127.0.0.1 --port [0-9]*/--host 0.0.0.0 --port {client.port}/"
    host.check_output(f"sed -i '{change}' /etc/systemd/system/airflow-api-server.service")
    host.check_output("systemctl daemon-reload && systemctl restart airflow-api-server")
    wait_for(lambda: f":{client.port} " in str(host.check_output("ss -Htln")), "the API server has the port", 180)
    result = site.command("ansible-playbook", "site.yml", "--tags", "service")
    assert result.returncode == 0, result.stdout[-3000:]
    wait_for(lambda: client.ask("GET", "/api/v2/version")[0] == 200, "people have the API server again", 60)
    assert client.ask("GET", "/execution/health")[2] == "Not found"


def test_execution_api_has_no_connection_for_people(client: Client) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the firewall lets it time out
        socket.create_connection((client.address, EXECUTION_PORT), timeout=5)


@DISTRIBUTED
def test_execution_api_answers_workers_only(site: Site, balancers: list[Any], inventory_hostname: str) -> None:
    wait_for(lambda: all_up(balancers), "all API servers are up", 120)
    url = f"https://{site.address(inventory_hostname)}:{EXECUTION_PORT}"
    workers, others = site.group("airflow_worker"), site.group("postgresql")
    for worker in workers:
        status, body = fetch(connected(site, worker), f"{url}/execution/health")
        assert (status, json.loads(body)["status"]) == (200, "healthy")
    for other in set(others) - set(workers):
        with pytest.raises(ConnectionError):
            fetch(connected(site, other), f"{url}/execution/health")


@DISTRIBUTED
@pytest.mark.parametrize("path", ["/", "/api/v2/version", "/auth/token", "/execution/../api/v2/version"])
def test_workers_get_nothing_but_the_execution_api(site: Site, inventory_hostname: str, path: str) -> None:
    worker = connected(site, site.group("airflow_worker")[0])
    url = f"https://{site.address(inventory_hostname)}:{EXECUTION_PORT}{path}"
    assert fetch(worker, url) == (404, "Not found")


def log_in(client: Client, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Try a login that Airflow refuses without looking for the user; return status and body of the answer."""
    status, _, body = client.ask("POST", "/auth/token", {"Content-Length": "2", **(headers or {})}, b"[]")
    return status, body


@DISTRIBUTED
@pytest.mark.usefixtures("counted_logins")
def test_too_many_logins_are_refused(site: Site) -> None:
    hostname = site.group("load_balancer")[0]
    client = client_of(site, hostname)
    began = time.monotonic()
    # Another address in a header is not another client.
    answers = [log_in(client, {"X-Forwarded-For": f"198.51.100.{number}"}) for number in range(RATE + 5)]
    if time.monotonic() - began > 50:
        pytest.fail("too slow for a rate by the minute")
    refused = [answer for answer in answers if answer == (429, "Too many logins")]
    assert refused == answers[RATE:]
    # Everything else goes on, and so do others.
    assert client.ask("GET", "/api/v2/version")[0] == 200
    status, body = fetch(connected(site, site.group("airflow_worker")[0]), f"{client.url}/auth/login/")
    assert (status, body) != (429, "Too many logins")
    # Within the minute whoever goes on trying stays out: what is counted has to go first.
    haproxy(connected(site, hostname), "clear table logins")
    assert log_in(client) != (429, "Too many logins")


def test_large_request_is_refused(client: Client) -> None:
    # The length alone, because the answer comes at once.
    assert client.ask("POST", "/api/v2/variables", {"Content-Length": str(11 * 1024 * 1024)})[0] == 413
    assert client.ask("POST", "/api/v2/variables", {"Content-Length": "2"}, b"{}")[0] in {401, 403}


def test_request_that_hides_its_length_is_refused(client: Client) -> None:
    assert client.ask("POST", "/api/v2/variables", {"Transfer-Encoding": "chunked"}, b"2\r\n{}\r\n")[0] == 411


def test_clients_do_not_choose_where_they_come_from(client: Client) -> None:
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "666",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Prefix": "/evil.example",
        "X_Forwarded_Host": "evil.example",
        "Forwarded": "host=evil.example",
    }
    for path in ("/", "/auth/login", "/auth/login/"):
        _, headers, body = client.ask("GET", path, forged)
        assert "evil.example" not in f"{headers} {body}"
        # Nor is anybody led to where the API server has it from.
        assert "127.0.0.1" not in f"{headers} {body}"
        assert client.ca is None or not headers.get("location", "").startswith("http:")


@DISTRIBUTED
@pytest.mark.usefixtures("counted_logins")
def test_cookies_go_by_https_only(client: Client, site: Site) -> None:
    # As a browser writes it, without the scheme's own port: FAB compares it with the host of the request.
    url = f"https://{client.address}/auth/login/"
    with client.session() as session:
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', session.get(url, timeout=30).text)
        form = {"username": "admin", "password": site.secrets["airflow_admin_password"]}
        form |= {"csrf_token": token[1]} if token else {}
        # From here it leads to the site's name, which only the users' name server knows.
        answer = session.post(url, data=form, headers={"Referer": url}, allow_redirects=False, timeout=30)
        assert answer.status_code == 302
        assert {cookie.name: cookie.secure for cookie in session.cookies} == dict.fromkeys(session.cookies.keys(), True)
        assert "_token" in session.cookies


@DISTRIBUTED
def test_requests_are_logged_as_json_and_without_secrets(host: Any, client: Client) -> None:
    marker, secret = f"airstrip-{uuid.uuid4().hex}", f"secret-{uuid.uuid4().hex}"
    headers = {
        "Authorization": f"Bearer {secret}",
        "Cookie": f"_token={secret}",
        "Referer": f"{client.url}/?token={secret}",
        "User-Agent": 'a "quoted" \\ agent',
        "Content-Length": str(len(secret)),
    }
    client.ask("POST", f"/api/v2/{marker}?token={secret}", headers, secret.encode())
    journal = "journalctl --unit haproxy --since -1min --output cat"
    wait_for(lambda: marker in str(host.check_output(journal)), "the request is in the journal")
    text = host.check_output(journal)
    assert secret not in text
    access = host.check_output(f"{journal} --identifier haproxy-access")
    lines = [json.loads(line) for line in access.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("path") == f"/api/v2/{marker}"]
    assert (line["method"], line["frontend"], line["backend"]) == ("POST", "public", "airflow_api")
    assert line["agent"] == headers["User-Agent"]
    assert line["host"] == client.address
    assert 400 <= line["status"] < 500


def test_metrics_are_for_the_host_alone(host: Any, client: Client) -> None:
    status, body = fetch(host, "http://127.0.0.1:8405/metrics")
    assert status == 200
    assert re.search(r'^haproxy_server_status\{proxy="airflow_api",.*state="UP"\} 1', body, re.MULTILINE)
    with pytest.raises(OSError):  # noqa: PT011 - refused, or timed out by the firewall
        socket.create_connection((client.address, 8405), timeout=5)


@DISTRIBUTED
def test_keys_are_roots_alone(host: Any) -> None:
    for name in ("public.pem", "execution.pem"):
        file = host.file(f"/etc/haproxy/tls/{name}")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o600)


@DISTRIBUTED
def test_every_api_server_is_up_and_its_certificate_is_checked(host: Any, site: Site) -> None:
    names = site.group("airflow_api_server")
    assert servers(host) == {(backend, name): "UP" for backend in BACKENDS for name in names}
    lines = [line for line in host.file("/etc/haproxy/haproxy.cfg").content_string.splitlines() if "server " in line]
    assert [line for line in lines if "verifyhost" in line] == [line for line in lines if ":8080" in line]


@DISTRIBUTED
def test_drained_server_gets_no_requests(host: Any, client: Client, site: Site) -> None:
    name = site.group("airflow_api_server")[0]
    try:
        haproxy(host, f"set server airflow_api/{name} state drain")
        assert servers(host)["airflow_api", name] == "DRAIN"
        marker = uuid.uuid4().hex
        for _ in range(6):
            client.ask("GET", f"/api/v2/{marker}")
        journal = "journalctl --unit haproxy --identifier haproxy-access --since -1min --output cat"
        wait_for(lambda: str(host.check_output(journal)).count(marker) == 6, "the requests are in the journal")
        lines = [json.loads(line) for line in host.check_output(journal).splitlines() if marker in line]
        assert name not in {line["server"] for line in lines}
    finally:
        haproxy(host, f"set server airflow_api/{name} state ready")
    wait_for(lambda: servers(host)["airflow_api", name] == "UP", f"{name} is back")


@DISTRIBUTED
def test_killed_api_server_costs_few_requests(site: Site, balancers: list[Any]) -> None:
    victim = connected(site, site.group("airflow_api_server")[0])
    unit = "airflow-api-server"
    wait_for(lambda: all_up(balancers), "all API servers are up", 120)
    with Probe(f"{site.edge_url}/api/v2/version", site.ca_certificate) as probe:
        time.sleep(2)
        # Its parent would start a process anew.
        victim.check_output(f"systemctl kill --signal KILL {unit}; systemctl stop {unit}")
        try:
            time.sleep(8)
        finally:
            victim.check_output(f"systemctl start {unit}")
        wait_for(lambda: all_up(balancers), "the API server is back", 180)
    print(f"API server killed: {probe}")  # noqa: T201 - a figure for the report
    assert len(probe.requests) > 50
    assert probe.failed_seconds <= 3, probe.failures


@DISTRIBUTED
def test_rolling_restart_costs_no_request(site: Site, balancers: list[Any]) -> None:
    wait_for(lambda: all_up(balancers), "all API servers are up", 120)
    # A unit that somebody has changed is mended, and with it the process.
    for name in site.group("airflow_api_server"):
        connected(site, name).check_output("echo '# by hand' >>/etc/systemd/system/airflow-api-server.service")
    began = balancers[0].check_output("date +%s")
    with Probe(f"{site.edge_url}/api/v2/version", site.ca_certificate) as probe:
        result = site.command("ansible-playbook", "site.yml", "--tags", "airflow_api_server")
        assert result.returncode == 0, result.stdout[-3000:]
        assert all_up(balancers)
    print(f"API servers restarted one after the other: {probe}")  # noqa: T201 - a figure for the report
    for balancer in balancers:
        journal = balancer.check_output(f"journalctl --unit haproxy --since @{began} --output cat")
        for name in site.group("airflow_api_server"):
            assert re.search(rf"airflow_api/{name} (enters drain state|is .*drain)", journal)
    assert probe.failures == []
