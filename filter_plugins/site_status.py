"""
Filters: how the components of a site are.

What is here was seen by others: each host (the module host_status), the metadata database (heartbeats, tasks) and the
broker (waiting messages, workers that answer). Any of them may not have answered, or not as it should; then what it
would have told is null. What a host knows of itself is judged by host_status.findings, as on the host.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils import host_status as own
from ansible_collections.airstrip.core.plugins.module_utils.host_status import Facts, Finding, Part, Record, Unit

# Of a finding, and of the state of a component.
_WORDS = {own.OK: "good", own.WARN: "warning", own.ERROR: "bad"}
_LEVELS = {"active": "good", "starting": "warning", "stopping": "warning", "unknown": "warning"}
_FOREIGN = "not in the inventory"
_NOBODY = "no host that has a release and may ask it can be reached"

Row = dict[str, Any]


@dataclass(frozen=True)
class Database:
    """What the metadata database has said: heartbeats by job type and host name, tasks by host name and queue."""

    beats: Mapping[tuple[str, str], float]
    running: Sequence[tuple[str, str, int]]
    queued: Mapping[str, int]
    error: str

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Database:
        """Return it from the result of postgresql_query, if there is any."""
        try:
            jobs, running, queued = result["query_all_results"]
            return cls(
                {(str(row["job_type"]), str(row["hostname"])): float(row["age"]) for row in jobs},
                [(str(row["hostname"]), str(row["queue"]), int(row["tasks"])) for row in running],
                {str(row["queue"]): int(row["tasks"]) for row in queued},
                "",
            )
        except (KeyError, TypeError, ValueError):
            return cls({}, [], {}, _reason(result))


@dataclass(frozen=True)
class Broker:
    """What the broker has said: messages by queue, and the workers that answer; `asked`, whether they could."""

    waiting: Mapping[str, int]
    answers: frozenset[str]
    asked: bool
    error: str

    @classmethod
    def of(cls, result: Mapping[str, Any], *, is_used: bool, has_control: bool) -> Broker:
        """Return it from the result of ask_broker.py, which prints JSON."""
        try:
            said = json.loads(result["stdout"])
            waiting = {str(queue): int(number) for queue, number in said["queues"].items()}
            return cls(waiting, frozenset(map(str, said["answers"])), has_control, "")
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls({}, frozenset(), False, _reason(result) if is_used else "")


def _asked(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the result of the host that has asked; if none has, one that says so."""
    return next((result for result in results if result and not result.get("skipped")), {"msg": _NOBODY})


def _reason(result: Mapping[str, Any]) -> str:
    """Return in one line why a result is none; of a traceback, how it ends."""
    text = str(result.get("stderr") or result.get("module_stderr") or result.get("msg") or "no reason given").strip()
    lines = [line for line in text.splitlines() if line.strip()]
    return own.clean(lines[-1] if any(line.startswith("Traceback ") for line in lines) else " ".join(lines))


class Host:
    """A host of the site: what is to be there, and what it has said."""

    def __init__(self, name: str, seen: Mapping[str, Any]) -> None:
        self.name, self.here, self._result = name, seen["site"]["hosts"][name], seen["answers"][name]
        self.record = own.read(Record, self.here["status"], f"site.hosts.{name}.status")
        self._setup = seen["setups"].get(name, {})
        known = seen["site"]["facts"].get(name, {})
        names = [known.get(key) for key in ("fqdn", "hostname", "nodename")]
        # What a function of the user's makes of them, nobody knows.
        self.names = () if _option(seen, "core", "hostname_callable", "") else tuple(filter(None, [*names, name]))
        self.node = "" if name in seen["site"]["silent"] else str(known.get("hostname", ""))
        self.workers: list[Mapping[str, Any]] = self.here["workers"]
        self.facts: Facts | None = None
        self.error = ""
        try:
            self.facts = own.read(Facts, self._result["facts"], "its answer")
        except KeyError:
            self.error = _reason(self._setup if self.is_unreachable else self._result)
        except own.AnswerError as error:
            self.error = str(error)

    @property
    def is_unreachable(self) -> bool:
        """Whether Ansible could not connect to it."""
        return bool(self._setup.get("unreachable") or self._result.get("unreachable"))

    @property
    def state(self) -> str:
        """How it is, in one word."""
        return "reachable" if self.facts else "unreachable" if self.is_unreachable else "unknown"

    @cached_property
    def pairs(self) -> list[tuple[Part | None, Unit | None]]:
        """Each part with its unit; without what the host says, with none."""
        return own.paired(self.record, self.facts) if self.facts else [(part, None) for part in self.record.parts]

    @cached_property
    def findings(self) -> list[Finding]:
        """What is wrong with it as far as it knows."""
        if self.facts:
            return own.findings(self.record, self.facts)
        if self.is_unreachable:
            return [Finding("host-unreachable", self.name, f"cannot be reached: {self.error}")]
        return [Finding("host-unseen", self.name, f"has told nothing: {self.error}")]

    def worker(self, part: Part | None) -> Mapping[str, Any] | None:
        """Return the worker that a part is."""
        name = part.name.partition("@")[2] if part and part.component == "worker" else ""
        return next((worker for worker in self.workers if worker["name"] == name), None) if name else None


