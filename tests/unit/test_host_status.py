"""How a host sees itself: module_utils/host_status.py, which is also the command airstrip-status."""

import dataclasses
import http.server
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airstrip_certificates import issue
from airstrip_module import run_module
from airstrip_status import NOW, model, well
from airstrip_tree import PROJECT
from ansible_collections.airstrip.core.plugins.module_utils import host_status as own
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

PROGRAM = PROJECT / "collections/ansible_collections/airstrip/core/plugins/module_utils/host_status.py"
# As systemd 252 shows it.
SHOWN = """Type=exec
MainPID={process}
NRestarts=2
Result=success
Id=airflow-scheduler.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
StateChangeTimestampMonotonic={changed}
"""
# Maps a file into memory, as the loader does with a library, says so, and waits to be ended.
MAPS = """
import mmap, sys
with open(sys.argv[1]) as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
print(flush=True)
sys.stdin.read()
"""
WAITS = "import sys; print(flush=True); sys.stdin.read()"
HEAD = "# pxname,svname,status,check_status,\n"


def record(**other: Any) -> Any:
    part = {
        "name": "web",
        "component": "web",
        "units": ["web.service"],
        "ports": {},
        "url": "",
        "certificates": [],
        "socket": "",
    }
    site = {
        "host": "a",
        "parts": [part | other.pop("part", {})],
        "known_units": ["web*"],
        "install_directory": "/opt/airflow",
    }
    return own.read(
        own.Record, site | {"drained_file": "/none", "authority": "", "renew_days": 30, "muted": {}} | other
    )


