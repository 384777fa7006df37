"""Slots of workers and memory of hosts."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from worker_sizing import airflow_memory_needed, airflow_worker_sizing

ALL = ["postgresql", "redis", "api_server", "scheduler", "dag_processor", "triggerer", "worker"]


@pytest.mark.parametrize(
    ("host", "share", "concurrency"),
    [
        pytest.param((8192, 2), (["worker"], 1), 16, id="cores are the limit"),
        pytest.param((4096, 8), (["worker"], 1), 13, id="memory is the limit"),
        pytest.param((8192, 2), (["worker"], 2), 8, id="two instances share the cores"),
        pytest.param((8192, 2), (ALL, 1), 16, id="everything on one VM"),
        pytest.param((4096, 2), (ALL, 1), 3, id="everything on a small VM"),
        pytest.param((1024, 1), (ALL, 1), 2, id="never fewer than two"),
        pytest.param((262144, 64), (["worker"], 1), 64, id="never more than 64"),
        pytest.param((8192, 2), (["scheduler"], 0), 16, id="no instance counts as one"),
    ],
)
def test_slots(host: tuple[int, int], share: tuple[list[str], int], concurrency: int) -> None:
    sizing = airflow_worker_sizing(
        {"memory_mb": host[0], "cores": host[1]}, {"components": share[0], "instances": share[1]}
    )
    assert sizing == {"concurrency": concurrency, "memory_mb": 596 + 225 * concurrency}


def test_memory_of_components() -> None:
    assert airflow_memory_needed([], 0) == 512
    assert airflow_memory_needed(["worker"], 16) == 512 + 596 + 16 * 225
    assert airflow_memory_needed(["worker", "worker"], 4) == 512 + 2 * 596 + 4 * 225
    assert airflow_memory_needed(ALL, 2) == 512 + 512 + 128 + 355 + 177 + 155 + 265 + 596 + 450


@pytest.mark.parametrize(
    ("host", "share", "message"),
    [
        ([], {}, "the host must be a mapping"),
        ({"memory_mb": 1, "cores": 1}, [], "the share must be a mapping"),
        ({"cores": 1}, {}, "memory_mb must be a whole number from 1 on, not None"),
        ({"memory_mb": 4096, "cores": 0}, {}, "cores must be a whole number from 1 on, not 0"),
        ({"memory_mb": 4096, "cores": 2}, {"components": []}, "instances must be a whole number from 0 on, not None"),
        ({"memory_mb": 4096, "cores": 2}, {"components": "worker", "instances": 1}, "must be a list of components"),
        ({"memory_mb": 4096, "cores": 2}, {"components": ["flower"], "instances": 1}, "unknown component 'flower'"),
    ],
)
def test_bad_input(host: Any, share: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_worker_sizing(host, share)


def test_memory_needed_refuses() -> None:
    with pytest.raises(AnsibleFilterError, match="unknown component 'flower'"):
        airflow_memory_needed(["flower"], 1)
    with pytest.raises(AnsibleFilterError, match="slots must be a whole number from 0 on, not -1"):
        airflow_memory_needed(["worker"], -1)


subsets = st.lists(st.sampled_from(ALL[:-1]), unique=True).map(lambda names: [*names, "worker"])


@given(st.integers(1, 500_000), st.integers(1, 128), subsets, st.integers(1, 6))
def test_slots_are_in_bounds_and_grow_with_the_host(memory: int, cores: int, names: list[str], instances: int) -> None:
    share = {"components": names, "instances": instances}
    small = airflow_worker_sizing({"memory_mb": memory, "cores": cores}, share)["concurrency"]
    assert 2 <= small <= 64
    assert small <= max(2, cores * 8)
    assert airflow_worker_sizing({"memory_mb": memory + 1000, "cores": cores}, share)["concurrency"] >= small
    assert airflow_worker_sizing({"memory_mb": memory, "cores": cores + 1}, share)["concurrency"] >= small
    more = share | {"instances": instances + 1}
    assert airflow_worker_sizing({"memory_mb": memory, "cores": cores}, more)["concurrency"] <= small


@given(st.integers(1, 500_000), st.integers(1, 128), subsets, st.integers(1, 6))
def test_computed_slots_fit_into_the_memory(memory: int, cores: int, names: list[str], instances: int) -> None:
    share = {"components": names, "instances": instances}
    slots = airflow_worker_sizing({"memory_mb": memory, "cores": cores}, share)["concurrency"]
    needed = airflow_memory_needed([*names, *["worker"] * (instances - 1)], slots * instances)
    assert needed <= memory or slots == 2
