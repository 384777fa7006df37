"""
Filter: how the components of a site are.

What is here was seen by others: systemd of each host, the metadata database (heartbeats, tasks) and the broker (waiting
messages, workers that answer). Any of them may not have answered; then what it would have told is null.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.errors import AnsibleFilterError
from cryptography import x509

# systemd's states in one word.
_STATES = {
    "active": "active",
    "activating": "starting",
    "deactivating": "stopping",
    "failed": "failed",
    "inactive": "stopped",
    "reloading": "active",
}
_LEVELS = {"active": "good", "starting": "warning", "stopping": "warning", "unknown": "warning"}
# Airflow's own limit for a heartbeat, and how long a component may take until its first one.
_SILENT_AFTER = 30
_FIRST_BEAT_WITHIN = 60
# Letters that are shown of a message.
_MESSAGE = 300
_FOREIGN = "not in the inventory"

Row = dict[str, Any]
# Level, code and text.
Finding = tuple[str, str, str]


def _expected(host: Mapping[str, Any]) -> Iterator[tuple[Row, list[str]]]:
    """Yield what the inventory puts on a host: its part of a row, and the patterns of its unit."""
    for component, placed in host["placed"].items():
        if component == "worker":
            for worker in host["workers"]:
                row = {"component": f"worker@{worker['name']}", "kind": component, "worker": worker}
                yield row, [unit.replace("@*", f"@{worker['name']}") for unit in placed["units"]]
        else:
            yield {"component": component, "kind": component}, placed["units"]


def _paired(host: Mapping[str, Any]) -> Iterator[tuple[Row, Row]]:
    """Yield each component of a host with its unit; of one that is missing, without; then units of no component."""
    left = {unit["unit"]: unit for unit in host["look"].get("units", [])}
    for row, patterns in _expected(host):
        names = [name for name in left if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
        # Of both engines of a broker, the one that is on.
        running = [name for name in names if left[name]["active"] != "inactive"] or names[:1]
        yield from ((row, left[name]) for name in running)
        if not running:
            yield row, {}
        for name in names:
            del left[name]
    for name, unit in left.items():
        if unit["active"] != "inactive":
            stem = name.removesuffix(".service").removeprefix("airflow-")
            yield {"component": stem, "kind": "", "note": _FOREIGN}, unit


def _state(host: Mapping[str, Any], unit: Mapping[str, Any]) -> str:
    if not host["look"]:
        return "unreachable" if host["unreachable"] else "unknown"
    if not unit:
        return "missing"
    if unit["active"] == "activating" and unit["sub"].startswith("auto-restart"):
        return "restarting"
    return _STATES.get(unit["active"], str(unit["active"]))


def _pulse(row: Row, host: Mapping[str, Any], site: Mapping[str, Any]) -> tuple[bool, float | None]:
    """Return whether a component's sign of life could be seen, and how many seconds old the last one is."""
    job = site["components"].get(row["kind"], {}).get("job")
    if job:
        ages = [
            float(entry["age"])
            for entry in site["database"].get("jobs", [])
            if entry["job_type"] == job and entry["hostname"] in host["names"]
        ]
        return not site["database"]["error"] and bool(host["names"]), min(ages, default=None)
    if row["kind"] == "worker":
        answered = f"{row['worker']['name']}@{host['node']}" in site["broker"]["answers"]
        return site["broker"]["asked"] and bool(host["node"]), 0.0 if answered else None
    answers = host["look"].get("answers", []) if row["kind"] == "api_server" else []
    return bool(answers), 0.0 if any(seconds is not None for seconds in answers) else None


def _is_silent(pulse: tuple[bool, float | None], age: float | None) -> bool:
    known, beat = pulse
    return known and (age or 0) > _FIRST_BEAT_WITHIN and (beat is None or beat > _SILENT_AFTER)


def _own_slots(worker: Mapping[str, Any], host: Mapping[str, Any]) -> int | None:
    if "autoscale" in worker:
        return int(worker["autoscale"]["max"])
    return int(worker.get("concurrency", host["concurrency"])) or None


