#!/usr/bin/python3 -I
"""
Start and stop this host's instances of worker sets as Prometheus wants them.

    airstrip-worker-scale CONFIGURATION

asks for how many instances each set is to have, takes this host's share, and starts or stops units. It does so only
while the set's first instance of this host runs: who drains the host, stops it, or upgrades it stops that one, and with
it, by PartOf=, all others. An instance that is stopped takes no new tasks and finishes those that it has.

One file with two uses: the role worker_scale installs it as that command, and the site's model takes `share` from it.

The configuration is JSON, root's, see Settings. The password is in $CREDENTIALS_DIRECTORY/password. What Prometheus
says are numbers, which count within the bounds of the configuration alone. Without an answer, and with one that is
older than MAX_AGE, nothing is changed. Exit status: 0, also without an answer; 1 for a configuration or a systemd that
is none.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import math
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Seconds after which what Prometheus knows is too old to act on; six samples of the rules.
MAX_AGE = 60
# Seconds for an answer, and for systemd's.
PATIENCE, SYSTEMD = 5, 20
# Bytes of an answer.
_BYTES = 1 << 20
# Seconds after which an instance that failed is started again: the first time, and at most; each time twice as many.
FIRST_WAIT, LAST_WAIT = 10, 600
# Seconds that an instance has to run for its failures to be forgotten.
SETTLED = 120
_STATE = Path("/run/airstrip-worker-scale/state.json")
WANTED, PRESENT, FULL = (f"airstrip:worker_{name}" for name in ("instances_wanted", "instances_present", "host_full"))


@dataclass(frozen=True)
class Host:
    """A host of a set.

    weight  its size beside that of the others, above 0: it gets so much of the set
    fixed   instances that always run there
    most    instances that it may run
    """

    name: str
    weight: float
    fixed: int
    most: int


def share(wanted: int, hosts: Sequence[Host]) -> dict[str, int]:
    """
    Return how many instances each host is to run, so that all of them run `wanted`, as far as they may.

    Beginning with what always runs there, the next instance goes to the host that has fewest for its size (D'Hondt's
    method): one more wanted is one more somewhere, and never one less elsewhere. Of equal hosts, the first gets it.
    """
    found = {host.name: host.fixed for host in hosts}
    for _ in range(wanted - sum(found.values())):
        able = [host for host in hosts if found[host.name] < host.most]
        if not able:
            break
        found[min(able, key=lambda host: (found[host.name] + 1) / host.weight).name] += 1
    return found


@dataclass(frozen=True)
class Set:
    """A set of workers that scales: its bounds, its hosts in the order of the site, and its units on this host.

    The first unit is the one on which the others depend; `units` are those beside the fixed ones, in order.
    """

    name: str
    least: int
    most: int
    hosts: tuple[Host, ...]
    first: str
    units: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """What the role has written.

    host     this host's name in the inventory
    servers  of Prometheus, by `address` and `port`; the first that answers counts
    user     for HTTP's basic authentication
    ca_file  authority of their certificates; nothing without TLS
    metrics  file for the node exporter, or nothing
    """

    host: str
    servers: tuple[Mapping[str, Any], ...]
    user: str
    ca_file: str
    metrics: str
    sets: tuple[Set, ...]


def settings_of(text: str) -> Settings:
    """Return the configuration. Raises ValueError, KeyError or TypeError for one that is none."""
    given = json.loads(text)
    sets = tuple(
        Set(**{**row, "hosts": tuple(Host(**host) for host in row["hosts"]), "units": tuple(row["units"])})
        for row in given["sets"]
    )
    return Settings(**{**given, "servers": tuple(given["servers"]), "sets": sets})


@dataclass(frozen=True)
class Answer:
    """What Prometheus knows of a set: instances that it wants, and by host those that are there; hosts that are full.

    A host of which it knows no instances is down.
    """

    wanted: int
    present: Mapping[str, int]
    full: frozenset[str]


class ScaleError(Exception):
    """No answer, or none that counts."""


def _is_number(text: object) -> bool:
    with contextlib.suppress(ValueError):
        return math.isfinite(float(str(text)))
    return False


def _number(text: object) -> int:
    return round(float(str(text)))


def answers_of(said: object, now: float) -> dict[str, Answer]:
    """
    Return what the answer of /api/v1/query says of each set.

    A set is left out whose number is none, or too old. Raises ScaleError for an answer that is none.
    """
    try:
        rows = [
            (row["metric"]["__name__"], row["metric"], row["values"][-1])
            for row in said["data"]["result"]  # type: ignore[index]
        ]
        found: dict[str, Answer] = {}
        for name, labels, (moment, value) in rows:
            if name == WANTED and now - float(moment) <= MAX_AGE:
                known = Answer(_number(value), {}, frozenset()) if _is_number(value) else None
                found |= {str(labels["set"]): known} if known else {}
        for name, labels, (moment, value) in rows:
            known = found.get(str(labels.get("set")))
            if known is None or now - float(moment) > MAX_AGE or not _is_number(value):
                continue
            host = str(labels.get("instance"))
            if name == PRESENT:
                known = replace(known, present={**known.present, host: _number(value)})
            elif name == FULL and _number(value):
                known = replace(known, full=known.full | {host})
            found[str(labels["set"])] = known
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ScaleError(f"the answer is none: {error!r}") from None
    return found


def here(one: Set, answer: Answer, host: str) -> int:
    """Return how many instances a host is to run beside the fixed ones; one that is full gets no more than it has."""
    hosts = [
        replace(each, most=max(each.fixed, min(each.most, answer.present[each.name])))
        if each.name in answer.full and each.name in answer.present
        else each
        for each in one.hosts
        # This one is there, whatever Prometheus has not seen yet.
        if each.name in answer.present or each.name == host
    ]
    wanted = max(one.least, min(one.most, answer.wanted))
    own = next(each for each in one.hosts if each.name == host)
    return min(share(wanted, hosts)[host] - own.fixed, len(one.units))


@dataclass(frozen=True)
class Unit:
    """A unit as systemd has it: its state, and seconds since it has been so."""

    active: str
    age: float


@dataclass(frozen=True)
class Failures:
    """How often a unit failed one after the other, and the moment of the last start."""

    count: int
    since: float


def changes(
    one: Set, wanted: int, units: Mapping[str, Unit], failed: Mapping[str, Failures], now: float
) -> tuple[list[str], list[str]]:
    """
    Return the units of a set to start, and those to stop.

    One that stops still has tasks: it counts as there, and is not started before it has ended. One that failed is
    started again only after its time.
    """
    states = {name: units[name].active if name in units else "inactive" for name in one.units}
    stopping = [name for name in one.units if states[name] == "deactivating"]
    running = [name for name in one.units if states[name] in ("active", "activating", "reloading")]
    idle = [name for name in one.units if name not in stopping and name not in running]
    if (surplus := len(running) - wanted) > 0:
        return [], running[-surplus:]
    missing = max(0, wanted - len(running) - len(stopping))
    return [name for name in idle if now >= _next_start(failed.get(name))][:missing], []


def _next_start(failed: Failures | None) -> float:
    if failed is None or failed.count == 0:
        return 0.0
    return failed.since + min(LAST_WAIT, FIRST_WAIT * 2.0 ** (failed.count - 1))


def failures_of(
    units: Mapping[str, Unit], before: Mapping[str, Failures], started: Sequence[str], now: float
) -> dict[str, Failures]:
    """Return the failures as they are now: those of units that have run for a while, or ended well, are forgotten."""
    found = {}
    for name, old in before.items():
        unit = units.get(name, Unit("inactive", 0.0))
        if unit.active != "inactive" and not (unit.active == "active" and unit.age > SETTLED):
            found[name] = old
    for name in started:
        is_again = name in units and units[name].active == "failed"
        found[name] = Failures(found[name].count + 1 if is_again and name in found else int(is_again), now)
    return found


# What asks and acts


def _ask(settings: Settings, password: str) -> object:
    """Return what the first server that answers says. Raises ScaleError, with the reasons of all."""
    names = "|".join((WANTED, PRESENT, FULL))
    query = urllib.parse.urlencode({"query": f'{{__name__=~"{names}"}}[{MAX_AGE}s]'})
    login = base64.b64encode(f"{settings.user}:{password}".encode()).decode()
    context = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None
    reasons = []
    for server in settings.servers:
        url = f"http{'s' if context else ''}://{server['address']}:{server['port']}"
        request = urllib.request.Request(f"{url}/api/v1/query?{query}", headers={"Authorization": f"Basic {login}"})  # noqa: S310 root's file names it
        try:
            # No proxy stands between hosts of a site.
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            with opener.open(request, timeout=PATIENCE) as response:
                return json.loads(response.read(_BYTES))
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {error}")
    raise ScaleError("; ".join(reasons) or "there is no server to ask")


def _systemctl(*arguments: str) -> str:
    result = subprocess.run(
        ["systemctl", *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=SYSTEMD,
        env={"LC_ALL": "C.UTF-8"},
    )
    return result.stdout


def _units(names: Sequence[str]) -> dict[str, Unit]:
    found, now = {}, time.monotonic()
    text = _systemctl("show", "--property=Id,ActiveState,StateChangeTimestampMonotonic", "--", *names)
    for block in text.split("\n\n"):
        seen = dict(line.partition("=")[::2] for line in block.splitlines())
        if "Id" in seen:
            age = now - int(seen["StateChangeTimestampMonotonic"] or 0) / 1e6
            found[seen["Id"]] = Unit(seen["ActiveState"], age)
    return found


def _read_state(path: Path) -> tuple[dict[str, Failures], dict[str, float]]:
    """Return the failures and the moments of answers that were written; nothing, if that is none: all begins anew."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        state = json.loads(path.read_text())
        failures = {str(name): Failures(**row) for name, row in state["failures"].items()}
        return failures, {str(name): float(moment) for name, moment in state["answers"].items()}
    return {}, {}


