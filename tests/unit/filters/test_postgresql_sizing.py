"""PostgreSQL's settings never ask for more than the memory given, and never shrink when it grows."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from postgresql_sizing import postgresql_sizing

HOST: dict[str, Any] = {"memory_mb": 4096, "cores": 2, "version": 17, "disk": "ssd"}
UNITS = {"kB": 1, "MB": 1024, "GB": 1024 * 1024}
MEMORY_SETTINGS = ("shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem", "wal_buffers")


def _kilobytes(size: str | int) -> int:
    text = str(size)
    return int(text[:-2]) * UNITS[text[-2:]]


def test_a_small_host() -> None:
    assert postgresql_sizing(HOST, 150) == {
        "max_connections": 150,
        "shared_buffers": "1GB",
        "effective_cache_size": "3GB",
        "maintenance_work_mem": "256MB",
        "work_mem": "4977kB",
        "wal_buffers": "16MB",
        "max_worker_processes": 8,
        "max_parallel_workers": 2,
        "max_parallel_workers_per_gather": 1,
        "max_parallel_maintenance_workers": 1,
        "min_wal_size": "1GB",
        "max_wal_size": "4GB",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": "1.1",
        "effective_io_concurrency": 200,
    }


def test_a_large_host() -> None:
    settings = postgresql_sizing(HOST | {"memory_mb": 65536, "cores": 16}, 400)
    assert settings["shared_buffers"] == "16GB"
    assert settings["maintenance_work_mem"] == "2GB"
    assert settings["max_worker_processes"] == 16
    assert settings["max_parallel_workers_per_gather"] == 4


def test_one_core_is_enough() -> None:
    settings = postgresql_sizing(HOST | {"cores": 1}, 100)
    assert settings["max_worker_processes"] == 8
    parallel = ("max_parallel_workers", "max_parallel_workers_per_gather", "max_parallel_maintenance_workers")
    assert [settings[name] for name in parallel] == [1, 1, 1]


@pytest.mark.parametrize(("version", "size"), [(15, "1GB"), (16, "1GB"), (17, "2GB"), (18, "2GB")])
def test_vacuum_uses_more_than_1gb_from_17_on(version: int, size: str) -> None:
    assert postgresql_sizing(HOST | {"memory_mb": 65536, "version": version}, 100)["maintenance_work_mem"] == size


@pytest.mark.parametrize(("version", "concurrency"), [(15, 2), (17, 2), (18, 16)])
def test_hard_disks(version: int, concurrency: int) -> None:
    settings = postgresql_sizing(HOST | {"disk": "hdd", "version": version}, 100)
    assert settings["random_page_cost"] == "4.0"
    assert settings["effective_io_concurrency"] == concurrency


@pytest.mark.parametrize(
    ("host", "connections", "message"),
    [
        ([], 100, "the host must be a mapping, found list"),
        (HOST | {"memory_mb": 64}, 100, "memory_mb must be a whole number from 128 on, not 64"),
        (HOST | {"memory_mb": 12.5}, 100, "memory_mb must be a whole number"),
        (HOST | {"cores": 0}, 100, "cores must be a whole number from 1 on, not 0"),
        (HOST | {"cores": True}, 100, "cores must be a whole number from 1 on, not True"),
        ({"memory_mb": 4096, "cores": 2, "disk": "ssd"}, 100, "version must be a whole number from 1 on, not None"),
        (HOST | {"version": 14}, 100, "version must be 15 to 18, found 14; set site_postgresql_version"),
        (HOST | {"disk": "nvme"}, 100, "disk must be ssd or hdd, found 'nvme'"),
        (HOST, 0, "the number of connections must be a whole number from 1 on"),
        (HOST | {"memory_mb": 256}, 2000, "256 MB of memory are too few for 2008 connections and workers"),
    ],
)
def test_bad_input(host: Any, connections: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        postgresql_sizing(host, connections)


hosts = st.fixed_dictionaries(
    {
        "memory_mb": st.integers(512, 1_000_000),
        "cores": st.integers(1, 128),
        "version": st.integers(15, 18),
        "disk": st.sampled_from(["ssd", "hdd"]),
    }
)
connections = st.integers(100, 1000)


@given(hosts, connections)
def test_memory_suffices(host: dict[str, Any], maximum: int) -> None:
    settings = postgresql_sizing(host, maximum)
    processes = maximum + int(settings["max_worker_processes"])
    taken = (
        _kilobytes(settings["shared_buffers"])
        + 3 * _kilobytes(settings["maintenance_work_mem"])
        + 3 * processes * _kilobytes(settings["work_mem"])
    )
    assert taken <= host["memory_mb"] * 1024
    assert _kilobytes(settings["effective_cache_size"]) <= host["memory_mb"] * 1024
    assert int(settings["max_parallel_workers_per_gather"]) <= int(settings["max_parallel_workers"])
    assert int(settings["max_parallel_workers"]) <= int(settings["max_worker_processes"])


@given(hosts, connections, st.integers(1, 100_000))
def test_no_setting_shrinks_when_memory_grows(host: dict[str, Any], maximum: int, more: int) -> None:
    before = postgresql_sizing(host, maximum)
    after = postgresql_sizing(host | {"memory_mb": host["memory_mb"] + more}, maximum)
    for name in MEMORY_SETTINGS:
        assert _kilobytes(after[name]) >= _kilobytes(before[name])
    assert {name: value for name, value in before.items() if name not in MEMORY_SETTINGS} == {
        name: value for name, value in after.items() if name not in MEMORY_SETTINGS
    }


@given(hosts, connections)
def test_postgresql_accepts_the_values(host: dict[str, Any], maximum: int) -> None:
    settings = postgresql_sizing(host, maximum)
    assert _kilobytes(settings["work_mem"]) >= 64
    assert _kilobytes(settings["maintenance_work_mem"]) >= 1024
    assert _kilobytes(settings["shared_buffers"]) >= 128
    assert 64 <= _kilobytes(settings["wal_buffers"]) <= 16 * 1024
