#!/usr/bin/python3 -I
"""
Receive Airflow's metrics by StatsD, and give them to Prometheus.

airstrip-statsd-exporter.service runs it. Airflow sends to a UDP port of the loopback address, with tags in the name as
InfluxDB has them; Prometheus reads http://127.0.0.1:9102/metrics. Names are those of the upstream statsd_exporter:
dots become underscores, timers are histograms in seconds, counters have no _total. It loses its counts when it ends, as
every exporter does.

Task code can send here whatever it likes. So every name, label and number is checked, what is kept is bounded, in all
and by name, and nothing of what was sent is ever logged: what is not taken is counted, by reason.

It needs no more than Python 3.11. One thread does all: what comes while it renders waits in the socket's buffer.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import selectors
import socket
import struct
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
KINDS = {b"c": COUNTER, b"g": GAUGE, b"ms": HISTOGRAM}
# What upstream calls them as events.
EVENTS = {COUNTER: "counter", GAUGE: "gauge", HISTOGRAM: "observer"}

# What Airflow 3.1 to 3.3 and its provider for Celery send, without the prefix. These names have their type from here,
# whoever is first to send one, and room of their own, however many other names there are.
AIRFLOW = {
    COUNTER: """
        api_server.dag_bag.cache_clear api_server.dag_bag.cache_hit api_server.dag_bag.cache_miss
        asset.triggered_dagruns asset.updates celery.execute_command.failure celery.task_timeout_error
        connection_test.failed connection_test.reaped connection_test.success dag.callback_exceptions
        dag_file_processor_timeouts dag_file_refresh_error dag_processing.callback_only_count
        dag_processing.file_path_queue_update_count dag_processing.manager_stalls dag_processing.other_callback_count
        dag_processing.processes dag_processing.processor_timeouts dag_processor_heartbeat
        deadline_alerts.deadline_created deadline_alerts.deadline_missed deadline_alerts.deadline_not_missed
        job_end job_heartbeat_failure job_start ol.emit.failed operator_failures operator_successes
        previously_succeeded resumable_job.already_succeeded resumable_job.fresh_submit resumable_job.reconnect_attempt
        resumable_job.reconnect_success resumable_job.terminal_resubmit scheduler.critical_section_busy
        scheduler.dag_bag.cache_clear scheduler.dag_bag.cache_hit scheduler.dag_bag.cache_miss
        scheduler.orphaned_tasks.adopted scheduler.orphaned_tasks.cleared scheduler.tasks.killed_externally
        scheduler_heartbeat schedulerjobrunner_end task_instance_created task_instances_without_heartbeats_killed
        task_removed_from_dag task_restored_to_dag ti.finish ti.start ti_failures ti_successes triggerer_heartbeat
        triggers.blocked_main_thread triggers.failed triggers.succeeded""",
    GAUGE: """
        api_server.dag_bag.cache_size asset.orphaned connection_test.active connection_test.pending
        dag_processing.file_path_queue_size dag_processing.import_errors dag_processing.last_run.seconds_ago
        dag_processing.total_parse_time dagbag_size executor.open_slots executor.queued_tasks executor.running_tasks
        ol.event.size pool.deferred_slots pool.open_slots pool.queued_slots pool.running_slots pool.scheduled_slots
        pool.starving_tasks scheduler.dag_bag.cache_size scheduler.dagruns.running scheduler.tasks.executable
        scheduler.tasks.starving ti.deferred ti.queued ti.running ti.scheduled triggerer.capacity_left
        triggers.running""",
    HISTOGRAM: """
        airflow.io.load_filesystems collect_db_dags connection_test.dispatch_duration connection_test.hook_duration
        dag_processing.last_duration dagrun.dependency-check dagrun.duration.failed dagrun.duration.success
        dagrun.first_task_scheduling_delay dagrun.first_task_start_delay dagrun.schedule_delay ol.emit.attempts
        ol.extract scheduler.critical_section_duration scheduler.critical_section_query_duration
        scheduler.executor_heartbeat_duration scheduler.scheduler_loop_duration serde.load_serializers task.duration
        task.queued_duration task.scheduled_duration""",
}

# The older form of a name, with those of DAGs, tasks, pools and hosts in it: 3.1 always sends it beside that with
# tags, 3.2 for some names. templates/mapping.yml.j2 has the same for the upstream program.
OLDER = re.compile(
    r"ti\.(?:start|finish|scheduled|queued|running|deferred)\..+"
    r"|(?:operator_failures|operator_successes|task_instance_created)_.+"
    r"|(?:local_task_job\.task_exit|task_removed_from_dag|task_restored_to_dag)\..+"
    r"|pool\.(?:open_slots|queued_slots|running_slots|deferred_slots|scheduled_slots|starving_tasks)\..+"
    r"|(?:triggers\.running|triggerer\.capacity_left)\..+"
    r"|dag_processing\.(?:last_run\.seconds_ago|last_duration|last_num_of_db_queries)\..+"
    r"|dag\..+\.(?:duration|queued_duration|scheduled_duration)"
    r"|dagrun\.(?:dependency-check|schedule_delay|duration\.success|duration\.failed)\..+"
    r"|dagrun\..+\.first_task_scheduling_delay"
    r"|ol\.(?:extract|event\.size|emit\.attempts)\..+"
)
# With several executors, that of one is in the name, and in a tag as well.
EXECUTOR = re.compile(r"(executor\.(?:open_slots|queued_tasks|running_tasks))\..+")
# Airflow gives seconds to the client, which takes them for milliseconds.
IN_SECONDS = "dag_processing.last_duration"

# As upstream: a run of dashes is one underscore, any other character one each.
INVALID = re.compile(r"-+|[^a-zA-Z0-9_]")
# Prometheus, or the histogram, gives these labels.
RESERVED_LABEL = re.compile(r"__.*|le|quantile|job|instance|exported_.*")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
SUFFIXES = ("_bucket", "_sum", "_count")

# Airflow sends no name of more than 250 characters, tags included, the prefix and the value not.
LINE_BYTES = 320
NAME_CHARACTERS = 200
LABELS = 16
# More than a year in milliseconds, and within what a float counts one by one.
LARGEST = 1e15
SMALLEST_RATE = 0.001

# Of what was received before a colon, as many as are remembered.
REMEMBERED = 20000
# Seconds between two looks for what is to be removed.
SWEEP = 15
# Of the series in all, what names may have that are not Airflow's: one part in so many.
OTHERS = 4
OTHER_NAMES = 500
# Datagrams in a turn; then HTTP has its own.
TURN = 1000
# The client of Airflow sends 512 bytes at most.
DATAGRAM_BYTES = 16384

SO_MEMINFO, MEMINFO_DROPS = 55, 8
# What the kernel counts for a datagram of such a line, and the seconds in which a sender of Python fills it, halved.
# To be woken takes ten times as long as a line does; so those that come within this time are read together.
DATAGRAM_MEMORY, DATAGRAM_SECONDS = 832, 7.5e-6

# HTTP: connections at once, seconds for each, and bytes of a request.
CONNECTIONS = 32
PATIENCE = 5.0
REQUEST_BYTES = 8192
# Seconds for which a rendered answer is good.
FRESH = 1.0


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    statsd_port: int
    metrics_port: int
    prefix: str
    refused: frozenset[str]
    buckets: tuple[float, ...]
    max_series: int
    max_series_per_name: int
    max_lines: int
    gauge_seconds: float
    idle_seconds: float
    receive_buffer: int


class NotTakenError(Exception):
    """A line that is not taken; the counter and its label say why."""

    def __init__(self, counter: str, reason: str) -> None:
        super().__init__(counter, reason)
        self.counter, self.reason = counter, reason


def escaped(name: str) -> str:
    """
    Return a name as Prometheus takes it.

    >>> escaped("dagrun.dependency-check")
    'dagrun_dependency_check'
    """
    valid = INVALID.sub("_", name)
    return f"_{valid}" if valid[:1].isdigit() else valid


def shown(number: float) -> str:
    """
    Return a number as Prometheus reads it.

    >>> shown(2.0), shown(0.25)
    ('2', '0.25')
    """
    return str(int(number)) if number.is_integer() and abs(number) < LARGEST else repr(number)


class Series:
    """One name with one set of labels: the value of a counter or gauge."""

    __slots__ = ("family", "labels", "last", "value")

    def __init__(self, family: Family, labels: str) -> None:
        self.family, self.labels, self.last, self.value = family, labels, 0.0, 0.0

    def add(self, value: float, signed: bool, rate: float) -> None:
        """Take a sample; a gauge's with a sign is a difference."""
        if self.family.kind is COUNTER:
            if value < 0:
                raise NotTakenError("events_error", "illegal_negative_counter")
            self.value += value / rate
        elif signed:
            self.value += value
        else:
            self.value = value

    def lines(self) -> Iterator[str]:
        """Yield its lines of the answer."""
        labels = f"{{{self.labels}}}" if self.labels else ""
        yield f"{self.family.name}{labels} {shown(self.value)}"


