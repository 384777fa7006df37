"""Slots of workers, memory of hosts, and the sum of all connections to PostgreSQL."""

from typing import Any

import pytest
from airstrip_imagined import PLACED, facts, inventory
from airstrip_registry import declared, registry
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_sizing import (
    budget,
    concurrency,
    host_slots,
    memory_needed,
)
from hypothesis import given
from hypothesis import strategies as st

ALL = [*PLACED]
ONE = [{"name": "default", "queues": ["default"]}]


def host(memory: int, cores: int, groups: list[str], workers: list[dict[str, Any]] | None = None) -> Site:
    """Return a site of one host."""
    said = {"vm": facts(1, "vm", memtotal_mb=memory, processor_vcpus=cores)}
    given = {"site_workers": ONE if workers is None else workers}
    return inventory({group: ["vm"] for group in groups}, given, said=said).site(registry(), declared())


@pytest.mark.parametrize(
    ("size", "groups", "instances", "slots"),
    [
        pytest.param((8192, 2), ["airflow_worker"], 1, 16, id="cores are the limit"),
        pytest.param((4096, 8), ["airflow_worker"], 1, 13, id="memory is the limit"),
        pytest.param((8192, 2), ["airflow_worker"], 2, 8, id="two instances share the cores"),
        pytest.param((8192, 2), ALL, 1, 16, id="everything on one VM"),
        pytest.param((4096, 2), ALL, 1, 3, id="everything on a small VM"),
        pytest.param((8192, 1), ALL, 1, 8, id="everything on one core"),
        pytest.param((1024, 1), ALL, 1, 2, id="never fewer than two"),
        pytest.param((262144, 64), ["airflow_worker"], 1, 64, id="never more than 64"),
        pytest.param((0, 0), ["airflow_worker"], 1, 2, id="a host that is not known"),
    ],
)
def test_slots(size: tuple[int, int], groups: list[str], instances: int, slots: int) -> None:
    assert concurrency(host(*size, groups, ONE * instances), "vm") == slots


@pytest.mark.parametrize(
    ("workers", "slots"),
    [
        (ONE, 16),
        ([{"concurrency": 4}, {"autoscale": {"min": 1, "max": 3}}], 7),
        # What is no number is refused elsewhere.
        ([{"concurrency": "many"}, {"autoscale": 3}, "x"], 16),
        ([], 0),
    ],
)
def test_slots_of_a_host(workers: list[Any], slots: int) -> None:
    assert host_slots(host(8192, 2, ["airflow_worker"], workers), "vm") == slots


def test_memory_of_components() -> None:
    assert memory_needed(host(8192, 2, ["spare"]), "vm") == 512
    assert memory_needed(host(8192, 2, ["airflow_worker"]), "vm") == 512 + 596 + 16 * 225
    two = [{"concurrency": 2}, {"concurrency": 2}]
    assert memory_needed(host(8192, 2, ["airflow_worker"], two), "vm") == 512 + 2 * 596 + 4 * 225
    assert memory_needed(host(1024, 1, ALL), "vm") == 512 + 512 + 128 + 355 + 177 + 155 + 265 + 596 + 450


SUBSETS = st.lists(st.sampled_from(ALL[:-1]), unique=True).map(lambda groups: [*groups, "airflow_worker"])


@given(st.integers(1, 500_000), st.integers(1, 128), SUBSETS, st.integers(1, 6))
def test_slots_are_in_bounds_and_grow_with_the_host(memory: int, cores: int, groups: list[str], instances: int) -> None:
    small = concurrency(host(memory, cores, groups, ONE * instances), "vm")
    assert 2 <= small <= 64
    assert small <= max(2, cores * 8)
    assert concurrency(host(memory + 1000, cores, groups, ONE * instances), "vm") >= small
    assert concurrency(host(memory, cores + 1, groups, ONE * instances), "vm") >= small
    assert concurrency(host(memory, cores, groups, ONE * (instances + 1)), "vm") <= small
    assert memory_needed(host(memory, cores, groups, ONE * instances), "vm") <= memory or small == 2


def of(placed: dict[str, list[str]], **variables: Any) -> dict[str, Any]:
    given = {f"site_{name}": value for name, value in variables.items()}
    return budget(inventory(placed, given).site(registry(), declared()))


def test_connections_of_one_of_each() -> None:
    workers = [{"name": "a", "queues": ["a"], "concurrency": 16}]
    assert of(PLACED, workers=workers, api_server_workers="2") == {
        "total": 2 * 30 + 16 + 15 + 15 + 2 + 2 * 17,
        "by_login": {"metadata": 2 * 30 + 16 + 15 + 15, "results_view": 2, "results": 2 * 17},
        "by_component": {"api_server": 60, "dag_processor": 15, "scheduler": 18, "triggerer": 15, "worker": 34},
    }
    assert "results" not in of(PLACED, executor="LocalExecutor")["by_login"]
    assert of({"redis": ["a"]}) == {"total": 0, "by_login": {}, "by_component": {}}


@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=6), st.sampled_from(ALL), st.integers(1, 8))
def test_more_never_needs_fewer(groups: list[str], more: str, processes: int) -> None:
    placed = {group: ["vm"] for group in groups}
    larger = placed | {more: [*placed.get(more, []), "other"]}
    first, second = of(placed, api_server_workers=processes), of(larger, api_server_workers=processes)
    assert second["total"] >= first["total"] == sum(first["by_login"].values()) == sum(first["by_component"].values())
