"""Filters of logs: what is wrong with their variables, and where journals go."""

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

logs = load(PROJECT / "filter_plugins" / "logs.py")
MOUNTS = [{"mount": "/", "size_total": 100_000_000_000}, {"mount": "/var/log", "size_total": 5_000_000_000}]


@pytest.mark.parametrize(("mb", "refused"), [(4000, False), (4001, True), (0, False)])
def test_more_journals_than_the_disk_can_hold_are_refused(mb: int, refused: bool) -> None:
    found = logs.logs_problems({"mb": mb, "mounts": MOUNTS})
    assert bool(found) == refused
    if refused:
        assert found[0].startswith(
            "site_logs_mb is 4001, and the disk of /var/log/airstrip-journals (/var/log) has 5000"
        )
        assert "Set it to 4000 or less" in found[0]


def test_a_disk_that_is_not_known_refuses_nothing() -> None:
    assert logs.logs_problems({"mb": 10**6, "mounts": []}) == []


def test_each_server_has_a_file_with_its_url() -> None:
    servers = [{"name": "a", "address": "192.0.2.1", "port": 1}, {"name": "b", "address": "2001:db8::1", "port": 2}]
    assert logs.journal_upload_files(servers, "/etc/x") == [
        {"path": "/etc/x/a.env", "content": "URL=https://192.0.2.1:1\n"},
        {"path": "/etc/x/b.env", "content": "URL=https://[2001:db8::1]:2\n"},
    ]


def test_each_sender_has_a_directory() -> None:
    assert [row["path"] for row in logs.journal_directories(["a", "b"], "/d")] == ["/d/a", "/d/b"]