class Histogram(Series):
    """The same for a timer: how many took how long."""

    __slots__ = ("counts",)

    def __init__(self, family: Family, labels: str) -> None:
        super().__init__(family, labels)
        self.counts = [0] * (len(family.bounds) + 1)

    def add(self, value: float, signed: bool, rate: float) -> None:
        """Take a sample, in milliseconds."""
        if signed and value < 0:
            # Clocks that are set back make such ones.
            value = 0.0
        seconds = value / self.family.divisor
        weight = 1 if rate == 1 else int(1 / rate)
        self.counts[bisect_left(self.family.bounds, seconds)] += weight
        self.value += seconds * weight

    def lines(self) -> Iterator[str]:
        """Yield its lines of the answer."""
        name, start = self.family.name, f"{self.labels}," if self.labels else ""
        total = 0
        for bound, total in zip(self.family.shown_bounds, accumulate(self.counts), strict=True):
            yield f'{name}_bucket{{{start}le="{bound}"}} {total}'
        labels = f"{{{self.labels}}}" if self.labels else ""
        yield f"{name}_sum{labels} {shown(self.value)}"
        yield f"{name}_count{labels} {total}"


@dataclass
class Family:
    """All series of one name."""

    name: str
    kind: str
    airflow: bool
    bounds: tuple[float, ...] = ()
    shown_bounds: tuple[str, ...] = ()
    # From the client's milliseconds to seconds.
    divisor: int = 1000
    series: dict[str, Series] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many series of Prometheus one of it is."""
        return len(self.bounds) + 3 if self.kind is HISTOGRAM else 1


class Store:
    """All that was received and is kept, and the counts of what was not."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.families: dict[str, Family] = {}
        self.kinds = {
            escaped(f"{options.prefix}.{name}"): kind for kind, names in AIRFLOW.items() for name in names.split()
        }
        self.counts: Counter[tuple[str, str]] = Counter()
        self.series = self.other_series = self.expired = self.lines = 0
        self.packets = self.tag_errors = 0
        # What stands before the colon, as it was received, and what came of it: most lines were there before.
        self._known: dict[bytes, Series | NotTakenError] = {}
        self._room_made = -float(SWEEP)

    def take(self, datagram: bytes, now: float) -> int:
        """Take the lines of a datagram; return how many there were."""
        known = self._known
        self.packets += 1
        if len(datagram) > DATAGRAM_BYTES:
            self.counts["dropped", "length"] += 1
            return 1
        lines = datagram.split(b"\n")
        for line in lines:
            if not line:
                continue
            self.lines += 1
            try:
                head, colon, rest = line.partition(b":")
                series = known.get(head)
                if series is None:
                    series = self._first_time(line, head, colon, rest, now)
                elif isinstance(series, NotTakenError):
                    raise series
                kind, value, signed, rate = sample(rest)
                if kind is not series.family.kind:
                    raise NotTakenError("events_conflict", EVENTS[kind])
                series.add(value, signed, rate)
                series.last = now
                self.counts["events", EVENTS[kind]] += 1
            except NotTakenError as error:
                # It may be kept, and so must not keep the frames that it went through.
                error.__traceback__ = None
                self.counts[error.counter, error.reason] += 1
        return len(lines)

    def _first_time(self, line: bytes, head: bytes, colon: bytes, rest: bytes, now: float) -> Series:
        """Return the series of a head that is not known, and remember it; raise NotTakenError if there is none."""
        if len(line) > LINE_BYTES:
            raise NotTakenError("dropped", "length")
        if not colon or not head:
            raise NotTakenError("sample_errors", "malformed_line")
        # A line that is wrong makes no series.
        kind = sample(rest)[0]
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        errors = self.tag_errors
        try:
            series = self._series(head, kind, now)
        except NotTakenError as error:
            if error.reason in ("older_form", "prefix", "refused"):
                self._known[head] = error
            raise
        # Wrong tags are counted each time.
        if errors == self.tag_errors:
            self._known[head] = series
        return series

    def _series(self, head: bytes, kind: str, now: float) -> Series:
        """Return the series of a head, a new one if there is room."""
        try:
            text = head.decode()
        except UnicodeDecodeError as error:
            raise NotTakenError("sample_errors", "malformed_line") from error
        if CONTROL.search(text):
            raise NotTakenError("sample_errors", "malformed_line")
        raw, _, tags = text.partition(",")
        name, divisor = self._name(raw)
        if kind is not self.kinds.get(name, kind):
            raise NotTakenError("events_conflict", EVENTS[kind])
        labels = self._labels(tags)
        family = self.families.get(name) or self._family(name, kind, divisor)
        if family.kind is not kind:
            raise NotTakenError("events_conflict", EVENTS[kind])
        series = family.series.get(labels)
        if series is None:
            self._check_room(family, labels, now)
            series = (Histogram if kind is HISTOGRAM else Series)(family, labels)
            series.last = now
            # Not before it has its place: a name without series is none.
            self.families[name] = family
            family.series[labels] = series
            self._count(family, 1)
        return series

    def _name(self, raw: str) -> tuple[str, int]:
        """Return the name of a series and its divisor, of a name as it was sent."""
        start, dot, own = raw.partition(".")
        if start != self.options.prefix or not dot or not own:
            raise NotTakenError("dropped", "prefix")
        if OLDER.fullmatch(own):
            raise NotTakenError("dropped", "older_form")
        if executor := EXECUTOR.fullmatch(own):
            own = executor[1]
        name = escaped(f"{start}.{own}")
        if len(name) > NAME_CHARACTERS:
            raise NotTakenError("dropped", "length")
        if {name, *map(name.removesuffix, SUFFIXES)} & self.options.refused:
            raise NotTakenError("dropped", "refused")
        return name, 1 if own == IN_SECONDS else 1000

    def _labels(self, tags: str) -> str:
        """Return tags as labels, in order: what is the same has one text."""
        found: dict[str, str] = {}
        for tag in tags.split(",") if tags else ():
            key, _, value = tag.partition("=")
            if not key or not value:
                # As upstream: the rest of the line counts.
                self.tag_errors += 1
                continue
            name = escaped(key)
            if RESERVED_LABEL.fullmatch(name):
                raise NotTakenError("dropped", "label")
            found[name] = value.replace("\\", r"\\").replace('"', r"\"")
        if len(found) > LABELS:
            raise NotTakenError("dropped", "label")
        return ",".join(f'{name}="{value}"' for name, value in sorted(found.items()))

    def _family(self, name: str, kind: str, divisor: int) -> Family:
        """Return a new family; its lines must not have the names of another one's."""
        taken = [f"{name}{suffix}" for suffix in SUFFIXES] if kind is HISTOGRAM else []
        if any(other in self.families for other in taken):
            raise NotTakenError("events_conflict", EVENTS[kind])
        for suffix in SUFFIXES:
            base = name.removesuffix(suffix)
            if base != name and HISTOGRAM in (self.kinds.get(base), getattr(self.families.get(base), "kind", "")):
                raise NotTakenError("events_conflict", EVENTS[kind])
        airflow = name in self.kinds
        if not airflow and sum(not family.airflow for family in self.families.values()) >= OTHER_NAMES:
            raise NotTakenError("dropped", "names")
        if kind is not HISTOGRAM:
            return Family(name, kind, airflow)
        bounds = self.options.buckets
        return Family(name, kind, airflow, bounds, (*map(shown, bounds), "+Inf"), divisor)

    def _check_room(self, family: Family, labels: str, now: float) -> None:
        """Raise NotTakenError unless there is room for one more series of a family."""
        if reason := self._full(family, labels):
            self._make_room(now)
            if self._full(family, labels):
                raise NotTakenError("dropped", reason)

    def _full(self, family: Family, labels: str) -> str:
        """Return why there is no room for one more series of a family; the empty string if there is."""
        size = family.size
        # Airflow's own without labels are as many as it has names: the heartbeats are among them.
        if family.airflow and not labels:
            return ""
        if (len(family.series) + 1) * size > self.options.max_series_per_name:
            return "series_of_name"
        if not family.airflow and self.other_series + size > self.options.max_series // OTHERS:
            return "series_of_others"
        return "series" if self.series + size > self.options.max_series else ""

    def _make_room(self, now: float) -> None:
        """Remove what nobody has sent for long, so that a flood has its end some time after it has ended."""
        if now - self._room_made >= SWEEP:
            self._room_made = now
            self._remove(now - self.options.idle_seconds, (COUNTER, GAUGE, HISTOGRAM))

    def sweep(self, now: float) -> None:
        """Remove gauges that nobody has sent for some time: what they were about may be gone."""
        self._remove(now - self.options.gauge_seconds, (GAUGE,))

    def _remove(self, before: float, kinds: Sequence[str]) -> None:
        """Remove the series of some kinds that were sent last before a moment."""
        for family in [*self.families.values()]:
            old = [labels for labels, series in family.series.items() if series.last < before]
            if family.kind not in kinds or not old:
                continue
            for labels in old:
                del family.series[labels]
            self.expired += len(old)
            self._count(family, -len(old))
            if not family.series:
                del self.families[family.name]
            self._known.clear()

    def _count(self, family: Family, number: int) -> None:
        self.series += number * family.size
        if not family.airflow:
            self.other_series += number * family.size


