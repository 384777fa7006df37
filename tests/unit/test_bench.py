"""The pure parts of the benchmarks: what is made of the measured values."""

import json
import os
from pathlib import Path
from typing import Any

import bench
import bench_probe
import bench_yardstick
import measure_install
import measure_load
import pytest
from airstrip_tree import PROJECT
from bench_play import BenchError, timed
from bench_result import BEGIN, END, MEASURES, Result, empty_row, name_of, pairs, percentile, rewrite, slope

ISSUE = {"install", "noop", "noop_distributed", "change", "scale", "throughput", "latency", "memory", "statsd"}


def result(name: str, *ratios: float, **details: Any) -> Result:
    return Result(name, [{"ratio": ratio} for ratio in ratios], details)


def table(document: str) -> list[str]:
    return document.partition(BEGIN)[2].partition(END)[0].strip().splitlines()


def test_every_measure_is_there() -> None:
    assert set(MEASURES) == ISSUE


def test_the_ratio_is_the_median_of_the_runs() -> None:
    assert result("noop", 1.0, 9.0, 1.2).ratio == 1.2


def test_pairs_are_divided_one_by_one() -> None:
    assert pairs([10.0, 30.0], [5.0, 10.0], "yardstick") == [
        {"ratio": 2.0, "ours": 10.0, "yardstick": 5.0},
        {"ratio": 3.0, "ours": 30.0, "yardstick": 10.0},
    ]


@pytest.mark.parametrize(
    ("name", "ratio", "met"),
    [("noop", 1.3, True), ("noop", 1.31, False), ("throughput", 1.5, True), ("throughput", 1.49, False)],
)
def test_a_target_is_met_from_its_own_side(name: str, ratio: float, met: bool) -> None:
    assert result(name, ratio).met is met


def test_a_problem_is_a_target_that_is_missed() -> None:
    assert not result("change", 1.0, problems=["restarted everything"]).met


def test_json_is_one_line_with_what_was_asked_for() -> None:
    line = result("scale", 1.0, 1.23456, 2.0, points=[{"seconds": 1.00049}]).as_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "name": "scale",
        "ratio": 1.235,
        "target": 1.5,
        "unit": "s per added host",
        "met": True,
        "runs": [{"ratio": 1.0}, {"ratio": 1.235}, {"ratio": 2.0}],
        "spread": [1.0, 2.0],
        "details": {"points": [{"seconds": 1.0}]},
    }


def test_slope_is_that_of_the_best_line() -> None:
    assert slope([(10, 25.0), (30, 45.0), (100, 115.0)]) == pytest.approx(1.0)
    assert slope([(0, 0.0), (1, 3.0), (2, 3.0)]) == pytest.approx(1.5)


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (95, 10), (100, 10), (1, 1)])
def test_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == value


def test_a_table_gets_a_row_for_each_measure() -> None:
    document = rewrite(f"before\n{BEGIN}\n{END}\nafter\n", {})
    assert document.startswith("before\n")
    assert document.endswith("\nafter\n")
    assert [name_of(row) for row in table(document)[2:]] == list(MEASURES)


def test_a_new_result_replaces_its_row_alone() -> None:
    first = rewrite(f"{BEGIN}\n{END}\n", {"noop": result("noop", 1.1).row("2026-01-01")})
    second = rewrite(first, {"scale": result("scale", 2.0).row("2026-01-02")})
    rows = {name_of(row): row for row in table(second)}
    assert "| 1.10 (1.10 to 1.10) | ≤ 1.3 | met | `bin/bench noop` | 2026-01-01 |" in rows["noop"]
    assert "| missed | `bin/bench scale` | 2026-01-02 |" in rows["scale"]
    assert rows["install"] == empty_row("install")
    assert rewrite(second, {}) == second


def test_rows_have_the_columns_of_the_head() -> None:
    lines = table(rewrite(f"{BEGIN}\n{END}\n", {"noop": result("noop", 1.1).row("2026-01-01")}))
    assert {line.count("|") for line in lines} == {9}


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has not the lines"):
        rewrite("nothing\n", {})


def test_the_document_has_a_table_that_is_up_to_date() -> None:
    text = (PROJECT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert rewrite(text, {}) == text


def test_the_yardstick_is_a_hundred_tasks(tmp_path: Path) -> None:
    (play,) = bench_yardstick.plays("node-1")
    modules = [key for task in play["tasks"] for key in task if key != "name"]
    assert play["gather_facts"] is False
    assert sorted(modules) == ["ansible.builtin.copy"] * 50 + ["ansible.builtin.file"] * 50
    assert len({task["name"] for task in play["tasks"]}) == 100
    assert "{{" not in bench_yardstick.write(tmp_path, "node-1").read_text(encoding="utf-8")


def test_runs_of_two_configurations_are_compared_one_by_one() -> None:
    mine, others = (
        [{"value": value, "rest_mb": {}} for value in values] for values in ((2.0, 3.0, 4.0), (1.0, 2.0, 4.0))
    )
    found = json.loads(measure_load.result("throughput", mine, others).as_json())
    assert (found["ratio"], found["spread"]) == (1.5, [1.0, 2.0])
    assert found["details"]["medians"] == {"ours": 3.0, "defaults": 2.0}
    assert found["runs"][0] == {"ratio": 2.0, "ours": mine[0], "defaults": others[0]}


def test_memory_counts_each_process_of_a_cgroup_once(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n", encoding="utf-8")
    (tmp_path / "below" / "cgroup.procs").write_text(f"{os.getpid()}\n", encoding="utf-8")
    held = bench_probe.memory(tmp_path)
    assert len(held) == 2
    assert all(amount > 1 for amount in held)


def test_the_reference_installs_what_the_role_does() -> None:
    given = measure_install.given()
    lines = given["requirements.in"].splitlines()
    assert lines[0].startswith("apache-airflow[celery,")
    assert "apache-airflow-providers-fab" in lines
    assert "apache-airflow==" in given["constraints.txt"]


def test_the_steps_of_the_reference_are_read() -> None:
    assert measure_install.steps("   3 s  install_packages\nproof: success\n  54 s  prove\n") == {
        "install_packages": 3,
        "prove": 54,
    }


def test_a_program_is_timed_and_costed(tmp_path: Path) -> None:
    timing = timed(["sh", "-c", "echo 'node : ok=7   changed=2   ' && sleep 0.1"], tmp_path / "log")
    assert timing.seconds >= 0.1
    assert timing.max_rss_mb > 0
    assert (timing.results, timing.changed) == (7, 2)


def test_a_program_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"failed \(3\)(.|\n)*in vain"):
        timed(["sh", "-c", "echo in vain; exit 3"], tmp_path / "log")


def test_a_name_that_is_no_measure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.parse(["throughputs"])
    assert "no measure throughputs" in capsys.readouterr().err
    assert bench.parse(["scale", "--hosts", "10,30", "--runs", "2"]).hosts == [10, 30]