def _write_state(path: Path, failures: Mapping[str, Failures], answers: Mapping[str, float]) -> None:
    rows = {name: vars(row) for name, row in failures.items()}
    _replace(path, json.dumps({"failures": rows, "answers": answers}), 0o600)


def answered(
    sets: Sequence[Set], before: Mapping[str, float], said: Mapping[str, Answer], now: float
) -> dict[str, float]:
    """Return the moment of each set's last answer; of one that has had none, of the first question."""
    return {one.name: now if one.name in said else before.get(one.name, now) for one in sets}


def _replace(path: Path, text: str, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    Path(name).replace(path)


def _lines(settings: Settings, units: Mapping[str, Unit], answers: Mapping[str, float]) -> Iterator[str]:
    """Yield the metrics."""
    yield "# TYPE airstrip_worker_scale_last_answer_seconds gauge"
    for name, moment in answers.items():
        yield f'airstrip_worker_scale_last_answer_seconds{{set="{name}"}} {moment:.0f}'
    yield "# TYPE airstrip_worker_scale_units gauge"
    for one in settings.sets:
        for state in ("active", "deactivating", "failed"):
            count = sum(units[name].active == state for name in one.units if name in units)
            yield f'airstrip_worker_scale_units{{set="{one.name}",state="{state}"}} {count}'


def _run(settings: Settings, password: str) -> None:
    now, said = time.time(), dict[str, Answer]()
    try:
        said = answers_of(_ask(settings, password), now)
    except ScaleError as error:
        sys.stderr.write(f"Nothing is changed: {error}\n")
    names = [name for one in settings.sets for name in (one.first, *one.units)]
    (before, asked), units, started = _read_state(_STATE), _units(names), list[str]()
    for one in settings.sets:
        answer, first = said.get(one.name), units.get(one.first)
        if answer is None or first is None or first.active != "active":
            continue
        starting, stopping = changes(one, here(one, answer, settings.host), units, before, now)
        for verb, chosen in (("start", starting), ("stop", stopping)):
            if chosen:
                sys.stdout.write(f"{one.name}: {answer.wanted} wanted on the site; {verb} {' '.join(chosen)}\n")
                _systemctl(verb, "--no-block", "--", *chosen)
        started += starting
    failures = failures_of(units, before, started, now)
    answers = answered(settings.sets, asked, said, now)
    _write_state(_STATE, failures, answers)
    if settings.metrics and Path(settings.metrics).parent.is_dir():
        lines = _lines(settings, units, answers)
        _replace(Path(settings.metrics), "".join(f"{line}\n" for line in lines), 0o644)


def main(argv: Sequence[str]) -> int:
    """Do what has to be done once; a timer calls it again."""
    try:
        settings = settings_of(Path(argv[0]).read_text())
        password = Path(os.environ["CREDENTIALS_DIRECTORY"], "password").read_text().strip()
        _run(settings, password)
    except (OSError, ValueError, KeyError, TypeError, IndexError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"airstrip-worker-scale: {error!r}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
