"""roles/statsd_exporter: the program, asked by UDP and HTTP as on a host, the mapping for upstream, and the unit."""

import configparser
import contextlib
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import measure_statsd
import pytest
import yaml
from airstrip_module import load
from airstrip_render import Role, written
from airstrip_tree import PROJECT
from bench_play import BenchError
from hypothesis import given
from hypothesis import strategies as st

PROGRAM = PROJECT / "roles" / "statsd_exporter" / "files" / "airstrip_statsd_exporter.py"
exporter = load(PROGRAM)
UNIT = "airstrip-statsd-exporter.service.j2"
BINARY = {"statsd_exporter_binary": "/opt/statsd exporter"}
MB = 2**20

# As the client of PyPI, statsd 4.0.1, sends for Airflow with tags: one datagram for each, six digits for times.
TASK = "dag_id=etl.daily,task_id=group.load-1"
LINES = {
    "3.3.2": f"""
        airflow.scheduler_heartbeat:1|c
        airflow.scheduler.scheduler_loop_duration:12.345678|ms
        airflow.scheduler.executor_heartbeat_duration,executor=CeleryExecutor:3.000000|ms
        airflow.executor.open_slots,status=open,executor_class_name=CeleryExecutor:32|g
        airflow.pool.open_slots,pool_name=default_pool:128|g
        airflow.ti.queued,queue=default,{TASK}:2.0|g
        airflow.ti.start,{TASK}:1|c
        airflow.ti.finish,{TASK},state=success:1|c
        airflow.ti_successes,{TASK}:1|c
        airflow.operator_successes,{TASK},operator_name=PythonOperator:1|c
        airflow.task.duration,{TASK}:90061.000000|ms
        airflow.task.queued_duration,task_id=group.load-1,dag_id=etl.daily,queue=default:250.000000|ms
        airflow.dagrun.dependency-check,dag_id=etl.daily,run_type=scheduled:7.000000|ms
        airflow.dag_processing.last_duration,bundle_name=dags-folder,file_name=etl:0.750000|ms
        airflow.dag_processing.last_run.seconds_ago,file_path=a/etl.py,bundle_name=dags-folder,file_name=etl:12.5|g
        airflow.api_server.dag_bag.cache_size:5|g|@0.1
        airflow.triggers.running,hostname=vm1:0|g""",
    "3.2.2": f"""
        airflow.ti.start.etl.daily.group.load-1,{TASK}:1|c
        airflow.ti.start,{TASK}:1|c
        airflow.ti.finish.etl.daily.group.load-1.success,{TASK}:1|c
        airflow.ti.finish,{TASK},state=success:1|c
        airflow.operator_successes_PythonOperator,{TASK}:1|c
        airflow.operator_successes,{TASK},operator=PythonOperator:1|c
        airflow.dag.etl.daily.group.load-1.duration:90061.000000|ms
        airflow.task.duration,{TASK}:90061.000000|ms
        airflow.dag_processing.last_duration.dags-folder.etl:0.750000|ms
        airflow.dag_processing.last_duration,file_name=etl,bundle_name=dags-folder:0.750000|ms
        airflow.dag_processing.last_run.seconds_ago.etl:12.5|g
        airflow.dagrun.etl.daily.first_task_scheduling_delay,dag_id=etl.daily,run_type=manual:5.000000|ms
        airflow.dagrun.first_task_scheduling_delay,dag_id=etl.daily,run_type=manual:5.000000|ms""",
    "3.1.7": f"""
        airflow.ti.running.default.etl.daily.group.load-1:1|g
        airflow.ti.running,queue=default,{TASK}:1|g
        airflow.pool.open_slots.default_pool:128|g
        airflow.pool.open_slots,pool_name=default_pool:128|g
        airflow.executor.open_slots.CeleryExecutor,status=open,name=CeleryExecutor:32|g
        airflow.triggers.running.vm1:0|g
        airflow.triggers.running,hostname=vm1:0|g
        airflow.triggerer.capacity_left.vm1:1000|g
        airflow.dag.etl.daily.group.load-1.queued_duration:250.000000|ms
        airflow.dag.etl.daily.group.load-1.scheduled_duration:250.000000|ms
        airflow.task.queued_duration,task_id=group.load-1,dag_id=etl.daily,queue=default:250.000000|ms
        airflow.dagrun.dependency-check.etl.daily:7.000000|ms
        airflow.dagrun.duration.success.etl.daily,dag_id=etl.daily,run_type=manual:5.000000|ms
        airflow.dagrun.duration.success,dag_id=etl.daily,run_type=manual:5.000000|ms
        airflow.dagrun.schedule_delay.etl.daily:5.000000|ms
        airflow.task_instance_created_PythonOperator,dag_id=etl.daily,run_type=manual:3|c
        airflow.task_instance_created,dag_id=etl.daily,run_type=manual,task_type=PythonOperator:3|c
        airflow.task_removed_from_dag.etl.daily,dag_id=etl.daily,run_type=manual:1|c
        airflow.dag.callback_exceptions,dag_id=etl.daily:1|c""",
}
OLDER = {"3.3.2": 0, "3.2.2": 7, "3.1.7": 11}
LABELS = '{dag_id="etl.daily",task_id="group.load-1"}'


