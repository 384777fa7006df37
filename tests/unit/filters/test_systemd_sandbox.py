"""The sandbox of units."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from systemd_sandbox import systemd_sandbox


def test_what_a_unit_says_comes_first() -> None:
    found = systemd_sandbox({"ProtectHome": "read-only", "ProtectClock": None, "MemoryMax": "1G"})
    assert (found["ProtectHome"], found["MemoryMax"], found["ProtectSystem"]) == ("read-only", "1G", "strict")
    assert "ProtectClock" not in found
    assert systemd_sandbox({})["ProtectClock"] == "yes"


def test_what_one_gets_is_its_own() -> None:
    systemd_sandbox({})["SystemCallFilter"].append("@clock")
    assert "@clock" not in systemd_sandbox({})["SystemCallFilter"]


@pytest.mark.parametrize(
    ("own", "message"),
    [(["ProtectHome"], "found list"), ({"ProtectHouse": None}, "ProtectHouse cannot be left out")],
)
def test_others_are_refused(own: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        systemd_sandbox(own)