def _option(seen: Mapping[str, Any], section: str, name: str, default: Any) -> Any:
    return (seen["config"].get(section) or {}).get(name, default)


class Site:
    """The site, as it was seen."""

    def __init__(self, seen: Mapping[str, Any]) -> None:
        self.seen, self.model = seen, seen["site"]
        self.uses_celery = "CeleryExecutor" in str(self.model["vars"]["executor"])
        control = str(_option(seen, "celery", "worker_enable_remote_control", True)).lower()
        self.has_control = control not in ("false", "no", "off", "0")
        self.hosts = {name: Host(name, seen) for name in seen["answers"]}
        self.database = Database.of(_asked(seen["database"]))
        self.broker = Broker.of(_asked(seen["broker"]), is_used=self.uses_celery, has_control=self.has_control)

    def pulse(self, host: Host, part: Part | None) -> tuple[bool, float | None]:
        """Return whether a component's sign of life could be seen, and how many seconds old the last one is."""
        entry = self.model["components"].get(part.component, {}) if part else {}
        if entry.get("job"):
            ages = [self.database.beats.get((entry["job"], name)) for name in host.names]
            return not self.database.error and bool(host.names), min(
                (age for age in ages if age is not None), default=None
            )
        if entry.get("ping") and part:
            answered = f"{part.name.partition('@')[2]}@{host.node}" in self.broker.answers
            return self.broker.asked and bool(host.node), 0.0 if answered else None
        asked = [one for one in host.facts.answers if part and one.what == part.url] if host.facts and part else []
        return bool(asked), 0.0 if any(one.seconds is not None for one in asked) else None

    def slots(self, worker: Mapping[str, Any], host: str) -> int | None:
        """Return the slots of a worker; None, if they follow from facts that its host has never told."""
        if "autoscale" in worker:
            return int(worker["autoscale"]["max"])
        is_known = "memtotal_mb" in self.model["facts"].get(host, {})
        return int(worker.get("concurrency", self.model["hosts"][host]["concurrency"] if is_known else 0)) or None

    def busy(self, host: Host, part: Part | None) -> Row:
        """Return how many slots a component has, and in how many of them tasks run.

        The database knows host and queue of a task only: workers of a host with a queue in common count together.
        """
        worker, queues, sizes = host.worker(part), set[str](), list[int | None]()
        if worker:
            together = [other for other in host.workers if set(other["queues"]) & set(worker["queues"])]
            queues.update(*(other["queues"] for other in together))
            sizes = [self.slots(other, host.name) for other in together]
        elif part and part.component == "scheduler" and not self.uses_celery:
            sizes = [int(_option(self.seen, "core", "parallelism", 32))]
        if not sizes:
            return {"busy": None, "slots": None, "shared": False}
        running = [
            tasks
            for name, queue, tasks in self.database.running
            if name in host.names and (not queues or queue in queues)
        ]
        is_known = host.names and not self.database.error
        return {"busy": sum(running) if is_known else None, "slots": _sum(sizes), "shared": len(sizes) > 1}


def _sum(sizes: Sequence[int | None]) -> int | None:
    return None if None in sizes else sum(filter(None, sizes))


def _is_silent(site: Site, host: Host, part: Part | None, unit: Unit | None) -> bool:
    known, beat = site.pulse(host, part)
    return known and own.has_settled(unit) and (beat is None or beat > own.NEXT_SIGN)


def _component(site: Site, host: Host, part: Part | None, unit: Unit | None) -> Row:
    """Return the row of a component."""
    state = own.state_of(part, unit, host.facts) if host.facts else host.state
    state = "silent" if _is_silent(site, host, part, unit) else state
    is_meant = state == "stopped" and host.facts and host.facts.drained
    current = host.facts.current if host.facts else ""
    tier = site.model["components"][part.component]["tier"] if part else ""
    # Of a process that does not run, what it would run.
    release = (unit.release if unit else "") or (current if tier == "airflow" else "")
    return {
        "host": host.name,
        "component": own.name_of(part, unit),
        "unit": unit.unit if unit else "",
        "version": release.partition("-")[0],
        "release": release,
        "state": state,
        "level": "warning" if is_meant else _LEVELS.get(state, "bad"),
        "since": own.moment(unit.since) if unit and unit.since else None,
        "seconds": unit.age if unit else None,
        "restarts": unit.restarts if unit else None,
        "heartbeat": site.pulse(host, part)[1],
        **site.busy(host, part),
        "note": own.note_of(unit, current) if part else _FOREIGN,
    }


