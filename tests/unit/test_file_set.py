"""The module file_set, in a process of its own, on real files."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airstrip_module import run_module

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(name="place")
def fixture_place(tmp_path: Path) -> Path:
    """Return a directory for the files, apart from the module's arguments."""
    path = tmp_path / "place"
    path.mkdir()
    return path


def keep(place: Path, *entries: dict[str, Any], check: bool = False, user: str = "", **defaults: str) -> dict[str, Any]:
    """Run the module with entries whose paths are below `place`."""
    whole = [{**entry, "path": str(place / entry["path"])} for entry in entries]
    return run_module(place.parent, "file_set", {"entries": whole, **defaults}, check=check, user=user)


def refusal(place: Path, *entries: dict[str, Any], check: bool = False, user: str = "") -> str:
    """Run the module, which has to refuse; return its message."""
    before = tree(place)
    result = keep(place, *entries, check=check, user=user)
    assert result["failed"], result
    assert tree(place) == before
    return str(result["msg"])


def tree(place: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return what tells whether anything below a directory was touched."""
    infos = {str(path): path.lstat() for path in [place, *place.rglob("*")]}
    return {path: (info.st_ino, info.st_mode, info.st_uid, info.st_mtime_ns) for path, info in infos.items()}


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):04o}"


SET = [
    {"path": "conf", "state": "directory", "mode": "0750"},
    {"path": "conf/a", "content": "one\n", "mode": "0640"},
    {"path": "conf/empty", "content": ""},
    {"path": "link", "state": "link", "src": "conf/a"},
    {"path": "gone", "state": "absent"},
]


def test_a_set_is_made_and_then_left_alone(place: Path) -> None:
    (place / "gone").write_text("x")
    first = keep(place, *SET, mode="0604")
    assert (first["failed"], first["changed"]) == (False, True)
    assert first["changed_paths"] == [str(place / entry["path"]) for entry in SET]
    assert first["created_paths"] == first["changed_paths"][:-1]
    assert (place / "link").read_bytes() == b"one\n"
    assert (place / "link").readlink() == Path("conf/a")
    assert (mode(place / "conf"), mode(place / "conf/a"), mode(place / "conf/empty")) == ("0750", "0640", "0604")
    assert sorted(path.name for path in place.rglob("*")) == ["a", "conf", "empty", "link"]
    before = tree(place)
    second = keep(place, *SET, mode="0604")
    assert (second["failed"], second["changed"], second["changed_paths"], second["diff"]) == (False, False, [], [])
    assert tree(place) == before


def test_only_what_differs_is_written(place: Path) -> None:
    keep(place, *SET)
    before = tree(place)
    result = keep(place, *SET[:1], SET[1] | {"content": "two\n"}, *SET[2:])
    assert result["changed_paths"] == [str(place / "conf/a")]
    assert {path for path, info in tree(place).items() if info != before[path]} == {
        str(place / "conf"),
        str(place / "conf/a"),
    }
    assert (place / "conf/a").read_text() == "two\n"
    assert mode(place / "conf/a") == "0640"


def test_a_mode_is_mended_without_writing(place: Path) -> None:
    keep(place, *SET)
    inode = (place / "conf/a").stat().st_ino
    (place / "conf/a").chmod(0o666)
    (place / "conf").chmod(0o777)
    result = keep(place, *SET)
    assert result["changed_paths"] == [str(place / "conf"), str(place / "conf/a")]
    assert (mode(place / "conf"), mode(place / "conf/a")) == ("0750", "0640")
    assert (place / "conf/a").stat().st_ino == inode
    header = f"{place}/conf/a (attributes)"
    shown = {"before_header": header, "after_header": header, "before": {"mode": "0666"}, "after": {"mode": "0640"}}
    assert result["diff"][1] == shown


@ROOT
@pytest.mark.parametrize("content", ["one\n", "two\n"], ids=["owner alone", "owner and content"])
def test_an_owner_is_mended(place: Path, content: str) -> None:
    entry = {"path": "a", "content": "one\n", "owner": "root", "group": "0", "mode": "4755"}
    keep(place, entry)
    os.chown(place / "a", 12345, 1)
    result = keep(place, entry | {"content": content})
    assert result["changed_paths"] == [str(place / "a")]
    info = (place / "a").stat()
    assert (info.st_uid, info.st_gid, mode(place / "a")) == (0, 0, "4755")
    assert (place / "a").read_text() == content
    # 12345 has no name, and who gives a file away takes its set-uid bit.
    assert result["diff"][0]["before"] == {"owner": "12345", "group": "daemon", "mode": "0755"}
    assert result["diff"][0]["after"] == {"owner": "root", "group": "root", "mode": "4755"}


@ROOT
def test_an_owner_of_a_link_is_mended_and_that_of_its_target_left(place: Path) -> None:
    (place / "a").write_text("")
    os.chown(place / "a", 2, 2)
    entry = {"path": "link", "state": "link", "src": str(place / "a"), "owner": "1", "group": "daemon"}
    keep(place, entry)
    os.chown(place / "link", 3, 3, follow_symlinks=False)
    assert keep(place, entry)["changed"]
    assert ((place / "link").lstat().st_uid, (place / "a").stat().st_uid) == (1, 2)


@ROOT
def test_what_nobody_asks_for_stays(place: Path) -> None:
    (place / "a").write_text("one\n")
    (place / "a").chmod(0o604)
    os.chown(place / "a", 12345, 1)
    assert keep(place, {"path": "a", "content": "two\n"})["changed"]
    info = (place / "a").stat()
    assert (info.st_uid, info.st_gid, mode(place / "a")) == (12345, 1, "0604")


def test_check_mode_tells_and_does_nothing(place: Path) -> None:
    (place / "gone").write_text("x")
    before = tree(place)
    predicted = keep(place, *SET, check=True)
    assert predicted["changed"]
    assert tree(place) == before
    done = keep(place, *SET)
    assert (predicted["changed_paths"], predicted["diff"]) == (done["changed_paths"], done["diff"])
    (place / "conf/a").write_text("edited\n")
    before = tree(place)
    assert keep(place, *SET, check=True)["changed_paths"] == [str(place / "conf/a")]
    assert tree(place) == before
    keep(place, *SET)
    assert not keep(place, *SET, check=True)["changed"]


def test_in_check_mode_users_parents_and_targets_may_come_later(place: Path) -> None:
    (place / "a").write_text("one\n")
    entries = [
        {"path": "a", "content": "one\n", "owner": "not-yet-there", "group": "not-yet-there"},
        {"path": "later/b", "content": "two\n"},
        {"path": "link", "state": "link", "src": "later/c"},
    ]
    result = keep(place, *entries, check=True)
    assert result["changed_paths"] == [str(place / entry["path"]) for entry in entries]
    assert result["diff"][0]["after"] == {"owner": "not-yet-there", "group": "not-yet-there"}


def test_the_diff_shows_the_content(place: Path) -> None:
    (place / "a").write_bytes(b"one\xff\n")
    (shown,) = keep(place, {"path": "a", "content": "two\n"})["diff"]
    header = str(place / "a")
    assert shown == {"before_header": header, "after_header": header, "before": "one\ufffd\n", "after": "two\n"}


def test_there_is_no_diff_if_none_is_asked_for(place: Path) -> None:
    entries = [{"path": str(place / "a"), "content": "two\n"}]
    result = run_module(place.parent, "file_set", {"entries": entries, "_ansible_diff": False})
    assert result["changed"]
    assert "diff" not in result


def test_the_diff_hides_a_secret(place: Path) -> None:
    entry = {"path": "a", "content": "old-secret-4711", "secret": True}
    results = [keep(place, entry), keep(place, entry | {"content": "new-secret-0815"})]
    for result in results:
        assert result["changed"]
        assert "secret-" not in json.dumps({**result, "invocation": None})
    assert results[1]["diff"][0]["before"] != results[1]["diff"][0]["after"]
    # Without a newline at its end, as it was given.
    assert (place / "a").read_bytes() == b"new-secret-0815"


def test_what_is_no_entry_of_an_exclusive_directory_is_removed(place: Path) -> None:
    (place / "conf" / "sub").mkdir(parents=True)
    for name in ("a", "old", "sub/kept"):
        (place / "conf" / name).write_text("one\n")
    (place / "conf" / "link").symlink_to(place / "gone")
    exclusive = SET[0] | {"exclusive": True}
    told = keep(place, exclusive, SET[1], check=True)
    assert (place / "conf" / "old").exists()
    result = keep(place, exclusive, SET[1])
    assert result["changed_paths"] == told["changed_paths"]
    assert result["changed_paths"][2:] == [str(place / "conf" / name) for name in ("link", "old")]
    assert sorted(path.name for path in (place / "conf").rglob("*")) == ["a", "kept", "sub"]
    assert not keep(place, exclusive, SET[1])["changed"]


def test_a_link_is_turned(place: Path) -> None:
    for name in "ab":
        (place / name).mkdir()
    (place / "link").symlink_to("a")
    result = keep(place, {"path": "link", "state": "link", "src": str(place / "b")})
    assert result["changed"]
    assert (place / "link").readlink() == place / "b"
    assert (result["diff"][0]["before"], result["diff"][0]["after"]) == ({"src": "a"}, {"src": str(place / "b")})
    assert sorted(path.name for path in place.iterdir()) == ["a", "b", "link"]


def test_a_link_may_lead_to_what_the_set_makes(place: Path) -> None:
    entries = [{"path": "a", "state": "directory"}, {"path": "link", "state": "link", "src": "a"}]
    assert keep(place, *entries, {"path": "link/b", "content": ""})["changed"]
    assert (place / "a" / "b").exists()


def test_a_link_is_replaced_by_a_file(place: Path) -> None:
    (place / "target").write_text("one\n")
    (place / "a").symlink_to("target")
    assert keep(place, {"path": "a", "content": "one\n", "mode": "0644"})["changed"]
    assert not (place / "a").is_symlink()
    assert mode(place / "a") == "0644"
    assert (place / "target").read_text() == "one\n"


@pytest.mark.parametrize("exists", [True, False])
def test_follow_writes_behind_a_link(place: Path, exists: bool) -> None:
    if exists:
        (place / "target").write_text("one\n")
    (place / "a").symlink_to("../place/target")
    entry = {"path": "a", "content": "two\n", "mode": "0604", "follow": True}
    assert keep(place, entry)["changed_paths"] == [str(place / "a")]
    assert (place / "a").readlink() == Path("../place/target")
    assert ((place / "target").read_text(), mode(place / "target")) == ("two\n", "0604")
    assert not keep(place, entry)["changed"]


def test_a_directory_may_be_a_link_to_one(place: Path) -> None:
    (place / "a").mkdir(mode=0o755)
    (place / "link").symlink_to("a")
    assert keep(place, {"path": "link", "state": "directory", "mode": "0700"})["changed"]
    assert (place / "link").is_symlink()
    assert mode(place / "a") == "0700"


def test_missing_parents_of_a_directory_are_made(place: Path) -> None:
    assert keep(place, {"path": "a/b/c", "state": "directory", "mode": "0700"})["changed"]
    assert [mode(place / path) for path in ("a", "a/b", "a/b/c")] == ["0755", "0755", "0700"]


def test_a_link_is_removed_and_not_what_it_leads_to(place: Path) -> None:
    (place / "a").write_text("")
    (place / "link").symlink_to("a")
    assert keep(place, {"path": "link", "state": "absent"})["changed"]
    assert [path.name for path in place.iterdir()] == ["a"]
    assert not keep(place, {"path": "link", "state": "absent"})["changed"]


GOOD = {"path": "good", "content": ""}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "a"}, "/a: a file needs content"),
        ({"path": "a", "state": "link"}, "/a: a link needs src"),
        ({"path": "./good", "content": ""}, "/good: two entries for one path"),
        (
            {"path": "a", "content": "", "mode": "644"},
            '/a: the mode 644 is not four octal digits: write it like "0644"',
        ),
        ({"path": "a", "content": "", "mode": "0698"}, "/a: the mode 0698 is"),
        ({"path": "a", "content": "", "mode": "u=rw"}, "/a: the mode u=rw is"),
        ({"path": "a", "content": "", "owner": "nobody-of-that-name"}, "/a: there is no owner nobody-of-that-name"),
        ({"path": "a", "content": "", "group": "nobody-of-that-name"}, "/a: there is no group nobody-of-that-name"),
        ({"path": "b/c", "content": ""}, "/place/b: make it before"),
        ({"path": "file/b/c", "state": "directory"}, "there is no directory"),
        ({"path": "file/c", "content": ""}, "/place/file: make it before"),
        ({"path": "directory", "content": ""}, "/directory: a directory is in the place of file"),
        ({"path": "directory", "state": "link", "src": "file"}, "/directory: a directory is in the place of link"),
        ({"path": "directory", "state": "absent"}, "/directory: a directory is in the place of absent"),
        ({"path": "file", "state": "directory"}, "/file: a file is in the place of directory"),
        ({"path": "file", "state": "link", "src": "directory"}, "/file: a file is in the place of link"),
        ({"path": "fifo", "content": ""}, "/fifo: a special file is in the place of file"),
        ({"path": "a", "state": "link", "src": "nowhere"}, "/place/nowhere does not exist"),
        ({"path": "a", "content": "", "state": "socket"}, "value of state must be one of"),
        ({"path": "a", "content": "", "dest": "/etc/a"}, "Unsupported parameters"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_nothing_is_changed_if_one_entry_is_refused(place: Path, entry: dict[str, Any], message: str) -> None:
    (place / "file").write_text("")
    (place / "directory").mkdir()
    os.mkfifo(place / "fifo")
    assert message in refusal(place, GOOD, entry)


def test_a_relative_path_is_refused(tmp_path: Path) -> None:
    result = run_module(tmp_path, "file_set", {"entries": [{"path": "etc/web.conf", "content": ""}]})
    assert result["msg"] == "etc/web.conf: not an absolute path"


def test_check_mode_refuses_too(place: Path) -> None:
    (place / "file").write_text("")
    assert "a file is in the place" in refusal(place, {"path": "file", "state": "directory"}, check=True)


def test_all_refusals_are_told_at_once(place: Path) -> None:
    message = refusal(place, {"path": "a"}, {"path": "b/c", "content": ""})
    assert [line.rpartition("/place/")[2] for line in message.splitlines()] == [
        "a: a file needs content, which may be empty",
        "b: make it before",
    ]


def test_a_failure_names_the_file(place: Path) -> None:
    result = keep(place, {"path": "x" * 300, "content": ""})
    assert result["failed"]
    assert result["msg"].endswith(f"{'x' * 300}: File name too long")


@ROOT
def test_where_root_is_refused_the_message_says_what_to_make_on_the_server(place: Path) -> None:
    # A file system in which root makes nothing, as in an export that takes it for nobody.
    entry = {"path": "/dev/pts/airstrip", "state": "directory", "owner": "nobody", "group": "0", "mode": "0755"}
    result = keep(place, entry)
    assert result["failed"]
    assert result["msg"] == (
        "/dev/pts/airstrip: Operation not permitted, to root itself, as on network storage that takes root for nobody "
        "(root_squash). Make it on the storage's server, with the owner 65534, the group 0, the mode 0755, or export "
        "that with no_root_squash"
    )


# The user nobody, who owns directories that root writes in, and plants in them.
NOBODY = 65534


def plant(place: Path) -> None:
    """Make a directory of nobody's, with links to what is root's, and names of it."""
    theirs, roots = place / "theirs", place / "roots"
    theirs.mkdir()
    roots.mkdir(mode=0o755)
    (roots / "file").write_text("top secret\n")
    (theirs / "directory").symlink_to(roots)
    os.mkfifo(theirs / "pipe")
    for number in range(1, 4):
        (theirs / f"link{number}").symlink_to(roots / "file")
        (theirs / f"name{number}").hardlink_to(roots / "file")
    for path in (theirs, *theirs.glob("[!n]*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


LED = "is a link that nobody can have put there"
OPEN = "nobody may write"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"path": "theirs/directory", "state": "directory", "owner": "nobody"}, LED),
    ({"path": "theirs/directory/a", "state": "directory"}, LED),
    ({"path": "theirs/directory/b", "content": ""}, LED),
    ({"path": "theirs/directory/file", "state": "absent"}, LED),
    ({"path": "theirs/link1", "content": "", "follow": True}, LED),
    ({"path": "theirs/link2", "content": "", "owner": "nobody"}, OPEN),
    ({"path": "theirs/link3", "state": "link", "src": "directory", "owner": "nobody"}, OPEN),
    ({"path": "theirs/name1", "content": "", "owner": "nobody", "mode": "0666"}, OPEN),
    ({"path": "theirs/name2", "content": "top secret\n", "owner": "nobody"}, OPEN),
    ({"path": "theirs/name3", "state": "absent"}, OPEN),
    ({"path": "theirs/pipe", "content": ""}, OPEN),
    ({"path": "theirs/new1", "content": ""}, OPEN),
    ({"path": "theirs/new2/a", "state": "directory"}, OPEN),
    ({"path": "theirs/new3", "state": "link", "src": "directory"}, OPEN),
]


@ROOT
@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_root_goes_nowhere_through_a_directory_of_another_user(place: Path, check: bool) -> None:
    plant(place)
    messages = refusal(place, GOOD, *(entry for entry, _ in REFUSED), check=check).splitlines()
    for message, (entry, reason) in zip(messages, REFUSED, strict=True):
        assert message.startswith(f"{place}/{entry['path']}: ")
        assert reason in message
        assert f"{place}/theirs" in message


@ROOT
@pytest.mark.parametrize("entry", [REFUSED[number][0] for number in (0, 5, 8, 13)], ids=lambda entry: entry["path"])
def test_each_of_them_is_refused(place: Path, entry: dict[str, Any]) -> None:
    plant(place)
    refusal(place, entry)


@ROOT
@pytest.mark.parametrize(
    ("bits", "who"),
    [("0775", "the group nogroup may write"), ("0777", "everybody may write"), ("1777", ""), ("1775", "")],
)
def test_root_shares_directories_only_if_names_in_them_are_safe(place: Path, bits: str, who: str) -> None:
    shared = place / "shared"
    shared.mkdir()
    os.chown(shared, 0, NOBODY)
    shared.chmod(int(bits, 8))
    entry = {"path": "shared/a", "content": "one\n"}
    if who:
        assert who in refusal(place, entry)
    else:
        assert keep(place, entry)["changed"]


@ROOT
def test_a_link_that_another_user_has_left_is_not_followed(place: Path) -> None:
    plant(place)
    os.chown(place / "theirs", 0, 0)
    (place / "theirs").chmod(0o1777)
    for entry in ({"path": "theirs/directory", "state": "directory"}, {"path": "theirs/directory/a", "content": ""}):
        assert "/theirs/directory is a link that nobody can have put there" in refusal(place, entry)
    os.chown(place / "theirs/directory", 0, 0, follow_symlinks=False)
    assert keep(place, entry)["changed"]
    assert (place / "roots/a").exists()


@ROOT
@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_is_done_if_a_directory_of_the_set_will_be_another_users(place: Path, is_there: bool) -> None:
    if is_there:
        (place / "home").mkdir()
    home = {"path": "home", "state": "directory", "owner": "nobody", "mode": "0755"}
    assert f"nobody may write {place}/home" in refusal(place, GOOD, home, {"path": "home/a/b", "state": "directory"})
    assert keep(place, home)["changed"]


@ROOT
@pytest.mark.parametrize("content", ["one\n", "top secret\n", ""])
def test_a_directory_that_root_takes_over_may_have_been_prepared(place: Path, content: str) -> None:
    plant(place)
    (place / "roots/file").chmod(0o600)
    before = tree(place / "roots")
    entries = [
        {"path": "theirs", "state": "directory", "owner": "root", "group": "root", "mode": "0750"},
        {"path": "theirs/name1", "content": content, "owner": "root", "group": "daemon", "mode": "0640"},
        {"path": "theirs/link1", "content": content, "mode": "0640"},
    ]
    assert "is a link that nobody can have put" in refusal(place, entries[0], {**entries[2], "follow": True})
    predicted = keep(place, *entries, check=True)
    assert not predicted["failed"], predicted
    result = keep(place, *entries)
    assert (predicted["changed_paths"], predicted["diff"]) == (result["changed_paths"], result["diff"])
    assert "top secret" not in json.dumps([shown["before"] for shown in result["diff"]])
    for name in ("name1", "link1"):
        assert (place / "theirs" / name).read_text() == content
        assert mode(place / "theirs" / name) == "0640"
    # The other name that root's file had is gone; nothing else has changed.
    assert {path: info[:3] for path, info in tree(place / "roots").items()} == {
        path: info[:3] for path, info in before.items()
    }
    assert (place / "roots/file").read_text() == "top secret\n"
    assert not keep(place, *entries)["changed"]


@ROOT
def test_who_has_had_a_file_writes_no_more(place: Path) -> None:
    (place / "a").write_text("one\n")
    os.chown(place / "a", NOBODY, NOBODY)
    with (place / "a").open("a") as file:
        assert keep(place, {"path": "a", "content": "one\n", "owner": "root", "group": "root"})["changed"]
        file.write("two\n")
    assert (place / "a").read_text() == "one\n"
    assert (place / "a").stat().st_uid == 0


def test_attributes_are_those_of_one_name(place: Path) -> None:
    (place / "a").write_text("one\n")
    (place / "a").chmod(0o644)
    (place / "b").hardlink_to(place / "a")
    assert keep(place, {"path": "a", "content": "one\n", "mode": "0600"})["changed"]
    assert (mode(place / "a"), mode(place / "b")) == ("0600", "0644")


@pytest.fixture(name="home")
def fixture_home() -> Iterator[Path]:
    """Return a directory of nobody's, which the user can reach."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory, "home")
        path.mkdir()
        os.chown(path, NOBODY, NOBODY)
        yield path


@ROOT
def test_a_user_writes_in_a_directory_of_its_own(home: Path) -> None:
    result = keep(home, *SET, user=str(NOBODY), mode="0640")
    assert result["changed_paths"] == [str(home / entry["path"]) for entry in SET[:-1]]
    assert {path.lstat().st_uid for path in home.rglob("*")} == {NOBODY}
    assert keep(home, SET[1] | {"path": "link", "follow": True, "content": "two\n"}, user=str(NOBODY))["changed"]
    assert (home / "conf/a").read_text() == "two\n"


@ROOT
def test_a_user_follows_no_link_of_another_one(home: Path) -> None:
    (home / "own").mkdir()
    os.chown(home / "own", NOBODY, NOBODY)
    (home / "link").symlink_to("own")
    os.chown(home / "link", 12345, 12345, follow_symlinks=False)
    entry = {"path": "link/a", "content": ""}
    assert "/home/link is a link that 12345 can have put there" in refusal(home, entry, user=str(NOBODY))


def test_links_that_lead_in_a_circle_are_refused(place: Path) -> None:
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    assert "Too many levels of symbolic links" in refusal(place, {"path": "a/c", "content": ""})


def test_links_lead_up_and_on(place: Path) -> None:
    (place / "a" / "b").mkdir(parents=True)
    (place / "a" / "b" / "up").symlink_to("../../c/./")
    (place / "c").symlink_to(place / "a")
    assert keep(place, {"path": "a/b/up/b/d/e", "state": "directory"}, {"path": "c/b/f", "content": ""})["changed"]
    assert (place / "a/b/d/e").is_dir()
    assert (place / "a/b/f").exists()


def test_paths_that_are_alike_are_one_entry(place: Path) -> None:
    given = {"state": "directory", "mode": "0700", "paths": [str(place / "one"), str(place / "two")]}
    result = run_module(place.parent, "file_set", {"entries": [given, {"state": "absent", "paths": []}]})
    assert result["created_paths"] == [str(place / "one"), str(place / "two")]
    assert [mode(path) for path in sorted(place.iterdir())] == ["0700", "0700"]
    assert not run_module(place.parent, "file_set", {"entries": [given]})["changed"]


@pytest.mark.parametrize("given", [{}, {"path": "/a", "paths": ["/b"]}])
def test_an_entry_has_a_path_or_paths(place: Path, given: dict[str, Any]) -> None:
    result = run_module(place.parent, "file_set", {"entries": [{"state": "absent", **given}]})
    assert result["failed"]
    assert "path" in result["msg"]
