#!/usr/bin/python3 -I
"""
Tell Prometheus how Airflow is, by what its metadata database says.

airstrip-airflow-exporter.service runs it. It asks the functions of airflow_metrics.sql, as a role that can call these
and do nothing else, whenever somebody wants to know, and answers others within some seconds with the same. Without an
answer of the database there are no gauges. Counters count tries and runs that have ended since the program started.

Names come from authors of DAGs, host names from task code: all of them are cut, and their number has a limit. It needs
Python 3.11 and psycopg2. Its one argument is a file of settings (JSON, see Settings).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

# Whatever has no room under a name of its own, and what has no name.
OTHERS, NONE = "(others)", "(none)"
STATES = (
    "scheduled", "queued", "running", "restarting", "deferred", "up_for_retry", "up_for_reschedule", "awaiting_input",
)  # fmt: skip
COMPONENTS = {"SchedulerJob": "scheduler", "DagProcessorJob": "dag_processor", "TriggererJob": "triggerer"}
TRY_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
RUN_BUCKETS = (10, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)

# What ends is written down a little later, with the clock of another host.
OVERLAP = timedelta(minutes=5)
# Of one reading: a scrape of Prometheus takes 10 s at most.
BUDGET = 8.0
STATEMENT_MS, LOCK_MS = 3000, 500
# A slow reading serves for longer, so that readings take a tenth of the time; Prometheus itself waits longer than that.
SHARE, LONGEST_CACHE = 10, 15.0
PAGE, PAGES = 10000, 20
MOST_SEEN = 100_000
MOST_RUNS = 20_000
CONNECTIONS, PATIENCE = 16, 10.0
_LENGTH = 256
_FIRST = "00000000-0000-0000-0000-000000000000"


class AwayError(Exception):
    """The database does not answer."""


@dataclass(frozen=True)
class Settings:
    """What the program is told."""

    host: str
    database: str
    user: str
    password_file: str = ""
    database_port: int = 5432
    sslmode: str = "verify-full"
    sslrootcert: str = ""
    listen_address: str = "127.0.0.1"
    port: int = 9112
    queues: Sequence[str] = ("default",)
    cache_seconds: float = 5
    max_queues: int = 50
    max_owners: int = 100
    max_dags: int = 500
    max_failing_tasks: int = 500
    max_pools: int = 200
    max_hosts: int = 200

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Return what a file says. Raises OSError, ValueError and TypeError."""
        given = json.loads(path.read_text(encoding="utf-8"))
        known = {item.name for item in fields(cls)}
        if unknown := set(given) - known:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        return cls(**given)

    def password(self) -> str:
        """Return the password: systemd puts it where the unit alone can read it."""
        directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
        path = Path(self.password_file) if self.password_file else Path(directory, "password")
        return path.read_text(encoding="utf-8").strip()


# The text format of Prometheus


def escape(value: str) -> str:
    """Return the value of a label as it stands between quotation marks."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    """Return a number as Prometheus reads it."""
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))


@dataclass
class Family:
    """A metric with all its series, each once."""

    name: str
    kind: str
    text: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def set(self, value: float, suffix: str = "", **labels: str) -> None:
        """Give a series its value."""
        self.samples[suffix, tuple(labels.items())] = value

    def add(self, value: float, **labels: str) -> None:
        """Add to a series: what was cut, or has no name of its own, is summed up."""
        key = ("", tuple(labels.items()))
        self.samples[key] = self.samples.get(key, 0) + value

    def most(self, value: float, **labels: str) -> None:
        """Give a series the largest of its values."""
        key = ("", tuple(labels.items()))
        self.samples[key] = max(self.samples.get(key, 0), value)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} {self.kind}"
        for (suffix, labels), value in self.samples.items():
            shown = ",".join(f'{name}="{escape(label)}"' for name, label in labels)
            yield f"{self.name}{suffix}{'{' + shown + '}' if shown else ''} {number(value)}"


def render(families: Iterable[Family]) -> bytes:
    """Return the text of all families that have a series."""
    lines = [line for family in families if family.samples for line in family.lines()]
    # A lone surrogate cannot come from a database in UTF-8, and must not end the program.
    return ("\n".join(lines) + "\n").encode(errors="replace")


class Names:
    """The values that a label may have: those that are known, and the first ones of others, up to a limit."""

    def __init__(self, limit: int, known: Iterable[str] = ()) -> None:
        self.limit = limit
        self.admitted = dict.fromkeys(name[:_LENGTH] or NONE for name in known)
        self._known = len(self.admitted)
        self.folded = 0

    def label(self, name: str | None) -> str:
        """Return a name as a label: itself, or that of all for which there is no room."""
        cut = (name or "")[:_LENGTH] or NONE
        if cut not in self.admitted:
            if len(self.admitted) - self._known - (OTHERS in self.admitted) >= self.limit:
                self.folded += 1
                cut = OTHERS
            self.admitted[cut] = None
        return cut


class Histogram:
    """How many values are no larger than each bound, their sum and their number."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def show(self, family: Family, **labels: str) -> None:
        """Put the series into a family."""
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            family.set(total, "_bucket", **labels, le=number(bound))
        family.set(self.sum, "_sum", **labels)
        family.set(total, "_count", **labels)