def lines_of(version: str) -> list[str]:
    return LINES[version].split()


# The format of Prometheus (text, 0.0.4), read strictly.

SERIES = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.+)\})? ([0-9.e+-]+|\+Inf)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parsed(text: str) -> dict[str, float]:
    """Return all samples by name and labels as they were written; fail where Prometheus would."""
    assert text.endswith("\n")
    found: dict[str, float] = {}
    kinds: dict[str, str] = {}
    here = ""
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("#"):
            word, name, rest = line[2:].split(" ", 2)
            assert word == ("HELP" if name not in kinds and name != here else "TYPE"), line
            if word == "TYPE":
                kinds[name] = rest
                assert rest in ("counter", "gauge", "histogram")
            here = name
            continue
        match = SERIES.fullmatch(line)
        assert match, line
        suffixes = ("_bucket", "_sum", "_count") if kinds[here] == "histogram" else ("",)
        assert match[1] in {f"{here}{suffix}" for suffix in suffixes}, line
        assert "".join(part[0] for part in LABEL.finditer(match[2] or "")) == (match[2] or ""), line
        names = [label[0] for label in LABEL.findall(match[2] or "")]
        assert len(names) == len(set(names)), line
        key = f"{match[1]}{{{match[2]}}}" if match[2] else match[1]
        assert key not in found, f"twice: {key}"
        found[key] = float(match[3])
    return found


# The program, as the unit starts it.


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


def command(variables: dict[str, Any] | None = None) -> list[str]:
    """Return the command of the unit with variables of the role."""
    unit = Role("statsd_exporter", variables).render(UNIT).replace("\\\n", "")
    found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert found
    return shlex.split(found[1])