@contextmanager
def process(*argv: str) -> Iterator[str]:
    """Run Python with arguments until the end of the block, from when it has said something; give its id."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, *argv], stdin=pipe, stdout=pipe) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdout.readline()
        yield str(started.pid)
        started.stdin.close()


def library(directory: Path, release: str) -> Path:
    path = directory / "releases" / release / "lib" / "x.so"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    return path


def test_the_release_is_that_of_the_libraries_not_that_of_the_link(tmp_path: Path) -> None:
    for name in ("1.0-old", "2.0-new"):
        library(tmp_path, name)
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "1.0-old")
    with process("-c", MAPS, str(tmp_path / "current" / "lib" / "x.so")) as pid:
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to(tmp_path / "releases" / "2.0-new")
        assert own.release_of(pid, str(tmp_path)) == "1.0-old"
        assert own.release_of(pid, "/elsewhere") == ""


def test_a_process_cannot_call_itself_another_release(tmp_path: Path) -> None:
    path = library(tmp_path / "mine" / "opt" / "airflow", "9.9-forged")
    for arguments in (("-c", MAPS, str(path)), ("-c", WAITS, "x/opt/airflow/releases/9.9-forged/bin/airflow")):
        with process(*arguments) as pid:
            assert own.release_of(pid, "/opt/airflow") == ""
    with process("-c", WAITS, "/opt/airflow/releases/\x1b[2J/bin/airflow") as pid:
        assert own.release_of(pid, "/opt/airflow") == ""


def test_the_release_of_a_process_that_has_just_begun_is_that_of_its_command() -> None:
    with process("-c", WAITS, "/opt/airflow/releases/3.3.2-abc/bin/airflow") as pid:
        assert own.release_of(pid, "/opt/airflow") == "3.3.2-abc"
    assert own.release_of(pid, "/opt/airflow") == ""


def test_a_unit_is_described_by_the_age_of_its_state() -> None:
    shown = SHOWN.format(process=0, changed=round((time.monotonic() - 90) * 1e6))
    (seen,) = own.shown(f"{shown}\nId=gone.service\nLoadState=not-found\n\n{shown}")
    unit = own._unit(seen, "/opt/airflow")
    assert unit.age == pytest.approx(90, abs=5)
    assert unit.since == pytest.approx(time.time() - 90, abs=5)
    assert (unit.unit, unit.active, unit.restarts, unit.enabled) == (
        "airflow-scheduler.service",
        "active",
        2,
        "enabled",
    )
    (never,) = own.shown(SHOWN.format(process=0, changed=0))
    assert (own._unit(never, "/opt/airflow").age, own._unit(never, "/opt/airflow").since) == (None, None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"since": "2026-11-24T12:00:00Z", "reason": "disk", "x": 1}', ("2026-11-24T12:00:00Z", "disk")),
        ('{"since": null}', ("", "")),
        ("", ("", "")),
        ("[]", ("", "")),
        ('{"since": "a\\u001b[2Jb", "reason": "c\\nd"}', ("a [2Jb", "c d")),
    ],
)
def test_a_drained_host_says_since_when_and_why(content: str, expected: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "drained").write_text(content)
    found = own._drained(str(tmp_path / "drained"))
    assert found == own.Drained(*expected)
    assert own._drained(str(tmp_path / "nothing")) is None


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    began = time.monotonic()
    assert own._said(str(tmp_path / "pipe")) == ""
    assert time.monotonic() - began < 1


@given(st.integers(-20000, 20000))
def test_the_end_of_a_certificate_is_read_without_a_library(days: int) -> None:
    pem = issue("a", days=(days - 10, days)).pem
    end = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
    assert own.end_of(pem.encode()) == end.timestamp()
    # HAProxy's files begin with a key.
    assert (
        own.end_of(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + pem.encode()) == end.timestamp()
    )


@given(st.binary(max_size=300), st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_what_is_no_certificate_has_no_end(noise: bytes, place: int, other: bytes) -> None:
    assert own.end_of(noise) is None
    pem = bytearray(issue("a").pem.encode())
    pem[place : place + len(other)] = other
    found = own.end_of(bytes(pem))
    assert found is None or isinstance(found, float)


def test_of_several_certificates_the_one_counts_that_ends_last(tmp_path: Path) -> None:
    for name, days in (("15", 5), ("17", 90)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "server.crt").write_text(issue("a", days=(-1, days)).pem)
    found = own._certificate("web", "web", f"{tmp_path}/*/server.crt")
    assert found.ends
    assert (found.ends - time.time()) / 86400 == pytest.approx(90, abs=0.1)
    assert own._certificate("web", "web", f"{tmp_path}/nothing").ends is None
    assert own._certificate("web", "web", f"{tmp_path}/15").ends is None


def test_mount_points_are_read_as_the_kernel_and_fstab_write_them() -> None:
    assert own.mounted("/dev/a / ext4 rw 0 0\nnfs:/x /srv/my\\040data nfs4 rw,hard 0 0\n") == {
        "/": "ext4", "/srv/my data": "nfs4",
    }  # fmt: skip
    fstab = (
        "# x",
        "/dev/a / ext4 defaults 0 1",
        "n:/x /srv/a nfs4 _netdev 0 0",
        "n:/y /b nfs4 noauto 0 0",
        "/dev/c none swap sw",
    )
    assert own.expected_mounts("\n".join(fstab)) == ["/", "/srv/a"]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 200 for one path, and 500 for all others."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 500)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name is that of the base class
        pass


def test_a_server_answers_or_not() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        url = f"http://127.0.0.1:{port}"
        assert own.url_error(f"{url}/well", "", 5) == ""
        assert own.url_error(f"{url}/ill", "", 5) == "Internal Server Error"
        assert own.port_error("127.0.0.1", port, 5) == ""
        server.shutdown()
    assert own.url_error(f"{url}/well", "", 5)
    assert own.port_error("127.0.0.1", port, 5) == "Connection refused"
    assert own.url_error("https://127.0.0.1:1/", "/no/such/authority", 5)


def test_who_does_not_answer_in_time_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers, began = own._Answers(0.3), time.monotonic()
        answers.ask(("url", "web", "x"), own.url_error, f"http://127.0.0.1:{server.getsockname()[1]}/", "", 30)
        answers.ask(("disk", "/", ""), own._space, "/")
        assert answers.of("url") == [("web", "x", None)]
        assert answers.of("disk")[0][2][1].path == "/"
        assert time.monotonic() - began < 5


def balancer(path: Path, said: bytes) -> threading.Thread:
    """Answer one question on a socket, as HAProxy does."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        with server, server.accept()[0] as client:
            assert client.recv(100) == b"show stat -1 4 -1\n"
            client.sendall(said)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_haproxy_is_asked_for_its_servers(tmp_path: Path) -> None:
    thread = balancer(tmp_path / "a.sock", f"{HEAD}airflow_api,control-1,DRAIN,L7OK,\nx,BACKEND,UP,,\n\n".encode())
    assert own.servers_of(own._balancer(str(tmp_path / "a.sock"), 5)) == [
        own.Server("airflow_api", "control-1", "DRAIN", "L7OK")
    ]
    thread.join(5)


