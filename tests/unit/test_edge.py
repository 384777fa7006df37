"""What the tests of the load balancers count."""

import pytest
from airstrip_edge import failed_seconds


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ([], 0.0),
        ([(0.0, ""), (0.1, "")], 0.0),
        ([(0.0, ""), (0.1, "503"), (0.2, ""), (0.3, "")], 0.1),
        ([(0.0, "503"), (0.5, "503"), (2.5, ""), (3.0, "503"), (3.25, "")], 2.75),
        ([(0.0, ""), (1.0, "503"), (4.0, "503")], 3.0),
    ],
)
def test_failures_count_until_the_next_answer(asked: list[tuple[float, str]], seconds: float) -> None:
    assert failed_seconds(asked) == pytest.approx(seconds)