class Running:
    """A process of the program, and what it is asked."""

    def __init__(self, **variables: Any) -> None:
        self.port, self.metrics_port = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        ports = {"statsd_exporter_port": self.port, "statsd_exporter_metrics_port": self.metrics_port}
        arguments = command({**ports, **{f"statsd_exporter_{name}": value for name, value in variables.items()}})
        argv = [sys.executable, "-I", str(PROGRAM), *arguments[1:]]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.connect(("127.0.0.1", self.port))
        wait_until(lambda: self.process.poll() is not None or self.answers())

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.get())
        return False

    def get(self, path: str = "/metrics") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=30) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return str(answer.read().decode())

    def send(self, *lines: str | bytes) -> None:
        for line in lines:
            self.link.send(line if isinstance(line, bytes) else line.encode())

    def metrics(self, packets: int) -> dict[str, float]:
        """Return what it has, after so many datagrams in all."""
        found: dict[str, float] = {}

        def all_there() -> bool:
            found.update(parsed(self.get()))
            return found["statsd_exporter_udp_packets_total"] >= packets

        wait_until(all_there)
        return parsed(self.get())

    def memory(self) -> int:
        """Return the most memory that it ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def seconds(self) -> float:
        """Return the processor time that it has used."""
        return parsed(self.get())["process_cpu_seconds_total"]

    def stop(self) -> str:
        alive = self.process.poll() is None
        self.process.terminate()
        printed = self.process.communicate()[0].decode()
        self.link.close()
        assert alive, printed
        return printed


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(name="running")
def fixture_running() -> Iterator[Callable[..., Running]]:
    """Start the program; each has to be alive at the end, and to have said nothing."""
    started: list[Running] = []

    def start(**variables: Any) -> Running:
        started.append(Running(**variables))
        return started[-1]

    yield start
    assert [one.stop() for one in started] == [""] * len(started)


@pytest.mark.parametrize("version", LINES)
def test_what_airflow_sends_is_there_under_upstreams_names(running: Callable[..., Running], version: str) -> None:
    one = running()
    one.send(*lines_of(version))
    found = one.metrics(len(lines_of(version)))
    taken = sum(value for name, value in found.items() if name.startswith("statsd_exporter_events_total"))
    older = found.get('statsd_exporter_dropped_total{reason="older_form"}', 0)
    assert (taken, older) == (len(lines_of(version)) - OLDER[version], OLDER[version])
    assert not [name for name in found if name.startswith(("statsd_exporter_sample", "statsd_exporter_events_c"))]
    every: dict[str, dict[str, float]] = {
        "3.3.2": {
            "airflow_scheduler_heartbeat": 1,
            "airflow_scheduler_scheduler_loop_duration_sum": 0.012345678,
            'airflow_executor_open_slots{executor_class_name="CeleryExecutor",status="open"}': 32,
            'airflow_pool_open_slots{pool_name="default_pool"}': 128,
            'airflow_ti_finish{dag_id="etl.daily",state="success",task_id="group.load-1"}': 1,
            f"airflow_task_duration_sum{LABELS}": 90.061,
            f'airflow_task_duration_bucket{LABELS[:-1]},le="60"}}': 0,
            f'airflow_task_duration_bucket{LABELS[:-1]},le="120"}}': 1,
            'airflow_dagrun_dependency_check_count{dag_id="etl.daily",run_type="scheduled"}': 1,
            'airflow_dag_processing_last_duration_sum{bundle_name="dags-folder",file_name="etl"}': 0.75,
            "airflow_api_server_dag_bag_cache_size": 5,
        },
        "3.2.2": {f"airflow_ti_start{LABELS}": 1, f"airflow_task_duration_count{LABELS}": 1},
        "3.1.7": {
            'airflow_executor_open_slots{name="CeleryExecutor",status="open"}': 32,
            'airflow_task_instance_created{dag_id="etl.daily",run_type="manual",task_type="PythonOperator"}': 3,
            'airflow_dag_callback_exceptions{dag_id="etl.daily"}': 1,
        },
    }
    expected = every[version]
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)
    assert not [name for name in found if "etl_daily" in name]


def test_samples_add_up_as_in_statsd(running: Callable[..., Running]) -> None:
    one = running()
    one.send("airflow.ti_failures:2|c\nairflow.ti_failures:3|c", "airflow.ti_failures:1|c|@0.1\n")
    one.send("airflow.dagbag_size:5|g\nairflow.dagbag_size:+2.5|g\nairflow.dagbag_size:-1|g")
    # How the client gives a number below zero.
    one.send("airflow.pool.open_slots,pool_name=a:0|g\nairflow.pool.open_slots,pool_name=a:-3|g")
    one.send("airflow.task.duration:5|ms", "airflow.task.duration:5.001|ms|@0.5", "airflow.task.duration:1e9|ms")
    found = one.metrics(7)
    assert found["airflow_ti_failures"] == 15
    assert found["airflow_dagbag_size"] == 6.5
    assert found['airflow_pool_open_slots{pool_name="a"}'] == -3
    assert found['airflow_task_duration_bucket{le="0.005"}'] == 1
    assert found['airflow_task_duration_bucket{le="0.01"}'] == 3
    assert found['airflow_task_duration_bucket{le="86400"}'] == 3
    assert found['airflow_task_duration_bucket{le="+Inf"}'] == found["airflow_task_duration_count"] == 4
    assert found["airflow_task_duration_sum"] == pytest.approx(0.005 + 2 * 0.005001 + 1e6)
    assert found["statsd_exporter_lines_total"] == 11


BAD = {
    "airflow.a": ("sample_errors", "malformed_line"),
    ":1|c": ("sample_errors", "malformed_line"),
    "airflow.a:1": ("sample_errors", "not_enough_parts_after_colon"),
    "airflow.a:": ("sample_errors", "not_enough_parts_after_colon"),
    "airflow.a:1|": ("sample_errors", "illegal_event"),
    "airflow.a:1|s": ("sample_errors", "illegal_event"),
    "airflow.a:1|c|": ("sample_errors", "invalid_sample_factor"),
    "airflow.a:1|c|@0": ("sample_errors", "invalid_sample_factor"),
    "airflow.a:1|ms|@0.0000001": ("sample_errors", "invalid_sample_factor"),
    "airflow.a:1|c|@nan": ("sample_errors", "invalid_sample_factor"),
    "airflow.a:1|c|#tag:x": ("sample_errors", "invalid_sample_factor"),
    "airflow.a:1|c|@1|x": ("sample_errors", "malformed_component"),
    "airflow.a:|c": ("sample_errors", "malformed_value"),
    "airflow.a:nan|g": ("sample_errors", "malformed_value"),
    "airflow.a:inf|c": ("sample_errors", "malformed_value"),
    "airflow.a:1_000|c": ("sample_errors", "malformed_value"),
    "airflow.a:1e16|c": ("sample_errors", "malformed_value"),
    "airflow.a:1e999|g": ("sample_errors", "malformed_value"),
    "airflow.a:0x10|c": ("sample_errors", "malformed_value"),
    "airflow.a: 1|c": ("sample_errors", "malformed_value"),
    "airflow.a,b=\x07:1|c": ("sample_errors", "malformed_line"),
    "airflow.a:-1|c": ("events_error", "illegal_negative_counter"),
    "airflow.ti_failures:1|g": ("events_conflict", "gauge"),
    "airflow.task.duration_sum:1|g": ("events_conflict", "gauge"),
    "airflow.:1|c": ("dropped", "prefix"),
    "airflow:1|c": ("dropped", "prefix"),
    "node_load1:1|g": ("dropped", "prefix"),
    "airflowx.a:1|g": ("dropped", "prefix"),
    "up,job=node:1|g": ("dropped", "prefix"),
    "airflow.task_instances,state=queued:9|g": ("dropped", "refused"),
    "airflow.task-instances:9|g": ("dropped", "refused"),
    "airflow.dag_run_duration_seconds.count:9|c": ("dropped", "refused"),
    "airflow.a,le=1:1|ms": ("dropped", "label"),
    "airflow.a,job=node:1|c": ("dropped", "label"),
    "airflow.a,instance=vm2:1|c": ("dropped", "label"),
    "airflow.a,__name__=up:1|c": ("dropped", "label"),
    "airflow.a,--x=1:1|c": ("ok", ""),
    "airflow.a,.-name=1:1|c": ("dropped", "label"),
    "airflow.a," + ",".join(f"l{n}=1" for n in range(17)) + ":1|c": ("dropped", "label"),
    "airflow." + "x" * 200 + ":1|c": ("dropped", "length"),
    "airflow.a,b=" + "x" * 310 + ":1|c": ("dropped", "length"),
}


@pytest.fixture(name="store")
def fixture_store() -> Any:
    return make_store()


@cache
def defaults() -> dict[str, Any]:
    return dict(vars(exporter.options_of(command()[1:])))


def make_store(**changes: Any) -> Any:
    options = defaults() | changes
    return exporter.Store(exporter.Options(**options))


def kept(store: Any) -> dict[str, float]:
    """Return what a store has, without what it says of the program."""
    found = parsed(exporter.rendered(store, 0).decode())
    return {name: value for name, value in found.items() if name.startswith("airflow")}


@pytest.mark.parametrize("line", BAD)
def test_what_is_wrong_is_counted_by_its_reason_and_makes_no_series(store: Any, line: str) -> None:
    for _ in range(2):
        store.take(line.encode(), 0)
    good = BAD[line][0] == "ok"
    assert bool(kept(store)) == (good or line == "airflow.a:-1|c")
    counts = {key: count for key, count in store.counts.items() if key[0] != "events"}
    assert counts == ({} if good else {BAD[line]: 2})


def test_a_tag_without_name_or_value_is_left_out_as_upstream_does(store: Any) -> None:
    for _ in range(2):
        store.take(b"airflow.a,b=,=c,d,,e=1:1|c", 0)
    assert kept(store) == {'airflow_a{e="1"}': 2}
    assert store.tag_errors == 8


def test_names_are_escaped_as_upstream_does(store: Any) -> None:
    lines = 'airflow.dep--check:1|c\nairflow.a b\u00fc/c:1|c\nairflow.t,1st=a,k.e-y=q"\\,z=\u00e9:1|c'
    store.take(lines.encode(), 0)
    assert kept(store) == {
        "airflow_dep_check": 1,
        "airflow_a_b__c": 1,
        'airflow_t{_1st="a",k_e_y="q\\"\\\\",z="\u00e9"}': 1,
    }


def test_tags_in_another_order_are_the_same_series(store: Any) -> None:
    store.take(b"airflow.t,a=1,b=2:1|c\nairflow.t,b=2,a=1:1|c", 0)
    assert kept(store) == {'airflow_t{a="1",b="2"}': 2}


def test_lines_of_a_histogram_keep_their_names(store: Any) -> None:
    store.take(b"airflow.own_count:1|c\nairflow.own:1|ms", 0)
    assert store.counts["events_conflict", "observer"] == 1
    store.take(b"airflow.other:1|ms\nairflow.other_bucket:1|c", 0)
    assert store.counts["events_conflict", "counter"] == 1
    assert {"airflow_own_count", "airflow_other_count"} <= set(kept(store))


@given(st.lists(st.binary(max_size=400) | st.text(max_size=60).map(str.encode), max_size=20))
def test_no_bytes_end_it(datagrams: list[bytes]) -> None:
    store = make_store()
    for datagram in datagrams:
        store.take(datagram, 0)
    parsed(exporter.rendered(store, 0).decode())


# What is nearly right gets further.
PART = st.sampled_from(
    ["airflow", "ti", "a", ".", "-", "_", ",", "=", "le", "job", "\u00e9", '"', "\\", "9", "{", "}", "x"]
)
NEARLY = st.builds(
    "airflow.{}:{}|{}{}".format,
    st.lists(PART, max_size=12).map("".join),
    st.sampled_from(["1", "-1", "+2.5", "1e3", "", "nan", "9" * 20]),
    st.sampled_from(["c", "g", "ms", "s", ""]),
    st.sampled_from(["", "|@0.1", "|@", "|#a:b"]),
)


@given(st.lists(NEARLY, max_size=30))
def test_whatever_is_sent_prometheus_can_read_the_answer(lines: list[str]) -> None:
    store = make_store()
    for line in lines:
        store.take(line.encode(), 0)
    assert all(key.startswith("airflow_") for key in kept(store))
    assert store.series == len(kept(store))
    assert sum(store.counts.values()) == store.lines == len(lines)


def test_gauges_that_nobody_sends_are_gone_and_counts_stay(store: Any) -> None:
    store.take(b"airflow.pool.open_slots,pool_name=old:1|g\nairflow.ti_failures:1|c\nairflow.task.duration:1|ms", 0)
    store.take(b"airflow.pool.open_slots,pool_name=new:1|g", 800)
    store.sweep(900)
    assert 'airflow_pool_open_slots{pool_name="old"}' in kept(store)
    store.sweep(901)
    assert {name for name in kept(store) if "bucket" not in name} == {
        'airflow_pool_open_slots{pool_name="new"}',
        "airflow_ti_failures",
        "airflow_task_duration_sum",
        "airflow_task_duration_count",
    }
    # What was remembered of the line is forgotten with it.
    store.take(b"airflow.pool.open_slots,pool_name=old:2|g", 902)
    assert kept(store)['airflow_pool_open_slots{pool_name="old"}'] == 2
    assert (store.expired, store.series) == (1, len(kept(store)))


def test_a_name_has_no_more_series_than_its_bound_and_the_others_go_on() -> None:
    store = make_store(max_series_per_name=100)
    for number in range(1000):
        store.take(f"airflow.task.duration,dag_id=d{number}:1|ms\nairflow.ti_failures,dag_id=d{number}:1|c".encode(), 0)
    found = kept(store)
    assert len([name for name in found if name.startswith("airflow_ti_failures")]) == 100
    assert len([name for name in found if name.startswith("airflow_task_duration_count")]) == 4
    assert store.counts["dropped", "series_of_name"] == 900 + 996
    store.take(b"airflow.pool.open_slots,pool_name=a:1|g", 0)
    assert 'airflow_pool_open_slots{pool_name="a"}' in kept(store)


def test_names_of_nobody_take_no_room_from_airflows() -> None:
    store = make_store(max_series=2000, max_series_per_name=1000)
    for number in range(1000):
        store.take(f"airflow.own{number}:1|c\nairflow.own,number={number}:1|c".encode(), 0)
    assert store.series == 2000 // 4
    assert store.counts["dropped", "series_of_others"] == 1500
    for number in range(1000):
        store.take(f"airflow.ti_failures,dag_id=d{number}:1|c\nairflow.ti_successes,dag_id=d{number}:1|c".encode(), 0)
    assert store.series == 2000
    # Nobody keeps those out that there is one of each.
    store.take(b"airflow.scheduler_heartbeat:1|c\nairflow.scheduler.scheduler_loop_duration:1|ms", 0)
    assert {"airflow_scheduler_heartbeat", "airflow_scheduler_scheduler_loop_duration_count"} <= set(kept(store))
    assert store.counts["dropped", "series"] == 500


def test_names_of_nobody_are_not_many() -> None:
    store = make_store()
    for number in range(2 * exporter.OTHER_NAMES):
        store.take(f"airflow.own{number}:1|c".encode(), 0)
    assert len(store.families) == exporter.OTHER_NAMES
    assert store.counts["dropped", "names"] == exporter.OTHER_NAMES


def test_what_is_idle_makes_room_for_what_is_not() -> None:
    store = make_store(max_series_per_name=10)
    for moment, first in ((0, 0), (3000, 5)):
        for number in range(first, 10):
            store.take(f"airflow.ti_failures,dag_id=d{number}:1|c".encode(), moment)
    store.take(b"airflow.ti_failures,dag_id=new:1|c", 3600)
    assert 'airflow_ti_failures{dag_id="new"}' not in kept(store)
    store.take(b"airflow.ti_failures,dag_id=new:1|c", 3601 + exporter.SWEEP)
    assert {name.partition("=")[2] for name in kept(store)} == {
        '"new"}',
        *(f'"d{number}"}}' for number in range(5, 10)),
    }
    assert store.expired == 5


def test_a_type_is_not_whoevers_is_first(store: Any) -> None:
    store.take(b"airflow.scheduler_heartbeat:1|g\nairflow.own:1|g\nairflow.own:1|c\nairflow.scheduler_heartbeat:1|c", 0)
    store.take(b"airflow.own,a=1:1|c", 0)
    assert kept(store) == {"airflow_own": 1, "airflow_scheduler_heartbeat": 1}


def test_memory_has_a_bound_whatever_is_sent(running: Callable[..., Running]) -> None:
    """All names, with labels as long as can be: as many series as there may be, and as many answers at once."""
    one = running(max_lines=1000000)
    names = [name for kind in exporter.AIRFLOW.values() for name in kind.split()]
    for number in range(60000):
        name = names[number % len(names)] if number % 3 else f"own{number}"
        kind = next(
            (sign for sign, kind in (("g", "gauge"), ("ms", "histogram")) if name in exporter.AIRFLOW[kind]), "c"
        )
        one.send(f"airflow.{name},dag_id={number:0240d}:1|{kind}")
        if number % 200 == 0:
            time.sleep(0.002)
    found = one.metrics(0)
    assert found["statsd_exporter_series"] > 0.9 * found["statsd_exporter_series_limit"] - 30000
    slow = [socket.create_connection(("127.0.0.1", one.metrics_port)) for _ in range(10)]
    for link in slow:
        link.send(b"GET /metrics HTTP/1.1\r\n\r\n")
        time.sleep(1.1 if link is slow[0] else 0.1)
    # After all of them.
    assert len(one.get()) > 20 * MB
    bound = float(Role("statsd_exporter").evaluate("__statsd_exporter_memory"))
    assert one.memory() < bound * MB
    for link in slow:
        link.close()


def test_a_flood_takes_no_more_than_its_share_and_then_all_is_as_before(running: Callable[..., Running]) -> None:
    one = running(max_lines=1000, receive_buffer_kb=64)
    one.send("airflow.ti_failures:1|c")
    before = one.seconds()
    end = time.monotonic() + 4
    sent = 0
    while time.monotonic() < end:
        one.send(f"airflow.ti_successes,dag_id={sent}:1|c", *["junk"] * 20)
        sent += 21
    assert one.seconds() - before < 1
    # A second's worth was saved up, and the buffer's content comes later.
    found = one.metrics(0)
    assert found["statsd_exporter_lines_total"] < 1000 * 8
    assert found["statsd_exporter_udp_packet_drops_total"] > 0

    def counts_again() -> bool:
        one.send("airflow.ti_failures:1|c")
        return parsed(one.get())["airflow_ti_failures"] > 3

    wait_until(counts_again)


def test_what_the_kernel_drops_is_counted(running: Callable[..., Running]) -> None:
    one = running(receive_buffer_kb=64)
    one.process.send_signal(signal.SIGSTOP)
    one.send(*["airflow.ti_failures:1|c"] * 3000)
    one.process.send_signal(signal.SIGCONT)
    found = one.metrics(1)
    wait_until(lambda: found.update(parsed(one.get())) or found["statsd_exporter_udp_packets_total"] > 10)
    found = parsed(one.get())
    dropped = found["statsd_exporter_udp_packet_drops_total"]
    assert 0 < dropped < 3000
    assert found["airflow_ti_failures"] == 3000 - dropped


def test_the_buffer_holds_what_comes_while_it_is_busy(running: Callable[..., Running]) -> None:
    one = running()
    one.process.send_signal(signal.SIGSTOP)
    one.send(*["airflow.ti_failures:1|c"] * 200)
    one.process.send_signal(signal.SIGCONT)
    assert one.metrics(200)["airflow_ti_failures"] == 200


def test_a_datagram_that_no_client_of_airflow_sends_is_not_read(running: Callable[..., Running]) -> None:
    one = running()
    one.send("airflow.ti_failures:1|c\n" * 2000, "airflow.ti_successes:1|c\n" * 300)
    found = one.metrics(2)
    assert found['statsd_exporter_dropped_total{reason="length"}'] == 1
    assert "airflow_ti_failures" not in found
    assert found["airflow_ti_successes"] == 300


def asked(one: Running, request: bytes) -> bytes:
    """Return the whole answer to a request as it is."""
    with socket.create_connection(("127.0.0.1", one.metrics_port), timeout=10) as link:
        for byte in (request[:5], request[5:]):
            link.send(byte)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := link.recv(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /metrics?name[]=x HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /metrics\n\n", b"HTTP/1.1 200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"\xff\x00\xfe \r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5000, b""),
    ],
)
def test_http_knows_one_page(running: Callable[..., Running], request_: bytes, status: bytes) -> None:
    assert asked(running(), request_).partition(b"\r\n")[0] == status


def test_who_holds_connections_keeps_nobody_out(running: Callable[..., Running]) -> None:
    one = running()
    held = [socket.create_connection(("127.0.0.1", one.metrics_port)) for _ in range(3 * exporter.CONNECTIONS)]
    for link in held[::2]:
        link.send(b"GET /metrics HT")
    one.send("airflow.ti_failures:1|c")
    assert one.metrics(1)["airflow_ti_failures"] == 1
    # Besides its own: standard streams, two sockets, and what the selector needs.
    assert len([*Path(f"/proc/{one.process.pid}/fd").iterdir()]) <= exporter.CONNECTIONS + 8
    # None is kept for longer than it takes an honest one.
    for link in held:
        link.settimeout(3 * exporter.PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert link.recv(1) == b""
        link.close()


def test_it_listens_to_its_own_host_alone(running: Callable[..., Running]) -> None:
    one = running()
    for name, port in (("udp", one.port), ("tcp", one.metrics_port)):
        table = Path(f"/proc/{one.process.pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        addresses = {line.split()[1] for line in table if line.split()[3] in ("07", "0A")}
        assert {address for address in addresses if address.endswith(f":{port:04X}")} == {f"0100007F:{port:04X}"}


def test_who_has_its_port_already_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        arguments = command({"statsd_exporter_port": taken.getsockname()[1], "statsd_exporter_metrics_port": 0})
        ended = subprocess.run(
            [sys.executable, "-I", str(PROGRAM), *arguments[1:]], check=False, capture_output=True, text=True
        )
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr


# The mapping, by the rules of upstream's mapper: the first pattern that is found in a name, for its type.


def mapped(mapping: dict[str, Any], line: str) -> tuple[str, int, str] | None:
    """Return name, divisor and TTL that upstream gives a line; none if it drops it."""
    head, _, rest = line.partition(":")
    kind = {"c": "counter", "g": "gauge", "ms": "observer"}[rest.split("|")[1]]
    raw = head.partition(",")[0]
    for rule in mapping["mappings"]:
        found = re.search(rule["match"], raw)
        if found and rule.get("match_metric_type", kind) == kind:
            if rule.get("action") == "drop":
                return None
            name = found.expand(rule["name"].replace("${1}", r"\g<1>"))
            return exporter.escaped(name), 1000 // rule.get("scale", 1), rule.get("ttl", "")
    raise AssertionError(line)


@pytest.fixture(name="mapping", scope="module")
def fixture_mapping() -> Any:
    return yaml.safe_load(Role("statsd_exporter").render("mapping.yml.j2"))


def test_the_mapping_gives_what_the_program_gives(mapping: dict[str, Any]) -> None:
    every = [line for version in LINES for line in lines_of(version)]
    own = [
        f"airflow.{name}:1|c" for name in ("own", "own.x-y--z", "task_instances", "dag-runs.total", "ti.x.y", "dag.x")
    ]
    for line in [
        *every,
        *own,
        *(line for line in BAD if BAD[line][0] == "dropped" and BAD[line][1] in ("prefix", "refused")),
    ]:
        store = make_store()
        store.take(line.encode(), 0)
        there = mapped(mapping, line)
        if there is None:
            assert store.counts.keys() & {("dropped", why) for why in ("older_form", "prefix", "refused")}, line
            continue
        name, divisor, ttl = there
        family = store.families[name]
        assert ttl == ("900s" if family.kind == "gauge" else ""), line
        if family.kind == "histogram":
            assert family.divisor == divisor, line


def test_the_mapping_makes_histograms_with_the_same_buckets(mapping: dict[str, Any]) -> None:
    assert mapping["defaults"] == {
        "match_type": "regex",
        "observer_type": "histogram",
        "histogram_options": {"buckets": list(make_store().options.buckets)},
    }
    # What upstream asks of each.
    for rule in mapping["mappings"]:
        re.compile(rule["match"])
        assert re.fullmatch(r"[a-zA-Z_]([a-zA-Z0-9_]|\$\{\d\})*", rule["name"])
        assert set(rule) <= {"match", "name", "action", "ttl", "scale", "match_metric_type"}


def test_another_prefix_is_that_of_both() -> None:
    role = Role("statsd_exporter", {"statsd_exporter_prefix": "air.flow"})
    mapping = yaml.safe_load(role.render("mapping.yml.j2"))
    assert mapped(mapping, "airxflow.a:1|c") is None
    assert mapped(mapping, "air.flow.a:1|c") == ("air_flow_a", 1000, "")


# The role.


def options_of_unit(text: str) -> dict[str, list[str]]:
    parser = configparser.RawConfigParser(strict=False, dict_type=Several)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(text.replace("\\\n", ""))
    return {name: value.split("\n") for name, value in parser["Service"].items()}


class Several(dict[str, Any]):
    """Keeps all values of an option."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


