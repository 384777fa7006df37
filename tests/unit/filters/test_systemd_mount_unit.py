"""The names of mount units."""

import pytest
from ansible.errors import AnsibleFilterError
from systemd_mount_unit import systemd_mount_unit


# What systemd-escape of systemd 252 and 257 says.
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/log/airflow", "var-log-airflow.mount"),
        ("/srv//air-flow/", r"srv-air\x2dflow.mount"),
        ("/srv/a b", r"srv-a\x20b.mount"),
        ("/.logs/.x", r"\x2elogs-.x.mount"),
        ("/srv/ä", r"srv-\xc3\xa4.mount"),
    ],
)
def test_names_are_systemds(path: str, expected: str) -> None:
    assert systemd_mount_unit(path) == expected


@pytest.mark.parametrize("path", ["", "/", "//", "var/log"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(AnsibleFilterError, match="needs an absolute path"):
        systemd_mount_unit(path)
