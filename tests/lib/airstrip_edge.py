"""The load balancers of a site, as the tests ask and disturb them."""

from __future__ import annotations

import json
import shlex
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

SOCKET = "/run/haproxy/admin.sock"
_COMMAND = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
    "s.sendall(sys.argv[2].encode() + b'\\n'); sys.stdout.write(s.makefile().read())"
)
# Exits with 0 and the status if a URL is answered, whatever the answer is.
_FETCH = (
    "import sys, ssl, urllib.error, urllib.request as r\n"
    "o = r.build_opener(r.ProxyHandler({}), r.HTTPSHandler(context=ssl.create_default_context()))\n"
    "try: a = o.open(sys.argv[1], timeout=10)\n"
    "except urllib.error.HTTPError as e: a = e\n"
    "print(a.status); print(a.read().decode())"
)


def haproxy(host: Any, command: str) -> str:
    """Return what HAProxy on a host says to a command of its socket."""
    return str(host.check_output(f"python3 -c {shlex.quote(_COMMAND)} {SOCKET} {shlex.quote(command)}"))


def servers(host: Any) -> dict[tuple[str, str], str]:
    """Return the state of each server of Airflow, such as UP or DRAIN, by the names of backend and server."""
    lines = haproxy(host, "show stat json")
    found: dict[tuple[str, str], str] = {}
    for fields in json.loads(lines):
        values = {field["field"]["name"]: field["value"]["value"] for field in fields}
        if values["svname"] not in {"FRONTEND", "BACKEND"}:
            found[values["pxname"], values["svname"]] = values["status"]
    return found


def all_up(balancers: Sequence[Any]) -> bool:
    """Whether every load balancer sends requests to every API server."""
    return all(set(servers(balancer).values()) == {"UP"} for balancer in balancers)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Return once a condition holds; raise TimeoutError if it does not in time."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.5)


def fetch(host: Any, url: str) -> tuple[int, str]:
    """Return status and body of what a host gets at a URL, with its own authorities; raise ConnectionError."""
    result = host.run(f"python3 -c {shlex.quote(_FETCH)} {shlex.quote(url)}")
    if result.rc != 0:
        raise ConnectionError(result.stderr.strip().splitlines()[-1])
    status, _, body = result.stdout.partition("\n")
    return int(status), body


@dataclass(frozen=True)
class Client:
    """HTTPS to one address, without what libraries do of themselves: paths go out as they are given."""

    address: str
    ca: Path
    port: int = 443

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"

    def session(self) -> requests.Session:
        """Return a session that keeps cookies. Whatever proxy the controller has, the site is reached without it."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca)
        return session

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        context: ssl.SSLContext | None = None,
    ) -> tuple[int, dict[str, str], str]:
        """Return status, headers by lower-case name, and body of the answer."""
        trusted = ssl.create_default_context(cafile=str(self.ca)) if context is None else context
        connection = HTTPSConnection(self.address, self.port, context=trusted, timeout=30)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()


class Probe:
    """Asks a URL ten times a second, each time by a new connection, and remembers how it went.

    A request has failed if there is no answer with 200 within `timeout` seconds.
    """

    def __init__(self, url: str, ca: Path, interval: float = 0.1, timeout: float = 2.0) -> None:
        self._url, self._ca, self._interval, self._timeout = url, ca, interval, timeout
        # When each request began, counted from the first one, and what was wrong with it; nothing, if it was answered.
        self.requests: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _ask(self) -> str:
        try:
            with requests.Session() as session:
                session.trust_env = False
                status = session.get(self._url, verify=str(self._ca), timeout=self._timeout).status_code
        except requests.RequestException as error:
            return f"{type(error).__name__}: {error}"
        return "" if status == 200 else str(status)

    def _run(self) -> None:
        first = time.monotonic()
        while not self._stop.is_set():
            began = time.monotonic()
            self.requests.append((began - first, self._ask()))
            self._stop.wait(max(0.0, began + self._interval - time.monotonic()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def failures(self) -> list[str]:
        """What was wrong with the requests that failed."""
        return [wrong for _, wrong in self.requests if wrong]

    @property
    def failed_seconds(self) -> float:
        """The time from the first request that failed to the next one that was answered, all such times added up."""
        return failed_seconds(self.requests)

    def __str__(self) -> str:
        return f"{self.failed_seconds:.1f} s, {len(self.failures)} of {len(self.requests)} requests failed"


def failed_seconds(asked: Sequence[tuple[float, str]]) -> float:
    """Return the seconds of failed requests of a list of their beginnings and what was wrong with them.

    The last request is not the end of a time in which all fail: it counts until then.
    """
    total, since = 0.0, -1.0
    for began, wrong in asked:
        if wrong and since < 0:
            since = began
        elif not wrong and since >= 0:
            total, since = total + began - since, -1.0
    return total + (asked[-1][0] - since if since >= 0 else 0.0)
