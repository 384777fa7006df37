"""A mail server and a web server on a test host that keep what is sent to them."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

SMTP_PORT, HTTP_PORT = 2525, 2580
_UNIT = "airstrip-test-sinks"
_DIRECTORY = f"/run/{_UNIT}"
_KEPT = f"{_DIRECTORY}/kept"

# One line of JSON for each message, in the order of their arrival.
_PROGRAM = """
import email, email.policy, http.server, json, sys, threading, time
from aiosmtpd.controller import Controller

kept, lock = open(sys.argv[1], "a", buffering=1), threading.Lock()

def keep(**message):
    with lock:
        kept.write(json.dumps({"at": time.time(), **message}) + "\\n")

class Mail:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        keep(kind="mail", to=envelope.rcpt_tos, sender=envelope.mail_from, subject=message["Subject"],
             text=message.get_body(("plain",)).get_content())
        return "250 OK"

class Web(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        keep(kind="web", path=self.path, body=json.loads(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

Controller(Mail(), hostname="127.0.0.1", port=int(sys.argv[2])).start()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Web).serve_forever()
"""


@dataclass(frozen=True)
class Sinks:
    """The servers, and what they have got."""

    host: Any

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that has come, the oldest first."""
        return [json.loads(line) for line in self.host.check_output(f"cat {_KEPT}").splitlines()]

    @property
    def titles(self) -> list[str]:
        """Where each message went, and of what it tells, for the report of a failed test."""
        return [
            f"{message['to']}: {message['subject']}"
            if message["kind"] == "mail"
            else f"{message['path']}: {message['body'].get('groupLabels')} {message['body'].get('status')}"
            for message in self.messages
        ]

    def wait(self, fits: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """Return the first message that fits, when it has come; fail with all of them if it does not come in time."""
        end = time.monotonic() + seconds
        while not (found := [message for message in self.messages if fits(message)]):
            assert time.monotonic() < end, f"not within {seconds} s; there were: {self.titles}"
            time.sleep(1)
        return found[0]


def tells(alert: str, status: str, kind: str = "web") -> Callable[[dict[str, Any]], bool]:
    """Return a function that says whether a message tells of an alert, firing or resolved."""

    def fits(message: dict[str, Any]) -> bool:
        if message["kind"] != kind:
            return False
        if kind == "mail":
            return f"alertname={alert} " in message["text"] and message["subject"].startswith(f"[{status.upper()}")
        told = message["body"].get("alerts", [])
        return any(each["labels"]["alertname"] == alert and each["status"] == status for each in told)

    return fits


@contextmanager
def sinks(host: Any) -> Iterator[Sinks]:
    """Have a mail server and a web server on the loopback address of a host, as long as this lasts."""
    had = host.package("python3-aiosmtpd").is_installed
    if not had:
        host.check_output(
            "DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install --quiet --yes"
            " --no-install-recommends python3-aiosmtpd"
        )
    host.check_output(f"mkdir -p {_DIRECTORY} && : >{_KEPT}")
    program = f"{_DIRECTORY}/sinks.py"
    host.check_output(f"printf %s {shlex.quote(_PROGRAM)} >{program}")
    host.check_output(f"systemd-run --quiet --unit={_UNIT} --collect python3 {program} {_KEPT} {SMTP_PORT} {HTTP_PORT}")
    try:
        found = Sinks(host)
        for port in (SMTP_PORT, HTTP_PORT):
            wait_until(partial(listens, host, port), 30)
        yield found
    finally:
        host.run(f"systemctl stop {_UNIT}; rm -rf {_DIRECTORY}")
        if not had:
            host.run("DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes --autoremove purge python3-aiosmtpd")


def listens(host: Any, port: int) -> bool:
    """Whether something on a host listens at a port of its loopback address."""
    return bool(host.socket(f"tcp://127.0.0.1:{port}").is_listening)


def wait_until(answer: Callable[[], bool], seconds: float) -> None:
    """Return when an answer is yes; fail if it is not in time."""
    end = time.monotonic() + seconds
    while not answer():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.5)