@pytest.mark.parametrize("variables", [{}, BINARY], ids=["own", "upstream"])
def test_the_unit_is_a_users_without_anything(variables: dict[str, Any], tmp_path: Path) -> None:
    text = Role("statsd_exporter", variables).render(UNIT)
    service = options_of_unit(text)
    for name, value in {
        "DynamicUser": "yes",
        "IPAddressAllow": "localhost",
        "IPAddressDeny": "any",
        "Restart": "always",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
        "MemoryMax": "264M",
        "RestrictAddressFamilies": "AF_INET",
    }.items():
        assert service[name] == [value], name
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / UNIT.removesuffix(".j2")
    unit.write_text(re.sub(r'^ExecStart=(".*"|\S+)', "ExecStart=/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True)
    assert unit.name not in verified.stderr
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=13", unit], check=False, capture_output=True
    )
    assert rated.returncode == 0, rated.stdout.decode()[-500:]


def test_upstream_gets_the_same_ports_and_the_mapping() -> None:
    given = command(BINARY | {"statsd_exporter_port": 8126})
    assert given == [
        "/opt/statsd exporter",
        "--statsd.listen-udp=127.0.0.1:8126",
        "--statsd.listen-tcp=",
        "--statsd.mapping-config=/etc/airstrip-statsd-exporter/mapping.yml",
        "--statsd.read-buffer=4194304",
        "--web.listen-address=127.0.0.1:9102",
    ]


def checksum(**variables: Any) -> str:
    text = Role("statsd_exporter", variables).render(UNIT)
    return text.partition("X-ConfigChecksum=")[2].split()[0]


def test_the_unit_changes_with_the_program_and_the_mapping() -> None:
    role = Role("statsd_exporter")
    own = role.render(UNIT, __statsd_exporter_code="another").partition("X-ConfigChecksum=")[2].split()[0]
    assert len({checksum(), own, checksum(statsd_exporter_refused_names=["a"])}) == 3
    entries = {entry["path"]: entry for entry in written("statsd_exporter", "configure", role)}
    program = entries["/usr/local/bin/airstrip-statsd-exporter"]
    assert (program["content"], program["mode"]) == (PROGRAM.read_text(encoding="utf-8"), "0755")


# What tests/bench/measure_statsd.py makes of it.


def test_the_benchmark_starts_what_the_unit_starts(tmp_path: Path) -> None:
    argv = measure_statsd.receiver(Role("statsd_exporter").render(UNIT))
    wanted = command({"statsd_exporter_port": 18125, "statsd_exporter_metrics_port": 19102})
    assert argv == wanted
    with pytest.raises(BenchError, match="does not start"):
        measure_statsd.receiver(Role("statsd_exporter", BINARY).render(UNIT))
    ports = {"18125": free_port(socket.SOCK_DGRAM), "19102": free_port(socket.SOCK_STREAM)}
    own = [re.sub(r"(?<=port=)\d+", lambda found: str(ports[found[0]]), argument) for argument in wanted[1:]]
    program = PROJECT / "tests" / "bench" / "bench_statsd.py"
    ended = subprocess.run(
        [sys.executable, program, "receiver", sys.executable, "-I", PROGRAM, *own],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    found = json.loads(ended.stdout)
    assert (found["lines_per_task"], found["lines_lost"]) == (9, 0)
    assert 0 < found["cpu_seconds_per_task"] < 0.01
    assert found["cpu_microseconds_per_line"] == pytest.approx(found["cpu_seconds_per_task"] / 9 * 1e6)
    assert 5 < found["memory_mb"] < 64


def test_the_benchmark_compares_both_ends_with_a_whole_task() -> None:
    ends = {
        "receiver": {"cpu_seconds_per_task": 0.0004, "lines_lost": 0.0, "memory_mb": 15.0},
        "client": {"cpu_seconds_per_task": 0.0012},
    }
    one = measure_statsd.pair(ends, {"worker": 0.09, "api_server": 0.07})
    assert one["ratio"] == pytest.approx(0.01)
    assert measure_statsd.result([one]).details == {"receiver_memory_mb": 15.0, "problems": []}
    ends["receiver"]["lines_lost"] = 3
    assert measure_statsd.result([one]).details["problems"] == ["3 lines were lost"]