def _queues(site: Site) -> list[Row]:
    """Return each queue with what waits in the broker, what the database calls queued, and who works on it."""
    # On all hosts, also those that a run with --limit does not ask.
    hosts = site.model["hosts"].items()
    workers = [(worker, name) for name, here in hosts for worker in here["workers"]]
    served = [queue for worker, _ in workers for queue in worker["queues"]]
    rows = []
    for queue in sorted({*served, *site.database.queued, *site.broker.waiting}) if site.uses_celery else []:
        slots = [site.slots(worker, host) for worker, host in workers if queue in worker["queues"]]
        queued = None if site.database.error else site.database.queued.get(queue, 0)
        waiting = site.broker.waiting.get(queue)
        rows.append({"queue": queue, "waiting": waiting, "queued": queued, "workers": len(slots), "slots": _sum(slots)})
    return rows


def _certificates(site: Site) -> list[Row]:
    """Return each certificate with the days that are left; one that cannot be read has none."""
    rows: dict[tuple[str, str], Row] = {}
    for host in site.hosts.values():
        for one in host.facts.certificates if host.facts else ():
            left = None if one.ends is None else own.days_left(one.ends, site.seen["now"])
            level = "bad" if left is None or left < 0 else "warning" if left < host.record.renew_days else "good"
            name = host.name if one.part else ""
            ends = None if one.ends is None else own.moment(one.ends)
            rows.setdefault(
                (name, one.name), {"host": name, "service": one.name, "days": left, "ends": ends, "level": level}
            )
    return [rows[key] for key in sorted(rows, key=lambda key: key[0] != "")]


def _hosts(site: Site) -> list[Row]:
    return [
        {
            "host": name,
            "state": host.state,
            "release": host.facts.current if host.facts else "",
            "drained": vars(host.facts.drained) if host.facts and host.facts.drained else None,
            "error": host.error,
        }
        for name, host in site.hosts.items()
    ]


def _of_hosts(site: Site) -> Iterator[Finding]:
    """Yield what the hosts know themselves, and what only the others can tell of them."""
    # Who starts first is a cause of what starts after it.
    order = {name: number for number, name in enumerate(reversed(site.model["known"]))}
    for host in site.hosts.values():
        starts = {number: order.get(part.component, 0) if part else 0 for number, (part, _) in enumerate(host.pairs)}
        for finding in host.findings:
            # It is the same one on all hosts.
            name = "" if finding.names.get("certificate") == "authority" else host.name
            yield replace(finding, host=name, order=starts.get(finding.order, 0))
        silent = [(part, unit) for part, unit in host.pairs if part and unit and _is_silent(site, host, part, unit)]
        for part, unit in silent:
            beat = site.pulse(host, part)[1]
            said = "does not answer" if beat is None else f"gave its last sign of life {beat:.0f} s ago"
            # What it is asked for by its URL, the host says itself.
            if not part.url:
                text, names = f"{part.name} is active, but {said}", {"unit": unit.unit}
                yield Finding("component-silent", host.name, text, names, order.get(part.component, 0))
    clocks = {name: host.facts.now for name, host in site.hosts.items() if host.facts}
    # All hosts answer at about the same time. Of two, nobody can tell which one is wrong; since they have answered, the
    # controller's clock has gone on.
    for name, now in clocks.items():
        off = now - (median(clocks.values()) if len(clocks) > 2 else site.seen["now"])
        if abs(off) > (own.CLOCK if len(clocks) > 2 or off > 0 else 20 * own.CLOCK):
            whose = "those of the other hosts" if len(clocks) > 2 else "that of the controller"
            text = f"the clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} {whose}"
            yield Finding("clock-wrong", name, text)


def _of_site(site: Site, queues: Sequence[Row]) -> Iterator[Finding]:
    """Yield what is wrong with the site as a whole."""
    for code, name, component, error in (
        ("database-silent", "metadata database", "postgresql", site.database.error),
        ("broker-silent", "broker", "redis", site.broker.error),
    ):
        if error:
            hosts = site.model["placed"][component]
            yield Finding(code, hosts[0] if hosts else "", f"no answer from the {name}: {error}")
    releases = sorted({host.facts.current for host in site.hosts.values() if host.facts and host.facts.current})
    if len(releases) > 1:
        yield Finding("releases-differ", "", f"hosts have different releases: {', '.join(releases)}")
    for row in queues:
        tasks = max(row["waiting"] or 0, row["queued"] or 0)
        if tasks and not row["workers"]:
            yield Finding("queue-unserved", "", f"queue {row['queue']} has {tasks} tasks and no worker")


