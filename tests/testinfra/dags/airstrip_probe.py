"""DAGs that the tests put among the users' DAGs: what a task can reach and do, and some that take their time."""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, get_current_context, task
from sqlalchemy.engine import make_url


def attempt(action: Callable[..., Any], *arguments: Any) -> str:
    """Return `ok`, or the kind of error and its first line."""
    try:
        action(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"
    return "ok"


def write(directory: str) -> None:
    """Create a file in a directory, and remove it."""
    path = Path(directory) / f"airstrip-probe-{os.getpid()}"
    path.write_text("", encoding="utf-8")
    path.unlink()


def foreign_processes() -> dict[str, str]:
    """Return what comes of reading the environment of each process that is not of this task's own unit."""
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            cgroup = (process / "cgroup").read_text(encoding="utf-8")
            command = (process / "cmdline").read_text(encoding="utf-8").replace("\0", " ").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if cgroup != own and command:
            found[f"{cgroup.strip().rpartition('/')[2]} {process.name}"] = attempt((process / "environ").read_bytes)
    return found


def connect(url: str, **other: str) -> str:
    """Return what comes of a connection to PostgreSQL by a SQLAlchemy URL, with parts of it replaced."""
    parts = make_url(url.removeprefix("db+"))
    arguments = {
        "host": parts.host, "port": parts.port, "user": parts.username, "password": parts.password,
        "dbname": parts.database, "connect_timeout": 5,
    }  # fmt: skip
    return attempt(lambda: psycopg2.connect(**{**arguments, **other}).close())


def database() -> dict[str, str]:
    """Return what comes of connections to the databases with what a worker knows; nothing where it knows none."""
    known = Path(os.environ["CREDENTIALS_DIRECTORY"]) / "results_url"
    if not known.exists():
        return {}
    url = known.read_text(encoding="utf-8")
    return {
        "results": connect(url),
        "metadata as results": connect(url, dbname="airflow"),
        "metadata without password": connect(url, dbname="airflow", user="airflow", password=""),
        "metadata by the results' password": connect(url, dbname="airflow", user="airflow"),
        "socket": connect(url, dbname="airflow", user="airflow", host="/var/run/postgresql"),
        "socket as postgres": connect(url, dbname="postgres", user="postgres", host="/var/run/postgresql"),
    }


def call_back() -> None:
    """Have a function of C call one of Python, as native libraries do."""
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    pointer = ctypes.POINTER(ctypes.c_int)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer)(lambda one, other: one[0] - other[0])
    ctypes.CDLL(None).qsort(numbers, len(numbers), ctypes.sizeof(ctypes.c_int), compare)
    assert list(numbers) == [1, 2, 3]


def compute(executor: Executor) -> None:
    """Have others compute something."""
    with executor:
        assert list(executor.map(abs, [-1, 2])) == [1, 2]


def compute_by_pool() -> None:
    """Have a pool of processes compute something."""
    with multiprocessing.Pool(2) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]


def compute_as_nobodys_daemon() -> None:
    """Have processes compute something, after telling Python that this one may have children."""
    multiprocessing.current_process().daemon = False
    compute(ProcessPoolExecutor(2))


def compute_by_program() -> None:
    """Have a program of its own compute something by a pool of processes."""
    text = "import multiprocessing as m\nif __name__ == '__main__': assert m.Pool(2).map(abs, [-1, 2]) == [1, 2]"
    subprocess.run([sys.executable, "-c", text], check=True)


# What tasks commonly do, by a name that is their task's.
NEEDS: dict[str, Callable[[], object]] = {
    "callback_of_native_code": call_back,
    "network_interfaces": psutil.net_if_addrs,
    "threads": lambda: compute(ThreadPoolExecutor(2)),
    "pool_of_multiprocessing": compute_by_pool,
    "process_pool_executor": lambda: compute(ProcessPoolExecutor(2)),
    "process_pool_executor_as_nobodys_daemon": compute_as_nobodys_daemon,
    "pool_of_a_program": compute_by_program,
    "write_to_home": lambda: write(os.environ["HOME"]),
    "write_to_airflow_home": lambda: write(os.environ["AIRFLOW_HOME"]),
    "write_to_tmp": lambda: write("/tmp"),  # noqa: S108
    "executable_memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "lower_priority": lambda: os.nice(1),
}


with DAG(dag_id="airstrip_probe", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def probe() -> dict[str, Any]:
        """Return what this task can reach."""
        wanted = get_current_context()["params"] | (get_current_context()["dag_run"].conf or {})
        directory = Path(os.environ["CREDENTIALS_DIRECTORY"])
        status = dict(
            line.split(":\t", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        )
        return {
            "uid": os.getuid(),
            "home": str(Path.home()),
            "credentials": sorted(path.name for path in directory.iterdir()),
            "credential_directories": sorted(path.name for path in directory.parent.iterdir() if any(path.iterdir())),
            # Airflow itself sets the connection to this, so that no task uses a database by accident.
            "variables": sorted(name for name, value in os.environ.items() if value != "airflow-db-not-allowed:///"),
            "read": {path: attempt(Path(path).read_bytes) for path in wanted["read"]},
            "listed": {path: attempt(os.listdir, path) for path in wanted["list"]},
            "written": {path: attempt(write, path) for path in wanted["write"]},
            "processes": foreign_processes(),
            "database": database(),
            "status": {name: status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")},
        }

    probe()


with DAG(dag_id="airstrip_needs", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def need(name: str) -> str:
        """Return what comes of one of the needs."""
        return attempt(NEEDS[name])

    for name in NEEDS:
        need.override(task_id=name)(name)


with DAG(dag_id="airstrip_sleep", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def sleep() -> float:
        """Sleep as long as the run's configuration says, in seconds; return how long it was."""
        print("airstrip: sleeps")  # noqa: T201 - its log
        started = time.monotonic()
        time.sleep((get_current_context()["dag_run"].conf or {})["seconds"])
        return time.monotonic() - started

    sleep()


with DAG(dag_id="airstrip_crowd", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def crowd() -> list[int]:
        """Return as many numbers as the run's configuration says."""
        return list(range((get_current_context()["dag_run"].conf or {})["tasks"]))

    @task
    def hold(number: int) -> int:
        """Hold a slot for as long as the run's configuration says, in seconds."""
        time.sleep((get_current_context()["dag_run"].conf or {})["seconds"])
        return number

    hold.expand(number=crowd())


with DAG(dag_id="airstrip_misspelt", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task(queue="defualt")
    def misspelt() -> None:
        """Wait for a worker that there is not."""

    misspelt()


with DAG(dag_id="airstrip_defer", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):
    TimeDeltaSensor(task_id="defer", delta=timedelta(seconds=30), deferrable=True)
