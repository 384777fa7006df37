"""Role journal_remote: whom it takes lines from, and who else gets in."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_site import Site

RECEIVER = "airstrip-journal-receiver.service"
TIMER = "airstrip-logs-clean.timer"
PORT = 19532
CONFIGURATION = "/etc/airstrip/journal-remote"
AS_NOBODY = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
EXPOSURE = 1.3
# Asks as a client without a certificate, or with one that is for servers alone.
POST = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile="{ca}")
if {certificate!r}:
    context.load_cert_chain({certificate!r}, {key!r})
try:
    server = http.client.HTTPSConnection("127.0.0.1", {port}, context=context, timeout=10)
    headers = {{"Content-Type": "application/vnd.fdo.journal"}}
    server.request("POST", "/upload", body=b"MESSAGE=x\\n\\n", headers=headers)
    print(server.getresponse().status)
except OSError:
    print("refused")
except http.client.HTTPException:
    print("refused")
"""


def post(host: Any, certificate: str = "", key: str = "") -> str:
    program = POST.format(ca=f"{CONFIGURATION}/ca.crt", certificate=certificate, key=key, port=PORT)
    return str(host.check_output("python3 -c %s", program)).strip()


def test_it_runs_and_would_after_a_restart(host: Any) -> None:
    for unit in (RECEIVER, TIMER):
        assert host.service(unit).is_running
        assert host.service(unit).is_enabled


def test_each_other_host_has_a_journal_of_its_own(host: Any, site: Site, inventory_hostname: str) -> None:
    found = set(host.check_output("ls /var/log/airstrip-journals").split())
    assert found == set(site.hosts) - {inventory_hostname}


@pytest.mark.parametrize("part", ["", "tls"])
def test_nobody_sends_without_a_certificate_of_a_sender(host: Any, part: str) -> None:
    given = (f"{CONFIGURATION}/{part}.crt", f"{CONFIGURATION}/{part}.crt.key") if part else ()
    assert post(host, *given) == "refused"


def test_others_on_this_host_reach_neither_sockets_nor_journals(host: Any) -> None:
    for path in ("/var/log/airstrip-journals/*", f"{CONFIGURATION}/tls.crt.key"):
        assert host.run(f"for path in {path}; do {AS_NOBODY} test -r $path && exit 1; done; true").rc == 0, path
    program = (
        "import glob, socket, sys\n"
        "for path in glob.glob('/run/airstrip-journal/*.sock'):\n"
        "    try: socket.socket(socket.AF_UNIX).connect(path)\n"
        "    except PermissionError: continue\n"
        "    sys.exit(path)\n"
    )
    assert host.run(f"{AS_NOBODY} python3 -c %s", program).rc == 0


def test_old_files_can_be_removed(host: Any) -> None:
    host.check_output("systemctl start airstrip-logs-clean.service")
    assert host.check_output("systemctl show --property=Result --value airstrip-logs-clean.service") == "success"


@pytest.mark.parametrize("unit", [RECEIVER, "airstrip-logs-clean.service"])
def test_the_units_are_closed(host: Any, unit: str) -> None:
    level = host.check_output(f"systemd-analyze security {unit} | tail -n 1")
    assert float(level.split(":")[1].split()[0]) <= EXPOSURE, level