@pytest.mark.parametrize("said", ["", "Unknown command\n", "# pxname,svname\na,b\n", HEAD, HEAD + "x" * 200000])
def test_another_answer_of_haproxy_is_none(said: str) -> None:
    with pytest.raises(own.AnswerError, match="no table"):
        own.servers_of(said)


@given(st.text())
def test_whatever_haproxy_says_is_no_way_to_the_terminal(text: str) -> None:
    for server in own.servers_of(f"{HEAD}a,b,UP,L7OK,\n{text}"):
        assert (server.backend + server.server + server.status + server.check).isprintable()


def test_a_command_quotes_what_others_have_named() -> None:
    finding = own.Finding("server-drained", "a", "x", {"server": "b; rm -rf /"})
    assert finding.command == "playbooks/undrain.yml --limit 'b; rm -rf /'"


def test_facts_are_read_back_as_they_were_told() -> None:
    site = model()
    for host in site["hosts"]:
        told = well(site, host)["facts"]
        facts = own.read(own.Facts, told)
        assert json.loads(json.dumps(dataclasses.asdict(facts))) == told
        assert own.findings(own.read(own.Record, site["hosts"][host]["status"]), facts) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"now": "1"}, "it.now is no float"),
        ({"now": True}, "it.now is no float"),
        ({"units": {}}, "it.units is no list"),
        ({"units": [{"unit": "a"}]}, "it.units[0] has no active"),
        ({"disks": [{"path": 1, "free": 1}]}, "it.disks[0].path is no str"),
        ({"drained": []}, "it.drained is no mapping"),
        ({"hidden": ["a"] * 3000}, "too long"),
    ],
)
def test_facts_of_another_shape_are_refused_by_their_place(changed: dict[str, Any], message: str) -> None:
    told = well(model(), "data")["facts"] | changed
    with pytest.raises(own.AnswerError) as raised:
        own.read(own.Facts, told)
    assert message in str(raised.value)
    del told["current"]
    with pytest.raises(own.AnswerError, match=r"no (current|float|list|mapping|active|str)|too long"):
        own.read(own.Facts, told)


