"""What a host does for worker sets that scale: its share, what it believes, and what it starts and stops.

Prometheus is an HTTP server of the test here, for what it may answer; the real one, and systemd, are in
tests/e2e/scaling/test_scale.py.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airstrip_certificates import issue
from airstrip_http import serving
from ansible_collections.airstrip.core.plugins.module_utils import worker_scale
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import (
    FIRST_WAIT,
    LAST_WAIT,
    MAX_AGE,
    SETTLED,
    Answer,
    Failures,
    Host,
    ScaleError,
    Set,
    Settings,
    Unit,
    answers_of,
    changes,
    failures_of,
    here,
    settings_of,
    share,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000.0
HOSTS = st.lists(
    st.builds(
        lambda weight, fixed, more: (weight, fixed, fixed + more),
        st.sampled_from([0.1, 1, 2, 4, 64]),
        st.integers(1, 4),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=6,
).map(lambda rows: [Host(f"w{number}", *row) for number, row in enumerate(rows)])


def pair(most: int = 10, weights: tuple[float, float] = (2, 2), fixed: int = 1) -> tuple[Host, ...]:
    return tuple(Host(name, weight, fixed, most) for name, weight in zip(("w1", "w2"), weights, strict=True))


def elastic(hosts: tuple[Host, ...] = (), most: int = 10) -> Set:
    units = tuple(f"airflow-worker@elastic-{number}.service" for number in range(2, 11))
    return Set("elastic", 2, most, hosts or pair(), "airflow-worker@elastic-1.service", units)


# Shares


@given(HOSTS, st.integers(0, 100))
def test_shares_are_all_that_is_wanted_as_far_as_hosts_may(hosts: list[Host], wanted: int) -> None:
    found = share(wanted, hosts)
    assert all(host.fixed <= found[host.name] <= host.most for host in hosts)
    least, most = sum(host.fixed for host in hosts), sum(host.most for host in hosts)
    assert sum(found.values()) == max(least, min(most, wanted))


@given(HOSTS, st.integers(0, 60))
def test_one_more_wanted_is_one_more_on_one_host(hosts: list[Host], wanted: int) -> None:
    """So that a host never stops an instance because another one is to start."""
    before, after = share(wanted, hosts), share(wanted + 1, hosts)
    assert sorted(after[name] - before[name] for name in before)[:-1] == [0] * (len(hosts) - 1)
    assert sum(after.values()) - sum(before.values()) in (0, 1)


@pytest.mark.parametrize(
    ("wanted", "weights", "expected"),
    [
        (0, (2, 2), [1, 1]),
        (2, (2, 2), [1, 1]),
        (3, (2, 2), [2, 1]),
        (10, (2, 2), [5, 5]),
        (9, (4, 2), [6, 3]),
        (99, (2, 2), [10, 10]),
    ],
)
def test_a_larger_host_gets_more(wanted: int, weights: tuple[float, float], expected: list[int]) -> None:
    assert [*share(wanted, pair(weights=weights)).values()] == expected


@pytest.mark.parametrize(
    ("host", "answer", "expected"),
    [
        pytest.param("w1", Answer(7, {"w1": 1, "w2": 1}, frozenset()), 3, id="both take their share"),
        pytest.param("w2", Answer(7, {"w1": 1, "w2": 1}, frozenset()), 2, id="the second has one less"),
        pytest.param("w1", Answer(7, {"w1": 1}, frozenset()), 6, id="a host that is down gives its share away"),
        pytest.param("w2", Answer(7, {"w1": 1}, frozenset()), 2, id="this one is there, seen or not"),
        pytest.param("w1", Answer(8, {"w1": 3, "w2": 1}, frozenset({"w2"})), 6, id="so does a full one"),
        pytest.param("w2", Answer(8, {"w1": 3, "w2": 2}, frozenset({"w2"})), 1, id="which keeps what it has"),
        pytest.param("w2", Answer(2, {"w1": 1, "w2": 4}, frozenset({"w2"})), 0, id="but goes down as others do"),
        pytest.param("w1", Answer(99, {"w1": 1, "w2": 1}, frozenset()), 4, id="no more than the configuration's most"),
        pytest.param("w1", Answer(-5, {"w1": 1, "w2": 1}, frozenset()), 0, id="no less than its least"),
        pytest.param("w1", Answer(7, {"w1": 1, "elsewhere": 3}, frozenset({"elsewhere"})), 6, id="no other hosts"),
    ],
)
def test_the_share_of_a_host(host: str, answer: Answer, expected: int) -> None:
    assert here(elastic(), answer, host) == expected


@given(st.integers(-10, 200), st.integers(0, 20), st.integers(0, 20), st.sets(st.sampled_from(["w1", "w2"])))
def test_all_hosts_together_have_what_is_wanted(wanted: int, first: int, second: int, full: set[str]) -> None:
    one, answer = elastic(), Answer(wanted, {"w1": first, "w2": second}, frozenset(full))
    found = sum(here(one, answer, name) + 1 for name in ("w1", "w2"))
    assert 2 <= found <= max(2, min(10, wanted))
    assert full or found == max(2, min(10, wanted))


# What is believed


def row(name: str, value: str, age: float = 0, **labels: str) -> dict[str, Any]:
    return {
        "metric": {"__name__": name, "set": "elastic", **labels},
        "values": [[NOW - age - 10, "1"], [NOW - age, value]],
    }


def said(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": [*rows]}}


def test_an_answer_is_its_last_values() -> None:
    found = answers_of(
        said(
            row(worker_scale.FULL, "1", instance="w2"),
            row(worker_scale.FULL, "0", instance="w1"),
            row(worker_scale.PRESENT, "3", instance="w1"),
            row(worker_scale.PRESENT, "1", instance="w2"),
            row(worker_scale.WANTED, "7"),
            {**row(worker_scale.PRESENT, "9", instance="w1"), "metric": {"__name__": worker_scale.PRESENT, "set": "x"}},
        ),
        NOW,
    )
    assert found == {"elastic": Answer(7, {"w1": 3, "w2": 1}, frozenset({"w2"}))}


def test_what_is_old_does_not_count() -> None:
    assert answers_of(said(row(worker_scale.WANTED, "7", age=MAX_AGE + 1)), NOW) == {}
    found = answers_of(
        said(row(worker_scale.WANTED, "7"), row(worker_scale.PRESENT, "3", MAX_AGE + 1, instance="w1")), NOW
    )
    assert found == {"elastic": Answer(7, {}, frozenset())}


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "many", ""])
def test_a_set_whose_number_is_none_is_left_out(value: str) -> None:
    other = {**row(worker_scale.WANTED, "4"), "metric": {"__name__": worker_scale.WANTED, "set": "other"}}
    assert answers_of(said(row(worker_scale.WANTED, value), other), NOW) == {"other": Answer(4, {}, frozenset())}


@pytest.mark.parametrize(
    "answer",
    [
        None, [], "text", {}, {"data": None}, {"data": {"result": [{}]}}, {"data": {"result": 3}},
        {"data": {"result": [{"metric": {"__name__": "x"}, "values": []}]}},
        {"data": {"result": [{"metric": {"__name__": worker_scale.WANTED}, "values": [[NOW, "3"]]}]}},
    ],
)  # fmt: skip
def test_an_answer_that_is_none(answer: object) -> None:
    with pytest.raises(ScaleError, match="the answer is none"):
        answers_of(answer, NOW)


# What is started and stopped

U2, U3, U4 = elastic().units[:3]
SMALL = Set("elastic", 2, 10, pair(), "airflow-worker@elastic-1.service", (U2, U3, U4))
OFF, ON, GOES = Unit("inactive", 9), Unit("active", 9), Unit("deactivating", 9)
COMES, FAILED = Unit("activating", 1), Unit("failed", 9)


@pytest.mark.parametrize(
    ("wanted", "units", "expected"),
    [
        pytest.param(0, {}, ([], []), id="systemd knows none"),
        pytest.param(2, {}, ([U2, U3], []), id="the first ones begin"),
        pytest.param(2, {U2: ON, U3: COMES, U4: OFF}, ([], []), id="as wanted"),
        pytest.param(3, {U2: ON, U3: OFF, U4: ON}, ([U3], []), id="a gap is filled"),
        pytest.param(1, {U2: ON, U3: ON, U4: ON}, ([], [U3, U4]), id="the last ones end"),
        pytest.param(2, {U2: ON, U3: GOES, U4: OFF}, ([], []), id="what stops counts as there"),
        pytest.param(3, {U2: ON, U3: GOES, U4: OFF}, ([U4], []), id="and is not started again"),
        pytest.param(3, {U2: GOES, U3: GOES, U4: GOES}, ([], []), id="nothing else is left"),
        pytest.param(1, {U2: ON, U3: GOES, U4: ON}, ([], [U4]), id="what stops is not stopped for it"),
        pytest.param(1, {U2: FAILED}, ([U2], []), id="one that failed for the first time begins"),
    ],
)
def test_changes(wanted: int, units: dict[str, Unit], expected: tuple[list[str], list[str]]) -> None:
    assert changes(SMALL, wanted, units, {}, NOW) == expected


@given(
    st.integers(0, 3),
    st.fixed_dictionaries({name: st.sampled_from([OFF, ON, GOES, COMES, FAILED]) for name in (U2, U3, U4)}),
)
def test_never_more_than_wanted_and_never_both_ways(wanted: int, units: dict[str, Unit]) -> None:
    starts, stops = changes(SMALL, wanted, units, {}, NOW)
    there = [name for name, unit in units.items() if unit.active not in ("inactive", "failed")]
    assert not (starts and stops)
    assert not set(starts) & set(there)
    assert all(units[name] in (ON, COMES) for name in stops)
    assert len(there) + len(starts) <= max(wanted, len(there))


def test_one_that_fails_waits_longer_each_time_and_another_takes_its_place() -> None:
    moment, failed, waits = NOW, dict[str, Failures](), []
    for _ in range(12):
        began = moment
        while (
            not (starts := changes(elastic(), 1, {U2: FAILED} if failed else {}, failed, moment)[0]) or starts[0] != U2
        ):
            assert starts == [U3]
            moment += 1
        waits.append(moment - began)
        failed = failures_of({U2: FAILED} if failed else {}, failed, [U2], moment)
    assert waits == [0, 0, *(float(min(LAST_WAIT, FIRST_WAIT * 2**n)) for n in range(10))]


def test_failures_are_forgotten_when_it_has_run_for_a_while_or_ended_well() -> None:
    before = {U2: Failures(3, NOW - 500)}
    for unit, is_kept in {
        Unit("active", SETTLED + 1): False, Unit("inactive", 1): False,
        Unit("active", SETTLED - 1): True, Unit("activating", 1): True, Unit("failed", 500): True,
    }.items():  # fmt: skip
        assert failures_of({U2: unit}, before, [], NOW) == (before if is_kept else {})
    assert failures_of({}, before, [], NOW) == {}


# The configuration, and Prometheus


def settings(*urls: str, ca_file: str = "") -> Settings:
    parts = [urlsplit(url) for url in urls]
    servers = tuple({"address": part.hostname, "port": part.port} for part in parts)
    return Settings("w1", servers, "worker_scale", ca_file, "", (elastic(),))


def test_the_configuration_is_read_as_it_is_written() -> None:
    assert settings_of(json.dumps(asdict(settings("https://m1:9090")))) == settings("https://m1:9090")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sets": [{}]}', '{"sets": [], "servers": [], "more": 1}'])
def test_a_configuration_that_is_none(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "scale.json").write_text(text)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert worker_scale.main([str(tmp_path / "scale.json")]) == 1
    assert capsys.readouterr().err.startswith("airstrip-worker-scale: ")


ANY = "GET /api/v1/query*"


@contextmanager
def closed() -> Iterator[str]:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_the_first_that_answers_counts_and_gets_name_and_password() -> None:
    with closed() as nobody, serving({ANY: (503, "starting")}) as ill, serving({ANY: (200, said())}) as well:
        assert worker_scale._ask(settings(nobody, ill.url, well.url), "s3cret") == said()
        ((request, authorization, _),) = well.requests
    assert authorization == "Basic d29ya2VyX3NjYWxlOnMzY3JldA=="
    assert "instances_wanted" in request
    assert "s3cret" not in request


def test_without_an_answer_all_reasons_are_told_and_no_password() -> None:
    with closed() as nobody, serving({ANY: (401, "no")}) as refusing, serving({ANY: (200, "no JSON")}) as broken:
        with pytest.raises(ScaleError) as told:
            worker_scale._ask(settings(nobody, refusing.url, broken.url), "s3cret")
        for url in (nobody, refusing.url, broken.url):
            assert f"{url}: " in str(told.value)
    assert "s3cret" not in str(told.value)


@contextmanager
def raw(data: bytes, seconds: float = 0) -> Iterator[str]:
    """A server that says something that is no HTTP, after a while."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                time.sleep(seconds)
                connection.sendall(data)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_after_one_that_speaks_no_http_the_next_is_asked() -> None:
    with raw(b"-ERR unknown command\r\n\r\n") as odd, serving({ANY: (200, said())}) as well:
        assert worker_scale._ask(settings(odd, well.url), "s3cret") == said()


