"""Options of the unit tests."""

import pytest
from airstrip_render import start
from hypothesis import settings

# Before a test imports anything of a collection: Ansible's own finder comes too late else.
start()
# No test is a timed one: this machine may be busy.
settings.register_profile("airstrip", deadline=None, max_examples=50)
settings.load_profile("airstrip")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew, then compare")
