"""How much the schedulers hand out at once, and how soon a slot is free again."""

from typing import Any

import pytest
from airflow_scheduling import airflow_scheduling
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("slots", "parallelism", "pool", "batch", "interval"),
    [(0, 32, 128, 32, 1), (8, 32, 128, 32, 1), (16, 32, 128, 32, 1), (32, 64, 128, 64, 1), (41, 82, 128, 82, 2),
     (100, 200, 200, 200, 3), (400, 800, 800, 512, 5)],
)  # fmt: skip
def test_options_follow_from_the_slots(slots: int, parallelism: int, pool: int, batch: int, interval: int) -> None:
    assert airflow_scheduling(slots) == {
        "core": {
            "parallelism": parallelism,
            "max_active_tasks_per_dag": parallelism,
            "default_pool_task_slot_count": pool,
        },
        "scheduler": {"max_tis_per_query": batch},
        "workers": {"min_heartbeat_interval": interval},
    }


@given(st.integers(min_value=0, max_value=5000))
def test_every_slot_can_be_filled_and_no_batch_exceeds_the_limit(slots: int) -> None:
    found = airflow_scheduling(slots)
    assert found["core"]["parallelism"] >= 2 * slots
    assert found["scheduler"]["max_tis_per_query"] <= found["core"]["parallelism"]


@pytest.mark.parametrize("slots", [-1, "many", None, 2.5])
def test_what_is_no_number_is_refused(slots: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="whole number"):
        airflow_scheduling(slots)