def command(directory: Path, *arguments: str, content: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command with a record of its own."""
    text = PROGRAM.read_text(encoding="utf-8").replace("/etc/airstrip/status.json", str(directory / "status.json"))
    (directory / "airstrip-status").write_text(text, encoding="utf-8")
    if content is not None:
        (directory / "status.json").write_text(content, encoding="utf-8")
    argv = [sys.executable, "-I", str(directory / "airstrip-status"), *arguments]
    return subprocess.run(argv, capture_output=True, check=False, text=True)


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"host": 1}'])
def test_without_a_record_the_command_says_what_to_do(tmp_path: Path, content: str | None) -> None:
    result = command(tmp_path, content=content)
    assert (result.returncode, result.stderr) == (2, "")
    first, finding, remedy = result.stdout.splitlines()
    assert first.startswith("ERROR ")
    assert finding.startswith("ERROR host-unseen: ")
    assert remedy.startswith("  on the controller: ")
    told = json.loads(command(tmp_path, "--json").stdout)
    assert (told["level"], told["findings"][0]["code"], told["facts"]) == ("ERROR", "host-unseen", None)


def test_a_finding_is_muted_until_a_moment() -> None:
    found = [own.Finding("disk-low", "a", "", {"path": "/"}), own.Finding("certificate-ends", "a", "soon")]
    shown = {now: [one.code for one in own.unmuted(found, {"disk-low": 10}, now)] for now in (9.5, 10)}
    assert shown == {9.5: ["certificate-ends"], 10: ["disk-low", "certificate-ends"]}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("1970-01-02", 86400), ("1970-01-01T00:00:01Z", 1), ("1970-01-01 01:00:00+01:00", 0)],
)
def test_moments_are_utc_where_nothing_else_is_said(written: str, seconds: float) -> None:
    assert own.seconds_of(written) == seconds


def test_wrong_arguments_are_told_how_it_is_called(tmp_path: Path) -> None:
    result = command(tmp_path, "--help")
    assert result.returncode == 3
    assert "airstrip-status [--json | --prometheus FILE]" in result.stdout


def test_lines_begin_with_one_word_and_each_finding_has_its_command() -> None:
    found = [
        own.Finding("disk-low", "a", "9 % of / is free", {"path": "/"}),
        own.Finding("certificate-ends", "a", "soon"),
    ]
    assert [*own.lines("a", found, ["x"])] == [
        "WARN a: 2 findings",
        "WARN disk-low: 9 % of / is free",
        "  du -xh --max-depth=2 / | sort -h | tail",
        "WARN certificate-ends: soon",
        "  on the controller: site.yml; replace it first if it is your own",
        "(Root sees more: x.)",
    ]
    assert [*own.lines("a", [])] == ["OK a: 0 findings"]


def test_the_module_refuses_a_record_that_is_none(tmp_path: Path) -> None:
    result = run_module(tmp_path, "host_status", {"record": {"host": "a"}})
    assert (result["failed"], result["msg"]) == (True, "record has no parts")


def test_the_program_needs_nothing_but_python() -> None:
    text = PROGRAM.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/python3 -I\n")
    names = {line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert names <= {*sys.stdlib_module_names}


def test_every_code_has_its_row_in_the_order_of_the_table() -> None:
    document = (PROJECT / "docs" / "operations-status.md").read_text(encoding="utf-8")
    found = [
        line.split("`")[1] for line in document.splitlines() if line.startswith("| `") and "-" in line.split("`")[1]
    ]
    assert found == [*own.KINDS]
    assert datetime.fromtimestamp(NOW, UTC).isoformat().startswith(own.moment(NOW)[:19])


def test_what_is_found_is_written_for_prometheus_at_once(tmp_path: Path) -> None:
    file = tmp_path / "airstrip.prom"
    assert command(tmp_path, "--prometheus", str(file), content="{}").returncode == 0
    assert 'airstrip_finding{code="host-unseen",level="ERROR",component=""} 1\n' in file.read_text(encoding="utf-8")
    assert list(tmp_path.glob("*.new")) == []


def test_samples_tell_of_a_host_what_alerts_ask_for() -> None:
    facts = own.read(own.Facts, well(model(), "data")["facts"])
    drained = dataclasses.replace(
        facts, drained=own.Drained("", ""), certificates=(own.Certificate("a", 'b"c', 1.5e9),)
    )
    found = list(own.samples(drained, [own.Finding("disk-low", "a", "low", {"path": "/"})] * 2, 1.75))
    assert 'airstrip_finding{code="disk-low",level="WARN",component="/"} 1' in found
    assert "airstrip_host_drained 1" in found
    assert "airstrip_status_timestamp_seconds 1.75" in found
    assert 'airstrip_certificate_expires_timestamp_seconds{component="a",path="b\\"c"} 1500000000' in found
    assert len(found) == len(set(found))


def test_what_units_have_used_is_told_where_systemd_knows_it() -> None:
    said = "Id=a@b.service\nCPUUsageNSec=1500000000\nMemoryCurrent=[not set]\n\n"
    said += f"Id=c.service\nCPUUsageNSec={2**64 - 1}\nMemoryCurrent=4096\n"
    found = [line for line in own.used(said) if not line.startswith("#")]
    assert found == [
        'airstrip_unit_cpu_seconds_total{groupname="a@b.service"} 1.5',
        'airstrip_unit_memory_bytes{groupname="c.service"} 4096',
    ]
    assert [line for line in own.used("") if not line.startswith("#")] == []


def test_a_port_that_puts_its_clients_out_again_is_open() -> None:
    """It is seen by chance, which of both is first: so often enough."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def refuse() -> None:
            for _ in range(300):
                client, _ = server.accept()
                # Closed with a reset.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        assert {own.port_error("127.0.0.1", port, 5) for _ in range(300)} == {""}
        thread.join(5)
    assert own.port_error("127.0.0.1", port, 5) == "Connection refused"