class Seen:
    """What was counted already, with the moment of its end; a limited number, of which the oldest go first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.ends: dict[str, datetime] = {}
        # What ended before was forgotten, or is too old.
        self.floor: datetime | None = None

    def take(self, key: str, ended: datetime) -> bool:
        """Tell whether something is new, and remember it."""
        if key in self.ends or (self.floor is not None and ended < self.floor):
            return False
        self.ends[key] = ended
        return True

    def forget(self, before: datetime) -> None:
        """Forget what ended before a moment, which nobody will ask for again, and the oldest of too many."""
        self.ends = {key: ended for key, ended in self.ends.items() if ended >= before}
        if (excess := len(self.ends) - self.limit) > 0:
            oldest = sorted(self.ends.items(), key=lambda item: item[1])
            self.floor = oldest[excess][1]
            self.ends = dict(oldest[excess:])


# What the functions of the database give, in their order


@dataclass(frozen=True)
class Try:
    """A try of a task that has ended."""

    id: str
    dag_id: str
    task_id: str
    queue: str
    owners: str
    state: str
    begun: bool
    retried: bool
    ended: datetime
    seconds: float | None


@dataclass(frozen=True)
class Run:
    """A run of a DAG that has not ended, or has ended since a moment."""

    id: int
    dag_id: str
    state: str
    ended: datetime | None
    seconds: float | None


class Counters:
    """All that is counted since the program started."""

    def __init__(self, settings: Settings) -> None:
        self.queues = Names(settings.max_queues, settings.queues)
        self.owners = Names(settings.max_owners)
        self.dags = Names(settings.max_dags)
        self.processed: defaultdict[str, int] = defaultdict(int)
        self.failures: defaultdict[str, int] = defaultdict(int)
        self.retries: defaultdict[str, int] = defaultdict(int)
        self.durations: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(TRY_BUCKETS))
        self.run_seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.runs: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.run_durations: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(RUN_BUCKETS))
        self.failing: OrderedDict[tuple[str, str], int] = OrderedDict()
        self.most_failing = settings.max_failing_tasks
        self.seen_tries, self.seen_runs = Seen(MOST_SEEN), Seen(MOST_SEEN)
        # The server's time up to which all was counted, and the runs that are to be looked at again.
        self.cursor: datetime | None = None
        self.known: list[int] = []

    def since(self, now: datetime) -> datetime:
        """Return the moment after which something may have ended that was not counted."""
        return (self.cursor or now) - OVERLAP

    def count(self, runs: Sequence[Run], tries: Iterable[Try], end: datetime) -> None:
        """Count what has ended up to a moment. In the first reading it is remembered only: it ended before."""
        for run in runs:
            self._run(run)
        for ended in tries:
            self._try(ended)
        self.cursor = end
        # Those that have ended just now, too, as tries may be written down later.
        self.known = sorted((run.id for run in runs), reverse=True)[:MOST_RUNS]
        self.seen_tries.forget(end - OVERLAP)
        self.seen_runs.forget(end - OVERLAP)

    def _try(self, ended: Try) -> None:
        """Count a try, unless it was counted before. One that no process has begun counts if it failed."""
        if not self.seen_tries.take(ended.id, ended.ended) or self.cursor is None:
            return
        if not ended.begun and ended.state != "failed":
            return
        queue = self.queues.label(ended.queue)
        self.processed[queue] += 1
        self.retries[queue] += ended.retried
        if ended.state == "failed":
            self.failures[queue] += 1
            self._failed(ended)
        if ended.begun and ended.seconds is not None:
            seconds = max(0.0, ended.seconds)
            self.durations[queue].observe(seconds)
            self.run_seconds[queue, self.owners.label(ended.owners)] += seconds

    def _failed(self, ended: Try) -> None:
        key = (ended.dag_id[:_LENGTH], ended.task_id[:_LENGTH])
        self.failing[key] = self.failing.pop(key, 0) + 1
        while len(self.failing) > self.most_failing:
            self.failing.popitem(last=False)

    def _run(self, run: Run) -> None:
        """Count a run that has ended, unless it was counted before; those of a DAG begin with 0."""
        if run.ended is None or run.state not in ("success", "failed"):
            self.dags.label(run.dag_id)
        # It ends again if somebody clears it.
        elif self.seen_runs.take(f"{run.id} {run.ended.isoformat()}", run.ended) and self.cursor is not None:
            dag = self.dags.label(run.dag_id)
            self.runs[dag, run.state] += 1
            if run.seconds is not None:
                self.run_durations[dag].observe(max(0.0, run.seconds))

    def families(self) -> Iterator[Family]:
        """Yield the metrics."""
        processed = Family("worker_tasks_processed_total", "counter", "Tries of tasks that have ended.")
        failures = Family("worker_task_failures_total", "counter", "Tries that have failed, with those tried again.")
        retries = Family("airflow_task_retries_total", "counter", "Tries that have failed, and are tried again.")
        durations = Family("worker_task_duration_seconds", "histogram", "Time from the start of a try to its end.")
        for queue in self.queues.admitted:
            processed.set(self.processed[queue], queue=queue)
            failures.set(self.failures[queue], queue=queue)
            retries.set(self.retries[queue], queue=queue)
            self.durations[queue].show(durations, queue=queue)
        yield from (processed, failures, retries, durations)
        seconds = Family("airflow_task_run_seconds_total", "counter", "Seconds that tries took, by the DAG's owners.")
        for (queue, owner), value in self.run_seconds.items():
            seconds.set(value, queue=queue, owner=owner)
        yield seconds
        runs = Family("airflow_dag_runs_finished_total", "counter", "Runs of DAGs that have ended.")
        for dag in self.dags.admitted:
            for state in ("success", "failed"):
                runs.set(self.runs[dag, state], dag_id=dag, state=state)
        yield runs
        run_durations = Family("airflow_dag_run_duration_seconds", "histogram", "Time from a run's start to its end.")
        for dag, histogram in self.run_durations.items():
            histogram.show(run_durations, dag_id=dag)
        yield run_durations
        failing = Family(
            "airflow_task_failures_total", "counter", "Tries that have failed, of the last tasks that did."
        )
        for (dag, task), count in self.failing.items():
            failing.set(count, dag_id=dag, task_id=task)
        yield failing


Row = Sequence[Any]


class Gauges:
    """The state of Airflow, from one reading."""

    def __init__(self, settings: Settings, queues: Names) -> None:
        self.settings, self.queues = settings, queues
        # By what is there: these names last no longer than a reading.
        self.pools, self.hosts = Names(settings.max_pools), Names(settings.max_hosts)
        self.bundles = Names(settings.max_pools)
        self.used: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.waiting: defaultdict[str, int] = defaultdict(int)

    def task_states(self, rows: Iterable[Row]) -> Iterator[Family]:
        """Yield what there is of tasks that have not ended."""
        tasks = Family("airflow_task_instances", "gauge", "Tasks that have not ended.")
        waiting = Family("celery_queue_length", "gauge", "Tasks in state queued.")
        ages = Family("airflow_oldest_queued_task_age_seconds", "gauge", "Since when the oldest task is queued.")
        running = Family("airflow_running_tasks", "gauge", "Tasks that run on a host.")
        beats = Family("airflow_task_heartbeat_age_seconds", "gauge", "Oldest last heartbeat of a task that runs.")
        shown = [(self.queues.label(row[1]), row) for row in rows]
        for queue in self.queues.admitted:
            for state in STATES:
                tasks.set(0, state=state, queue=queue)
            waiting.set(0, queue=queue)
            ages.set(0, queue=queue)
        for queue, (state, _, pool, hostname, count, slots, queued_age, heartbeat_age) in shown:
            tasks.add(count, state=state, queue=queue)
            self.used[pool, state] += slots
            if state == "scheduled":
                self.waiting[pool] += count
            if state == "queued":
                waiting.add(count, queue=queue)
                ages.most(queued_age or 0, queue=queue)
            if state == "running":
                host = self.hosts.label(hostname)
                running.add(count, hostname=host)
                beats.most(heartbeat_age or 0, hostname=host)
        yield from (tasks, waiting, ages, running, beats)

    def pools_of(self, rows: Iterable[Row]) -> Iterator[Family]:
        """Yield what there is of pools, after task_states."""
        slots = Family("airflow_pool_slots", "gauge", "Slots of a pool.")
        used = Family("airflow_pool_slots_used", "gauge", "Slots of a pool that are taken.")
        waiting = Family("airflow_pool_tasks_waiting", "gauge", "Tasks in state scheduled, which wait for slots.")
        for pool, size, include_deferred in rows:
            label = self.pools.label(pool)
            slots.add(size if size >= 0 else float("inf"), pool=label)
            for state in ("running", "queued", *(["deferred"] if include_deferred else [])):
                used.add(self.used[pool, state], pool=label, state=state)
            waiting.add(self.waiting[pool], pool=label)
        yield from (slots, used, waiting)

    def run_states(self, rows: Iterable[Row]) -> Iterator[Family]:
        """Yield what there is of runs that have not ended."""
        runs = Family("airflow_dag_runs", "gauge", "Runs of DAGs that have not ended.")
        for state, count in rows:
            runs.add(count, state=state)
        yield runs

    def jobs(self, rows: Iterable[Row]) -> Iterator[Family]:
        """Yield when components have last said that they are there."""
        ages = Family("airflow_job_heartbeat_age_seconds", "gauge", "Since the last heartbeat of a component.")
        for kind, hostname, age in rows:
            if kind in COMPONENTS:
                ages.most(age, component=COMPONENTS[kind], hostname=self.hosts.label(hostname))
        yield ages

    def import_errors(self, rows: Iterable[Row]) -> Iterator[Family]:
        """Yield how many files of DAGs have errors."""
        errors = Family("airflow_import_errors", "gauge", "Files of a bundle that cannot be imported.")
        for bundle, count in rows:
            errors.add(count, bundle=self.bundles.label(bundle))
        yield errors

    def dags(self, rows: Iterable[Row]) -> Iterator[Family]:
        """Yield how many DAGs there are."""
        dags = Family("airflow_dags", "gauge", "DAGs; a stale one is in no file any more.")
        for state in ("active", "paused", "stale"):
            dags.set(0, state=state)
        for state, count in rows:
            dags.add(count, state=state)
        yield dags


# The database


class Database:
    """One connection, which is made again when it is lost. Not for several threads at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connection: Any = None
        self.until = 0.0
        psycopg2.extensions.set_wait_callback(self._wait)

    def _wait(self, connection: Any) -> None:
        """Wait for the server until the time is up: one that hangs says nothing, for ever."""
        while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
            if (left := self.left()) <= 0:
                raise AwayError("no answer in time")
            reads = [connection] if state == psycopg2.extensions.POLL_READ else []
            writes = [connection] if state == psycopg2.extensions.POLL_WRITE else []
            select.select(reads, writes, [], left)

    def begin(self, budget: float) -> datetime:
        """Return the server's time; all that follows has so many seconds. Raises AwayError."""
        self.until = time.monotonic() + budget
        if self.connection is not None:
            # It may have been lost while nobody asked.
            with contextlib.suppress(AwayError):
                return self._now()
        self._connect()
        return self._now()

    def left(self) -> float:
        """Return how many seconds are left."""
        return self.until - time.monotonic()

    def _now(self) -> datetime:
        try:
            moment: datetime = self.query("SELECT now()")[0][0]
        except psycopg2.Error as error:
            self.close()
            raise AwayError(first_line(error)) from error
        return moment

    def _connect(self) -> None:
        given = self.settings
        options: dict[str, Any] = {"host": given.host, "port": given.database_port, "dbname": given.database}
        options |= {"user": given.user, "sslmode": given.sslmode, "application_name": "airstrip-airflow-exporter"}
        if given.sslrootcert:
            options["sslrootcert"] = given.sslrootcert
        try:
            self.connection = psycopg2.connect(password=given.password(), **options)
            # No transaction stays open: it would hold up migrations.
            self.connection.autocommit = True
            # A pooler knows no options at the start. The role has settings like these of its own.
            self.query(
                f"SET default_transaction_read_only = on; SET statement_timeout = {STATEMENT_MS};"
                f" SET lock_timeout = {LOCK_MS}; SELECT 1"
            )
        except (psycopg2.Error, OSError) as error:
            self.close()
            raise AwayError(first_line(error)) from error

    def query(self, statement: str, *given: Any) -> list[Row]:
        """Return the rows of a statement. Raises AwayError, and psycopg2.Error if the server refuses."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(statement, given)
                rows: list[Row] = cursor.fetchall()
                return rows
        except AwayError:
            self.close()
            raise
        except psycopg2.Error as error:
            # Without a code nobody has answered; of class 08 and 57 are connections that end. A statement that took too
            # long, or waited for a migration, is the statement's own.
            code = error.pgcode or "08000"
            if self.connection.closed or (code[:2] in ("08", "57") and code != "57014"):
                self.close()
                raise AwayError(first_line(error)) from error
            raise

    def call(self, function: str, *given: Any) -> list[Row]:
        """Return the rows of a function of ours."""
        marks = ", ".join(["%s"] * len(given))
        return self.query(f"SELECT * FROM airstrip.{function}({marks})", *given)  # noqa: S608 - its name is ours

    def close(self) -> None:
        """Drop the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(psycopg2.Error):
                connection.close()


