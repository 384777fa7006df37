"""What the tests without hosts begin with."""

from airstrip_render import start
from hypothesis import settings


def prepare() -> None:
    """Load Ansible's own finder before a test imports anything of a collection, where it would come too late."""
    start()
    # No test is a timed one: this machine may be busy.
    settings.register_profile("airstrip", deadline=None, max_examples=50)
    settings.load_profile("airstrip")