def _same_queues(worker: Mapping[str, Any], host: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the workers of a host that have a queue in common with one of them, itself included."""
    return [other for other in host["workers"] if set(other["queues"]) & set(worker["queues"])]


def _slots(row: Row, host: Mapping[str, Any], site: Mapping[str, Any]) -> Row:
    """Return how many slots a component has, and in how many of them tasks run.

    The database knows host and queue of a task only: workers of a host with a queue in common are counted together.
    """
    queues: set[str] = set()
    if row["kind"] == "worker":
        together = _same_queues(row["worker"], host)
        queues.update(*(worker["queues"] for worker in together))
        sizes = [_own_slots(worker, host) for worker in together]
    elif row["kind"] == "scheduler" and site["parallelism"]:
        sizes = [int(site["parallelism"])]
    else:
        return {"busy": None, "slots": None, "shared": False}
    busy = sum(
        int(entry["tasks"])
        for entry in site["database"].get("running", [])
        if entry["hostname"] in host["names"] and (not queues or entry["queue"] in queues)
    )
    is_known = host["names"] and not site["database"]["error"]
    return {"busy": busy if is_known else None, "slots": _sum(sizes), "shared": len(sizes) > 1}


def _sum(sizes: list[int | None]) -> int | None:
    return None if None in sizes else sum(filter(None, sizes))


def _note(row: Row, unit: Mapping[str, Any], current: str) -> str:
    if row.get("note"):
        return str(row["note"])
    release = unit.get("release", "")
    if release and current and release != current:
        return f"runs {release}, and {current} is installed"
    result = unit.get("result", "success")
    return "" if result == "success" else str(result)


def _component(name: str, pair: tuple[Row, Row], site: Mapping[str, Any]) -> Row:
    """Return the row of a component."""
    (row, unit), host = pair, site["hosts"][name]
    state, pulse, age = _state(host, unit), _pulse(row, host, site), unit.get("age")
    if state == "active" and _is_silent(pulse, age):
        state = "silent"
    is_meant = state == "stopped" and host["look"].get("drained")
    current = host["look"].get("current", "")
    # Of a process that does not run, what it would run.
    release = unit.get("release") or (current if row["kind"] in site["components"] else "")
    return {
        "host": name,
        "component": row["component"],
        "unit": unit.get("unit", ""),
        "version": release.partition("-")[0],
        "release": release,
        "state": state,
        "level": "warning" if is_meant else _LEVELS.get(state, "bad"),
        "since": _moment(unit["since"]) if age is not None else None,
        "seconds": age,
        "restarts": unit.get("restarts"),
        "heartbeat": pulse[1],
        **_slots(row, host, site),
        "note": _note(row, unit, current),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _queues(site: Mapping[str, Any]) -> list[Row]:
    """Return each queue with what waits in the broker, what the database calls queued, and who works on it."""
    workers = [
        (worker, host) for host in site["hosts"].values() if "worker" in host["placed"] for worker in host["workers"]
    ]
    served = [queue for worker, _ in workers for queue in worker["queues"]]
    queued = {entry["queue"]: int(entry["tasks"]) for entry in site["database"].get("queued", [])}
    waiting = site["broker"]["queues"]
    rows = []
    for queue in sorted({*served, *queued, *waiting}) if site["uses_celery"] else []:
        slots = [_own_slots(worker, host) for worker, host in workers if queue in worker["queues"]]
        rows.append(
            {
                "queue": queue,
                "waiting": waiting.get(queue),
                "queued": None if site["database"]["error"] else queued.get(queue, 0),
                "workers": len(slots),
                "slots": _sum(slots),
            }
        )
    return rows


def _end(pem: str) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
    except ValueError:
        return None


def _certificates(site: Mapping[str, Any]) -> list[Row]:
    """Return each certificate with the days that are left; one that cannot be read has none."""
    rows = []
    authority = [("", "authority", site["authority"])] if site["authority"] else []
    leafs = [
        (name, service, pem) for name, host in site["hosts"].items() for service, pem in host["certificates"].items()
    ]
    for host, service, pem in authority + leafs:
        end = _end(str(pem))
        left = None if end is None else (end - datetime.fromtimestamp(site["now"], UTC)) // timedelta(days=1)
        level = "bad" if left is None or left < 0 else "warning" if left < site["renew_days"] else "good"
        ends = None if end is None else _moment(end.timestamp())
        rows.append({"host": host, "service": service, "days": left, "ends": ends, "level": level})
    return rows


def _hosts(site: Mapping[str, Any]) -> list[Row]:
    return [
        {
            "host": name,
            "state": "reachable" if host["look"] else "unreachable" if host["unreachable"] else "unknown",
            "release": host["look"].get("current", ""),
            "drained": host["look"].get("drained"),
            "error": "" if host["look"] else host["error"],
        }
        for name, host in site["hosts"].items()
    ]


def _brief(error: object) -> str:
    """Return a message in one line, of a length that one reads; of a traceback, how it ends."""
    lines = str(error).strip().splitlines()
    said = lines[-1] if any(line.startswith("Traceback ") for line in lines) else " ".join(lines)
    return " ".join(said.split())[:_MESSAGE] or "no reason given"


def _host_problems(host: Row) -> Iterator[Finding]:
    if host["state"] != "reachable":
        what = "cannot be reached" if host["state"] == "unreachable" else "cannot be looked at"
        yield "bad", "host-unreachable", f"{host['host']} {what}: {_brief(host['error'])}"
    if host["drained"]:
        since, reason = (host["drained"].get(key) for key in ("since", "reason"))
        said = f"since {since or 'a time not noted'}: {reason or 'no reason noted'}"
        yield "warning", "host-drained", f"{host['host']} is drained {said}. Take it back by playbooks/undrain.yml."


def _component_problems(row: Row) -> Iterator[Finding]:
    what = f"{row['host']}: {row['component']}"
    if row["state"] in ("unreachable", "unknown"):
        return
    if row["state"] == "missing":
        yield "bad", "component-missing", f"{what} is not installed. Run site.yml."
    elif row["state"] == "silent":
        beat = (
            "does not answer"
            if row["heartbeat"] is None
            else f"gave its last sign of life {row['heartbeat']:.0f} s ago"
        )
        text = f"{what} is active, but {beat}. See journalctl -u {row['unit'].removesuffix('.service')}."
        yield "bad", "component-silent", text
    elif row["level"] == "bad":
        since = f" since {row['since'].replace('T', ' ').replace('Z', ' UTC')}" if row["since"] else ""
        why = f" ({row['note']})" if row["note"] and row["note"] != _FOREIGN else ""
        text = f"{what} is {row['state']}{why}{since}. See journalctl -u {row['unit'].removesuffix('.service')}."
        yield "bad", "component-down", text
    if row["note"].startswith("runs "):
        yield "warning", "component-outdated", f"{what} {row['note']}. Run site.yml, or restart it."
    elif row["note"] == _FOREIGN:
        yield (
            "warning",
            "component-unplaced",
            f"{what} ({row['unit']}) runs, and is not in the inventory. Run site.yml.",
        )


def _other_problems(site: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[Finding]:
    for service, name in (("database", "metadata database"), ("broker", "broker")):
        if site[service]["error"]:
            yield "bad", f"{service}-silent", f"No answer from the {name}: {_brief(site[service]['error'])}"
    releases = sorted({host["release"] for host in status["hosts"] if host["release"]})
    if len(releases) > 1:
        yield "warning", "releases-differ", f"Hosts have different releases: {', '.join(releases)}. Run site.yml."
    for row in status["queues"]:
        tasks = max(row["waiting"] or 0, row["queued"] or 0)
        if tasks and not row["workers"]:
            text = f"Queue {row['queue']} has {tasks} tasks and no worker. Add it to site_workers."
            yield "bad", "queue-unserved", text
    for row in status["certificates"]:
        what = f"{row['host']}: the certificate of {row['service']}" if row["host"] else "The authority's certificate"
        if row["days"] is None:
            yield "bad", "certificate-missing", f"{what} is not there or cannot be read. Run site.yml."
        elif row["level"] != "good":
            ends = f"ends in {row['days']} days" if row["days"] >= 0 else f"ended on {row['ends'][:10]}"
            yield row["level"], "certificate-ends", f"{what} {ends}. Run site.yml, or replace it if it is your own."


def _problems(site: Mapping[str, Any], status: Mapping[str, Any]) -> list[Row]:
    found = [
        *(problem for host in status["hosts"] for problem in _host_problems(host)),
        *(problem for row in status["components"] for problem in _component_problems(row)),
        *_other_problems(site, status),
    ]
    muted = {code for code, until in site["muted"].items() if site["now"] < _until(code, until)}
    return [
        {"level": level, "code": code, "text": text}
        for level, code, text in sorted(found, key=lambda problem: problem[0])
        if code not in muted
    ]


def _until(code: str, moment: object) -> float:
    """Return a moment that is written as 2027-01-31 or 2027-01-31T12:00:00Z, in seconds."""
    try:
        found = datetime.fromisoformat(str(moment))
    except ValueError:
        raise AnsibleFilterError(
            f"status_muted: {code} has the time {moment!r}; write it as 2027-01-31T12:00:00Z"
        ) from None
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()


def airflow_status(site: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return how a site is: its hosts, components, queues, certificates, and what needs attention.

    Example: `seen | airflow_status`. What has been seen of the site is a mapping: `hosts` by name with `placed`
    (components with their `units`), `workers`, `concurrency`, `names`, `node`, `certificates`, `look` (the output of
    roles/status/files/look.py, empty if there is none), `unreachable` and `error`; `components` with `unit` and `job`;
    `database` and `broker` with their answers or `error`; `authority`, `now`, `name`, `executor`, `uses_celery`,
    `parallelism`, `renew_days`, and `muted`, codes of findings with the moment until which they are not shown. Raises
    AnsibleFilterError on other shapes.
    """
    try:
        status: dict[str, Any] = {
            "site": site["name"],
            "time": _moment(site["now"]),
            "executor": site["executor"],
            "hosts": _hosts(site),
            "components": [
                _component(name, pair, site) for name, host in site["hosts"].items() for pair in _paired(host)
            ],
            "queues": _queues(site),
            "certificates": _certificates(site),
        }
        return {**status, "problems": _problems(site, status)}
    except (AttributeError, KeyError, TypeError) as error:
        raise AnsibleFilterError(f"airflow_status: give what the role status has seen of a site ({error!r})") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_status": airflow_status}
