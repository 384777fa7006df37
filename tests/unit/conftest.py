"""Options of the unit tests."""

import pytest
from airstrip_render import start

# Before a test imports anything of a collection: Ansible's own finder comes too late else.
start()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew, then compare")