def sample(rest: bytes) -> tuple[str, float, bool, float]:
    """
    Return kind, value, whether it has a sign, and sample rate, of what stands after a line's colon.

    >>> sample(b"-2|g|@0.1")
    ('gauge', -2.0, True, 0.1)
    """
    if rest == b"1|c":
        return COUNTER, 1.0, False, 1.0
    text, *parts = rest.split(b"|")
    if not parts:
        raise NotTakenError("sample_errors", "not_enough_parts_after_colon")
    if len(parts) > 2:
        raise NotTakenError("sample_errors", "malformed_component")
    kind = KINDS.get(parts[0])
    if kind is None:
        raise NotTakenError("sample_errors", "illegal_event")
    rate = sample_rate(parts[1]) if len(parts) == 2 else 1.0
    # Python's own reading takes "nan", "1_000" and " 1".
    if not NUMBER.fullmatch(text):
        raise NotTakenError("sample_errors", "malformed_value")
    value = float(text)
    if not -LARGEST <= value <= LARGEST:
        raise NotTakenError("sample_errors", "malformed_value")
    return kind, value, text[:1] in b"+-", rate


def sample_rate(text: bytes) -> float:
    """Return the rate that a sample's last part gives."""
    if text[:1] == b"@" and NUMBER.fullmatch(text, 1) and SMALLEST_RATE <= (rate := float(text[1:])) <= 1:
        return rate
    raise NotTakenError("sample_errors", "invalid_sample_factor")