def _is_explained(finding: Finding, site: Site) -> bool:
    """Tell whether another finding says the same: a server is drained with its host."""
    host = site.hosts.get(str(finding.names.get("server")))
    return finding.code == "server-drained" and bool(host and host.facts and host.facts.drained)


def _problems(site: Site, queues: Sequence[Row]) -> list[Row]:
    muted = {code: _until(code, until) for code, until in site.seen["muted"].items()}
    shown = own.unmuted((*_of_hosts(site), *_of_site(site, queues)), muted, site.seen["now"])
    found = [one for one in shown if not _is_explained(one, site)]
    rows = []
    for finding in sorted(found, key=lambda one: one.rank):
        at = f"on {finding.host}: " if own.KINDS[finding.code].at == own.HOST and finding.host else ""
        text = f"{finding.host}: {finding.text}" if finding.host else finding.text
        row = {"level": _WORDS[finding.level], "code": finding.code, "text": text, "command": at + finding.command}
        # The authority's certificate is on several hosts, and a server behind several load balancers.
        if row not in rows:
            rows.append(row)
    return rows


def _until(code: str, moment: object) -> float:
    try:
        return own.seconds_of(moment)
    except ValueError:
        raise AnsibleFilterError(
            f"status_muted: {code} has the time {moment!r}; write it as 2027-01-31T12:00:00Z"
        ) from None


def airflow_status(seen: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return how a site is: its hosts, components, queues, certificates, and what needs attention.

    Example: `seen | airflow_status`. What has been seen is a mapping: `site`, the model; `answers` and `setups`, by
    host the results of host_status and setup; `database` and `broker`, the results of all who may have asked;
    `config`, Airflow's options; `name`, `now`, and `muted`, codes of findings with the moment until which they are not
    shown. Raises AnsibleFilterError on other shapes; a host, a database or a broker that answers in another shape is a
    finding.
    """
    try:
        site = Site(seen)
        queues = _queues(site)
        return {
            "site": seen["name"],
            "time": own.moment(seen["now"]),
            "executor": site.model["vars"]["executor"],
            "hosts": _hosts(site),
            "components": [_component(site, host, *pair) for host in site.hosts.values() for pair in host.pairs],
            "queues": queues,
            "certificates": _certificates(site),
            "problems": _problems(site, queues),
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"airflow_status: give what the role status has seen of a site ({error!r})") from error


def status_asker(answers: Mapping[str, Any], hosts: Sequence[str]) -> str:
    """
    Return the first of some hosts that has answered and has a release, by which it can ask; '' if there is none.

    Example: `answers | status_asker(['control-1', 'control-2'])`. It takes the results of host_status by host.
    """
    for host in hosts:
        facts = (answers.get(host) or {}).get("facts")
        if isinstance(facts, Mapping) and facts.get("current"):
            return host
    return ""


def status_broker_question(seen: Mapping[str, Any], timeout: int) -> dict[str, Any]:
    """
    Return what ask_broker.py is to ask the broker, but for its URL.

    Example: `seen | status_broker_question(5)`. It takes what airflow_status takes, and in `transports`, by the names
    of workers, the options of Celery's transport that they have for themselves. Asked are queues with a worker and
    those that tasks wait for; workers by name, as each name has a channel of its own, and not those whose units are
    known not to run.
    """
    try:
        site = Site(seen)
        nodes = [
            # Instances of a set have the channel of the set.
            (str(worker.get("set") or worker["name"]), f"{worker['name']}@{host.node}")
            for host in site.hosts.values()
            for part, unit in host.pairs
            for worker in [host.worker(part)]
            if worker and host.node and (unit is None or unit.active == "active")
        ]
        options = seen["config"].get("celery_broker_transport_options") or {}
        return {
            "transport_options": {key: options[key] for key in ("global_keyprefix", "sep") if key in options},
            "queues": sorted({*site.model["queues"], *site.database.queued}),
            "workers": [
                {"nodes": [node for own_name, node in nodes if own_name == name], "transport_options": transport}
                for name, transport in (seen["transports"] if site.has_control else {}).items()
            ],
            "timeout": int(timeout),
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"status_broker_question: give what the role status has seen ({error!r})") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_status": airflow_status,
            "status_asker": status_asker,
            "status_broker_question": status_broker_question,
        }
