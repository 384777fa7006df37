"""The load balancers of a site, as the tests ask and disturb them."""

from __future__ import annotations

import json
import shlex
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
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
    "import os, sys, ssl, urllib.error, urllib.request as r\n"
    "ca = '/etc/airflow/ca-bundle.crt'\n"
    "context = ssl.create_default_context(cafile=ca if os.path.exists(ca) else None)\n"
    "o = r.build_opener(r.ProxyHandler({}), r.HTTPSHandler(context=context))\n"
    "try: a = o.open(sys.argv[1], timeout=10)\n"
    "except urllib.error.HTTPError as e: a = e\n"
    "sys.stdout.write(f'{a.status}\\n' + a.read().decode())"
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
    """Return status and body of what a host gets at a URL, trusting what its tasks trust; raise ConnectionError."""
    result = host.run(f"python3 -c {shlex.quote(_FETCH)} {shlex.quote(url)}")
    if result.rc != 0:
        raise ConnectionError(result.stderr.strip().splitlines()[-1])
    status, _, body = result.stdout.partition("\n")
    return int(status), body


@dataclass(frozen=True)
class Client:
    """HTTPS to one address, without what libraries do of themselves: paths go out as they are given.

    Without an authority it is HTTP.
    """

    address: str
    ca: Path | None
    port: int = 443

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://{self.address}:{self.port}"

    def session(self) -> requests.Session:
        """Return a session that keeps cookies. Whatever proxy the controller has, the site is reached without it."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca) if self.ca else True
        return session

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        context: ssl.SSLContext | None = None,
    ) -> tuple[int, dict[str, str], str]:
        """Return status, headers by lower-case name, and body of the answer. What came twice is joined by commas."""
        connection = HTTPConnection(self.address, self.port, timeout=30)
        if self.ca:
            trusted = ssl.create_default_context(cafile=str(self.ca)) if context is None else context
            connection = HTTPSConnection(self.address, self.port, context=trusted, timeout=30)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            got = {name.lower(): ", ".join(answer.headers.get_all(name, [])) for name in answer.headers}
            return answer.status, got, answer.read().decode()
        finally:
            connection.close()


@dataclass(frozen=True)
class Request:
    """One request: when it began and how long it took, in seconds, and what was wrong with it; nothing, mostly."""

    began: float
    took: float
    wrong: str


class Probe:
    """Asks a URL five times a second, each time by a new connection, and remembers how it went.

    A request has failed if there is no answer with 200 within `timeout` seconds. It waits for no other one.
    """

    def __init__(self, url: str, ca: Path | None, interval: float = 0.2, timeout: float = 5.0) -> None:
        self._url, self._interval, self._timeout = url, interval, timeout
        self._verify = str(ca) if ca else True
        self._requests: list[Request] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _ask(self, began: float) -> None:
        try:
            with requests.Session() as session:
                session.trust_env = False
                status = session.get(self._url, verify=self._verify, timeout=self._timeout).status_code
                wrong = "" if status == 200 else str(status)
        except requests.RequestException as error:
            wrong = f"{type(error).__name__}: {error}"
        self._requests.append(Request(began, time.monotonic() - began, wrong))

    def _run(self) -> None:
        with ThreadPoolExecutor(max_workers=round(2 * self._timeout / self._interval)) as pool:
            while not self._stop.wait(self._interval):
                pool.submit(self._ask, time.monotonic())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def requests(self) -> list[Request]:
        """The requests, in the order in which they began."""
        return sorted(self._requests, key=lambda request: request.began)

    @property
    def failures(self) -> list[str]:
        """What was wrong with the requests that failed."""
        return [request.wrong for request in self.requests if request.wrong]

    @property
    def failed_seconds(self) -> float:
        """The seconds of failed requests."""
        return failed_seconds(self.requests)

    def __str__(self) -> str:
        slowest = max((request.took for request in self.requests if not request.wrong), default=0.0)
        return (
            f"{self.failed_seconds:.1f} s, {len(self.failures)} of {len(self.requests)} requests failed; "
            f"the slowest answer took {slowest:.1f} s"
        )


def failed_seconds(asked: Sequence[Request]) -> float:
    """Return the seconds from the first request that failed to the next one that did not, all such times added up.

    A time without such an end counts until the last request began.
    """
    total, since = 0.0, -1.0
    for request in asked:
        if request.wrong and since < 0:
            since = request.began
        elif not request.wrong and since >= 0:
            total, since = total + request.began - since, -1.0
    return total + (asked[-1].began - since if since >= 0 else 0.0)