HELP = {
    "dropped": (COUNTER, "reason", "Lines that were not taken: for their names, or for want of room."),
    "events": (COUNTER, "type", "The total number of StatsD events seen."),
    "events_conflict": (COUNTER, "type", "The total number of StatsD events with conflicting names."),
    "events_error": (COUNTER, "reason", "The total number of StatsD events discarded due to errors."),
    "sample_errors": (COUNTER, "reason", "The total number of errors parsing StatsD samples."),
}


def plain(name: str, kind: str, value: float, about: str) -> str:
    """Return the lines of a metric of the program itself, which has no labels."""
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n{name} {shown(float(value))}\n"


def own_metrics(store: Store, drops: int) -> Iterator[str]:
    """Yield the metrics about the program, with the names of upstream where it has them."""
    for name, (kind, label, about) in HELP.items():
        found = sorted((reason, count) for (counter, reason), count in store.counts.items() if counter == name)
        yield f"# HELP statsd_exporter_{name}_total {about}\n# TYPE statsd_exporter_{name}_total {kind}\n"
        yield from (f'statsd_exporter_{name}_total{{{label}="{reason}"}} {count}\n' for reason, count in found)
    # A counter in name only, as upstream has it.
    yield "# HELP statsd_exporter_metrics_total The total number of metrics.\n"
    yield "# TYPE statsd_exporter_metrics_total gauge\n"
    kinds = Counter(family.kind for family in store.families.values())
    yield from (f'statsd_exporter_metrics_total{{type="{kind}"}} {kinds[kind]}\n' for kind in KINDS.values())
    used = resource.getrusage(resource.RUSAGE_SELF)
    memory = resident()
    for name, kind, value, about in (
        ("statsd_exporter_lines_total", COUNTER, store.lines, "The total number of StatsD lines received."),
        ("statsd_exporter_udp_packets_total", COUNTER, store.packets, "The total number of packets received over UDP."),
        ("statsd_exporter_udp_packet_drops_total", COUNTER, drops, "Packets that found the socket's buffer full."),
        ("statsd_exporter_tag_errors_total", COUNTER, store.tag_errors, "Tags without name or value."),
        ("statsd_exporter_series", GAUGE, store.series, "Series that are kept."),
        ("statsd_exporter_series_limit", GAUGE, store.options.max_series, "Series that may be kept."),
        ("statsd_exporter_expired_total", COUNTER, store.expired, "Series that were removed, as nobody sent them."),
        ("process_cpu_seconds_total", COUNTER, used.ru_utime + used.ru_stime, "Processor time of this program."),
        ("process_resident_memory_bytes", GAUGE, memory, "Resident memory of this program."),
        ("process_start_time_seconds", GAUGE, STARTED, "When this program was started."),
    ):
        yield plain(name, kind, value, about)


