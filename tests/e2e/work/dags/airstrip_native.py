"""A DAG of the tests: packages with native code, which the DAG processor loads, too."""

from __future__ import annotations

import multiprocessing
import os
import time

import joblib
import numpy
import pandas
import pyarrow.compute
from airflow.sdk import DAG, task


def work() -> int:
    """Take some time; return the process in which it was."""
    time.sleep(1)
    return os.getpid()


with DAG(dag_id="airstrip_native", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def invert() -> float:
        """Return the sum of an inverted matrix."""
        return float(numpy.linalg.inv(2 * numpy.eye(500)).sum())

    @task
    def group() -> int:
        """Return the sum of a group."""
        table = pandas.DataFrame({"group": ["a", "b", "a"], "value": [1, 2, 3]})
        return int(table.groupby("group")["value"].sum()["a"])

    @task
    def add() -> int:
        """Return the sum of an array."""
        return int(pyarrow.compute.sum(pyarrow.array([1, 2, 3])).as_py())

    @task
    def share() -> int:
        """Return the number of processes that had a part in some work."""
        multiprocessing.current_process().daemon = False
        return len(set(joblib.Parallel(n_jobs=2)(joblib.delayed(work)() for _ in range(4))))

    invert()
    group()
    add()
    share()
