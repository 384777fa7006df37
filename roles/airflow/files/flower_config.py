"""Configuration of Flower, as the component `flower` of the role airflow runs it: what it shows, and to whom.

Flower runs this before it begins, and takes the names that are options of its own. The rest keeps from it what a
message of Airflow's has beside its name: the token by which a task runs. It reaches Flower in the arguments that
workers tell of, and may stand in what went wrong.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, MutableSequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# This works on parts of Flower that may change: another version is refused until they were looked at.
_VERSIONS = ("2.0.1", "2.1.0")
_HIDDEN = "(hidden)"
# What may be in an event. What is not here, for example `args`, `kwargs`, `result`, `exception` and `traceback`, never
# gets into Flower's memory. Source: Celery 5.6, celery/worker/request.py and celery/worker/consumer/events.py.
_EVENT = frozenset(
    (
        *("type", "uuid", "name", "hostname", "timestamp", "local_received", "clock", "utcoffset", "pid", "freq"),
        *("active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys", "retries", "eta", "expires", "queue"),
        *("exchange", "routing_key", "root_id", "parent_id", "runtime", "terminated", "signum", "expired"),
    )
)
# Of a task that a worker has. Its page wants arguments.
_TASK = frozenset(["id", "name", "type", "hostname", "time_start", "acknowledged", "delivery_info", "worker_pid"])
# Of a worker's broker: the options of the transport may hold passwords.
_BROKER = frozenset(["hostname", "port", "transport", "userid", "virtual_host", "connect_timeout"])
# Routes of pages, and of what load balancers ask. The rest is not found.
_PAGES = re.compile(r"/|/(workers|tasks|broker|tasks/datatable|healthcheck)|/(worker|task|static)/\(.*\)|\.\*")
# Never those that send a task: who may do that runs code on the workers.
_CONTROL = re.compile(r"/api/(worker/.*|task/(timeout|rate-limit|revoke)/.*)")
_READS = ("GET", "HEAD")
# Tasks can make up events and names, and pages have Airflow's own origin: nothing in them is ever markup.
_MARKUP = re.compile(r"[^\w .,:;@/+=#*()\[\]{}|-]")
_LONGEST = 300


def is_served(pattern: str, *, read_only: bool) -> bool:
    """Tell whether a route of Flower's, by its regular expression, is there at all."""
    plain = pattern.removesuffix("$")
    return bool(_PAGES.fullmatch(plain) or (not read_only and _CONTROL.fullmatch(plain)))


def plain(value: object) -> Any:
    """Return what others say without markup, and short."""
    if isinstance(value, Mapping):
        return {plain(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else _MARKUP.sub("?", str(value))[:_LONGEST]


def told(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an event may be known."""
    return {name: plain(value) for name, value in event.items() if name in _EVENT}


def answered(method: str, response: object) -> Any:
    """Return what of a worker's answer may be known."""
    reduce = _ANSWERS.get(method)
    return plain(reduce(response)) if reduce else {}


def _task(row: object) -> dict[str, Any]:
    given = row if isinstance(row, Mapping) else {}
    return {name: value for name, value in given.items() if name in _TASK} | {"args": _HIDDEN, "kwargs": _HIDDEN}


def _tasks(rows: object) -> list[dict[str, Any]]:
    return [_task(row) for row in rows] if isinstance(rows, list) else []


def _scheduled(rows: object) -> list[dict[str, Any]]:
    found = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return [
        {"eta": row.get("eta"), "priority": row.get("priority"), "request": _task(row.get("request"))} for row in found
    ]


def _stats(answer: object) -> dict[str, Any]:
    stats = dict(answer) if isinstance(answer, Mapping) else {}
    for holder in (stats, stats.get("consumer")):
        if isinstance(holder, dict) and isinstance(holder.get("broker"), Mapping):
            holder["broker"] = {name: value for name, value in holder["broker"].items() if name in _BROKER}
    return stats


# What Flower asks workers for, and how it is reduced. Nothing else is kept, for example their configuration.
_ANSWERS: dict[str, Callable[[Any], Any]] = {
    "stats": _stats,
    "active": _tasks,
    "reserved": _tasks,
    "scheduled": _scheduled,
    "active_queues": lambda answer: answer,
    "registered": lambda answer: answer,
    "revoked": lambda answer: answer,
}


def is_foreign(method: str, origin: str, host: str) -> bool:
    """Tell whether another site makes a browser ask for a change: it sends the password along by itself."""
    return method not in _READS and bool(origin) and urlsplit(origin).netloc != host


def _logins(text: str) -> list[str]:
    """Return people with their passwords, as Flower takes them; raise ValueError if there are none."""
    found = [f"{name}:{password}" for name, password in json.loads(text).items() if password]
    if not found:
        # Without logins, Flower would ask nobody for one.
        raise ValueError("flower_logins: nobody may look at Flower")
    return found


def _keep_within(*, read_only: bool) -> None:
    """Take from Flower the routes that it is not to have, and what it is not to know."""
    # Here, because only Flower's own environment has them.
    from flower import __version__, api, events, inspector, urls, views  # noqa: PLC0415
    from tornado.web import HTTPError  # noqa: PLC0415

    if __version__ not in _VERSIONS:
        raise RuntimeError(f"flower_config.py was made for Flower {' and '.join(_VERSIONS)}, and this is {__version__}")
    routes: MutableSequence[Any] = urls.handlers
    routes[:] = [
        route
        for route in routes
        if is_served(route[0] if isinstance(route, tuple) else route.regex.pattern, read_only=read_only)
    ]
    take, update = events.EventsState.event, inspector.Inspector._on_update

    def event(self: Any, event: Mapping[str, Any]) -> Any:
        return take(self, told(event))

    def _on_update(self: Any, workername: str, method: str, response: Any) -> Any:
        return update(self, plain(workername), method, answered(method, response))

    def own(begin: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def prepare(self: Any) -> Any:
            headers = self.request.headers
            if is_foreign(self.request.method, headers.get("Origin", ""), headers.get("Host", "")):
                raise HTTPError(403, "Asked for by another site")
            return begin(self)

        return prepare

    events.EventsState.event = event
    inspector.Inspector._on_update = _on_update
    for handler in (views.BaseHandler, api.BaseApiHandler):
        handler.prepare = own(handler.prepare)


# Flower's options, where Flower runs this: a test does not.
if "CREDENTIALS_DIRECTORY" in os.environ:
    _held = Path(os.environ["CREDENTIALS_DIRECTORY"])
    _keep_within(read_only=os.environ.get("AIRSTRIP_FLOWER_READ_ONLY") != "no")
    url_prefix = "flower"
    basic_auth = _logins((_held / "flower_logins").read_text())
    # 2.0.1 has no such option, and no routes for it either.
    read_only = os.environ.get("AIRSTRIP_FLOWER_READ_ONLY") != "no"
    max_tasks = 10000
    purge_offline_workers = 3600
    if (_held / "flower_certificate").exists():
        certfile, keyfile = str(_held / "flower_certificate"), str(_held / "flower_certificate_key")