def test_after_one_that_hangs_the_next_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_scale, "PATIENCE", 0.2)
    with raw(b"", 0.5) as slow, serving({ANY: (200, said())}) as well:
        assert worker_scale._ask(settings(slow, well.url), "s3cret") == said()


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    ours, theirs = issue("ours"), issue("theirs")
    (tmp_path / "ca.crt").write_text(ours.pem)
    for authority, is_good in ((ours, True), (theirs, False)):
        own = issue("127.0.0.1", authority, ("127.0.0.1",))
        (tmp_path / "tls.pem").write_text(own.pem + own.key)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(tmp_path / "tls.pem")
        with serving({ANY: (200, said())}, tls) as server:
            asked = settings(server.url, ca_file=str(tmp_path / "ca.crt"))
            if is_good:
                assert worker_scale._ask(asked, "s3cret") == said()
            else:
                with pytest.raises(ScaleError, match="certificate verify failed"):
                    worker_scale._ask(asked, "s3cret")
                assert server.requests == []


# What is kept and told


def test_the_moment_of_the_last_answer_stays_while_there_is_none() -> None:
    """A series that ended with the answers would tell nobody."""
    sets = (elastic(), Set("other", 1, 2, pair(), "airflow-worker@other-1.service", ()))
    answer = Answer(2, {}, frozenset())
    first = worker_scale.answered(sets, {}, {"elastic": answer}, NOW)
    assert first == {"elastic": NOW, "other": NOW}
    later = worker_scale.answered(sets, first, {"other": answer}, NOW + 700)
    assert later == {"elastic": NOW, "other": NOW + 700}
    assert worker_scale.answered(sets[1:], later, {}, NOW + 800) == {"other": NOW + 700}


