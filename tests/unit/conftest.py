"""Options of the unit tests."""

import pytest
from airstrip_pytest import prepare

prepare()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew, then compare")