def first_line(error: BaseException) -> str:
    """Return what an error says, short enough for the journal."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


# The exporter


class Exporter:
    """Reads the database when it is asked, and keeps the answer for some seconds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings)
        self.counters = Counters(settings)
        self.lock = threading.Lock()
        self.text, self.fresh_until = b"", 0.0
        self.functions: dict[str, bool] = {}
        self.problems: dict[str, str] = {}

    def metrics(self) -> bytes:
        """Return the text for Prometheus."""
        with self.lock:
            if time.monotonic() >= self.fresh_until:
                began = time.monotonic()
                families = list(self._read())
                took = time.monotonic() - began
                last = Family("airflow_exporter_scrape_seconds", "gauge", "Time that the last reading took.")
                last.set(took)
                self.text = render([*families, *self.counters.families(), *self._own(), last])
                wait = max(self.settings.cache_seconds, min(SHARE * took, LONGEST_CACHE))
                self.fresh_until = time.monotonic() + wait
            return self.text

    def _read(self) -> Iterator[Family]:
        up = Family("airflow_exporter_up", "gauge", "Whether the database answers.")
        self.functions = {}
        found: list[Family] = []
        try:
            now = self.database.begin(BUDGET)
            gauges = Gauges(self.settings, self.counters.queues)
            for function, show in self._gauges(gauges).items():
                rows = self._ask(function)
                if rows is not None:
                    found += show(rows)
            self._count(now)
        except AwayError as error:
            # What it has said before that is of no use: half of the gauges would look like a site without tasks.
            self._say("database", f"the database does not answer: {error}")
            self.functions = {}
            up.set(0)
            yield up
            return
        self._say("database", "")
        up.set(1)
        yield from (up, *found)

    @staticmethod
    def _gauges(gauges: Gauges) -> Mapping[str, Callable[[Iterable[Row]], Iterator[Family]]]:
        return {
            "task_states": gauges.task_states,
            "pools": gauges.pools_of,
            "run_states": gauges.run_states,
            "jobs": gauges.jobs,
            "import_errors": gauges.import_errors,
            "dags": gauges.dags,
        }

    def _ask(self, function: str, *given: Any) -> list[Row] | None:
        """Return a function's rows; None if it fails, as it does while a table is not there."""
        try:
            if self.database.left() < STATEMENT_MS / 1000:
                raise psycopg2.Error("the others have taken too long")
            rows = self.database.call(function, *given)
        except psycopg2.Error as error:
            self._say(function, f"airstrip.{function} fails: {first_line(error)}")
            self.functions[function] = False
            return None
        self._say(function, "")
        self.functions.setdefault(function, True)
        return rows

    def _count(self, now: datetime) -> None:
        """Count what has ended; if a function fails, the next reading does."""
        since = self.counters.since(now)
        rows = self._ask("runs", self.counters.known, since)
        if rows is None:
            return
        runs = [Run(*row) for row in rows]
        tries, end = self._tries([run.id for run in runs if run.state != "queued"], since, now)
        if end is not None:
            self.counters.count(runs, tries, end)

    def _tries(self, runs: list[int], since: datetime, now: datetime) -> tuple[list[Try], datetime | None]:
        """Return the tries that have ended, and up to when these are all; None if nobody knows."""
        found: list[Try] = []
        moment, after = since, _FIRST
        for _ in range(PAGES):
            rows = self._ask("tries", runs, moment, after)
            if rows is None:
                return [], None
            found += (Try(*row) for row in rows)
            if len(rows) < PAGE:
                return found, now
            moment, after = found[-1].ended, found[-1].id
        return found, moment

    def _own(self) -> Iterator[Family]:
        functions = Family("airflow_exporter_function_up", "gauge", "Whether a function of the database works.")
        for function, works in self.functions.items():
            functions.set(works, function=function)
        yield functions
        folded = Family(
            "airflow_exporter_folded_total", "counter", f"Times that a name had no place of its own, but in {OTHERS}."
        )
        counters = self.counters
        for label, names in (("queue", counters.queues), ("owner", counters.owners), ("dag_id", counters.dags)):
            folded.set(names.folded, label=label)
        yield folded

    def _say(self, what: str, problem: str) -> None:
        """Print what has changed: the same in each reading would fill the journal."""
        if problem != self.problems.get(what, ""):
            print(ascii(problem)[1:-1] if problem else f"{what}: works again", file=sys.stderr, flush=True)
        self.problems[what] = problem