def test_metrics() -> None:
    units = {U2: ON, U3: GOES, U4: FAILED, "airflow-worker@elastic-1.service": ON}
    assert [*worker_scale._lines(settings(), units, {"elastic": NOW})] == [
        "# TYPE airstrip_worker_scale_last_answer_seconds gauge",
        'airstrip_worker_scale_last_answer_seconds{set="elastic"} 1800000000',
        "# TYPE airstrip_worker_scale_units gauge",
        'airstrip_worker_scale_units{set="elastic",state="active"} 1',
        'airstrip_worker_scale_units{set="elastic",state="deactivating"} 1',
        'airstrip_worker_scale_units{set="elastic",state="failed"} 1',
    ]


def test_what_is_kept_is_read_again_and_what_is_broken_is_not(tmp_path: Path) -> None:
    path, failures = tmp_path / "state.json", {U2: Failures(3, NOW)}
    assert worker_scale._read_state(path) == ({}, {})
    worker_scale._write_state(path, failures, {"elastic": NOW})
    assert worker_scale._read_state(path) == (failures, {"elastic": NOW})
    assert path.stat().st_mode & 0o777 == 0o600
    for text in ("", "[]", "{}", '{"failures": {"a": 1}, "answers": {}}', '{"failures": {}, "answers": {"a": "x"}}'):
        path.write_text(text)
        assert worker_scale._read_state(path) == ({}, {})