STARTED = time.time()


def resident() -> int:
    """Return the bytes of memory that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib would cost memory
        return int(file.read().split()[1]) * resource.getpagesize()


def rendered(store: Store, drops: int) -> bytes:
    """Return all that is known, as Prometheus reads it."""
    text = bytearray("".join(own_metrics(store, drops)), "utf-8")
    for family in store.families.values():
        text += f"# HELP {family.name} Metric of Airflow, sent by StatsD.\n".encode()
        text += f"# TYPE {family.name} {family.kind}\n".encode()
        for series in family.series.values():
            for line in series.lines():
                text += line.encode()
                text += b"\n"
    return bytes(text)


class Connection:
    """A client of HTTP, which gets one answer."""

    def __init__(self, link: socket.socket, now: float) -> None:
        self.link, self.until = link, now + PATIENCE
        self.request, self.head = bytearray(), b""
        self.body = b""
        self.sent = 0

    def read(self) -> str | None:
        """Return the first line of the request if all of its head is there; raise OSError if there will be none."""
        part = self.link.recv(4096)
        self.request += part
        if b"\r\n\r\n" in self.request or b"\n\n" in self.request:
            return self.request.split(b"\n", 1)[0].decode("latin-1").strip()
        if not part or len(self.request) > REQUEST_BYTES:
            raise ConnectionResetError
        return None

    def answer(self, status: str, body: bytes) -> None:
        """Prepare the answer."""
        kind = "text/plain; version=0.0.4; charset=utf-8"
        self.head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode()
        self.body = body

    def write(self) -> bool:
        """Send what can be sent; return whether that was all."""
        while self.sent < len(self.head) + len(self.body):
            # The bodies of all connections are one: it is not copied.
            at = self.sent - len(self.head)
            part = memoryview(self.head)[self.sent :] if at < 0 else memoryview(self.body)[at : at + 2**18]
            try:
                self.sent += self.link.send(part)
            except BlockingIOError:
                return False
        return True


class Server:
    """The sockets, and who waits for what."""

    def __init__(self, options: Options) -> None:
        self.store = Store(options)
        self.rate = options.max_lines
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer)
        self.udp.bind(("127.0.0.1", options.statsd_port))
        self.nap = self.udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) / DATAGRAM_MEMORY * DATAGRAM_SECONDS
        self.http = socket.create_server(("127.0.0.1", options.metrics_port), backlog=CONNECTIONS)
        for link in (self.udp, self.http):
            link.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.http, selectors.EVENT_READ)
        self.connections: dict[socket.socket, Connection] = {}
        self.body, self.body_at = b"", -PATIENCE
        self.tokens, self.refilled = float(options.max_lines), time.monotonic()
        self.listening = False
        self.swept = self.refilled

    def run(self) -> None:
        """Serve for ever."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Do what there is to do; wait for it if there is nothing."""
        now = time.monotonic()
        self._refill(now)
        wait = PATIENCE / 5 if self.connections else float(SWEEP)
        ready = self.selector.select(wait if self.listening else 0.05)
        now = time.monotonic()
        for key, events in ready:
            if key.fileobj is self.udp:
                self._receive(now)
            elif key.fileobj is self.http:
                self._accept(now)
            elif connection := self.connections.get(key.fileobj):  # type: ignore[call-overload]
                self._serve(connection, events, now)
        for connection in [*self.connections.values()]:
            if connection.until < now:
                self._close(connection)
        if now - self.swept >= SWEEP:
            self.swept = now
            self.store.sweep(now)

    def _refill(self, now: float) -> None:
        """Give the receiver its lines for the time that has passed; without any, the kernel drops what comes."""
        self.tokens = min(float(self.rate), self.tokens + (now - self.refilled) * self.rate)
        self.refilled = now
        if self.listening != (self.tokens >= 1):
            self.listening = not self.listening
            if self.listening:
                self.selector.register(self.udp, selectors.EVENT_READ)
            else:
                self.selector.unregister(self.udp)

    def _receive(self, now: float) -> None:
        """Take what has come, up to a turn's share."""
        receive, take = self.udp.recv, self.store.take
        lines = 0
        try:
            for _ in range(TURN):
                lines += take(receive(DATAGRAM_BYTES + 1), now)
                if lines > self.tokens:
                    break
        except BlockingIOError:
            time.sleep(self.nap)
        self.tokens -= lines

    def _accept(self, now: float) -> None:
        """Take a connection; if there are too many, the oldest one has had its time."""
        with suppress(OSError):
            link, _ = self.http.accept()
            link.setblocking(False)
            if len(self.connections) >= CONNECTIONS:
                self._close(next(iter(self.connections.values())))
            self.connections[link] = Connection(link, now)
            self.selector.register(link, selectors.EVENT_READ)

    def _serve(self, connection: Connection, events: int, now: float) -> None:
        """Read a request, or send its answer."""
        try:
            if events & selectors.EVENT_READ and (line := connection.read()) is not None:
                connection.answer(*self._answer(line, now))
                self.selector.modify(connection.link, selectors.EVENT_WRITE)
            elif events & selectors.EVENT_WRITE and connection.write():
                self._close(connection)
        except OSError:
            self._close(connection)

    def _answer(self, line: str, now: float) -> tuple[str, bytes]:
        """Return status and body for a request's first line."""
        method, _, rest = line.partition(" ")
        path = rest.split(" ")[0].split("?")[0]
        if method != "GET":
            return "405 Method Not Allowed", b"GET only\n"
        if path != "/metrics":
            return "404 Not Found", b"see /metrics\n"
        # Whoever reads slowly keeps an answer in memory: there are never more than two of them.
        held = any(other.body is self.body for other in self.connections.values())
        if now - self.body_at >= (PATIENCE if held else FRESH):
            self.body = b""
            self.body, self.body_at = rendered(self.store, self._drops()), now
        return "200 OK", self.body

    def _drops(self) -> int:
        """Return how many datagrams the kernel has dropped at this socket."""
        size = 4 * (MEMINFO_DROPS + 1)
        found = self.udp.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, size)
        return int(struct.unpack(f"{len(found) // 4}I", found)[MEMINFO_DROPS]) if len(found) == size else 0

    def _close(self, connection: Connection) -> None:
        del self.connections[connection.link]
        self.selector.unregister(connection.link)
        connection.link.close()


def options_of(arguments: Sequence[str]) -> Options:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="airstrip-statsd-exporter", description="StatsD for Prometheus.")
    numbers = {
        "statsd-port": "UDP port to receive at", "metrics-port": "TCP port of /metrics",
        "max-series": "series in all", "max-series-per-name": "series of one name",
        "max-lines": "lines in a second", "receive-buffer": "bytes of the UDP socket's buffer",
        "gauge-seconds": "seconds until a gauge is gone", "idle-seconds": "seconds until what is idle may make room",
    }  # fmt: skip
    for name, about in numbers.items():
        parser.add_argument(f"--{name}", type=int, required=True, help=about)
    parser.add_argument("--prefix", required=True, help="first part of all names")
    parser.add_argument("--buckets", required=True, help="upper bounds of histograms, in seconds, with commas")
    parser.add_argument("--refused", default="", help="names of series that are others' to give, with commas")
    given = vars(parser.parse_args(arguments))
    given["buckets"] = tuple(sorted(map(float, given["buckets"].split(","))))
    given["refused"] = frozenset(given["refused"].split(",")) - {""}
    return Options(**given)


def main(arguments: Sequence[str]) -> int:
    """Run the program."""
    Server(options_of(arguments)).run()
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