class Handler(BaseHTTPRequestHandler):
    """Answers GET /metrics."""

    timeout = PATIENCE
    server: Server

    def do_GET(self) -> None:
        """Answer a request."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        text = self.server.exporter.metrics()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: there is a request every few seconds, and what it says is the client's."""


class Server(ThreadingHTTPServer):
    """A thread for each of some connections; of more than that, the oldest one ends."""

    daemon_threads = True
    # Who waits to be accepted takes no thread.
    request_queue_size = 128

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter
        self.open: OrderedDict[int, socket.socket] = OrderedDict()
        self.open_lock = threading.Lock()
        super().__init__((exporter.settings.listen_address, exporter.settings.port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin with a connection."""
        with self.open_lock:
            oldest = next(iter(self.open), None) if len(self.open) >= CONNECTIONS else None
            if oldest is not None:
                # Its thread ends by it, or once the database has answered.
                self.open.move_to_end(oldest)
                with contextlib.suppress(OSError):
                    self.open[oldest].shutdown(socket.SHUT_RDWR)
            is_full = len(self.open) >= 2 * CONNECTIONS
            if not is_full:
                self.open[id(request)] = request
        if is_full:
            super().shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self.open_lock:
            self.open.pop(id(request), None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve until the process is ended."""
    if len(sys.argv) != 2:
        sys.exit("usage: airstrip-airflow-exporter SETTINGS")
    try:
        settings = Settings.read(Path(sys.argv[1]))
        server = Server(Exporter(settings))
    except (OSError, TypeError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
