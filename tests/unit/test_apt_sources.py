"""Package sources that apt cannot read: discs by their files, and what apt says of the others."""

import glob
import shutil
import tempfile
from pathlib import Path

import pytest
from ansible_collections.airstrip.core.plugins.module_utils.apt_sources import discs, errors, silent

STANZA = "Types: deb\nURIs: {uris}\nSuites: trixie\nComponents: main\n"


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("sources.list", "deb cdrom:[Debian GNU/Linux 13.1.0 _Trixie_ - DVD Binary-1]/ trixie main\n", True),
        (
            "sources.list",
            "# deb cdrom:[x]/ trixie main\ndeb http://deb.debian.org/debian trixie main # cdrom:\n",
            False,
        ),
        (
            "sources.list.d/a.list",
            "deb http://a.example.com/ x y\n\tdeb-src [ trusted=yes ] cdrom:[x]/ trixie main",
            True,
        ),
        ("sources.list.d/a.sources", STANZA.format(uris="cdrom:[x]/"), True),
        ("sources.list.d/a.sources", STANZA.format(uris="http://a.example.com/\n cdrom:[x]/"), True),
        ("sources.list.d/a.sources", STANZA.format(uris="http://a.example.com/") + "Description: no cdrom:\n", False),
        ("sources.list.d/a.sources", "Enabled: no\n" + STANZA.format(uris="cdrom:[x]/"), False),
        (
            "sources.list.d/a.sources",
            "Enabled: no\n" + STANZA.format(uris="cdrom:[x]/") + "\n# The other\n" + STANZA.format(uris="cdrom:[y]/"),
            True,
        ),
        ("sources.list.d/a.sources", "#" + STANZA.format(uris="cdrom:[x]/").replace("\n", "\n#"), False),
        ("sources.list.d/a.list.save", "deb cdrom:[x]/ trixie main\n", False),
    ],
)
def test_files_that_name_a_disc_are_found(tmp_path: Path, file: str, text: str, found: bool) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert [*discs(tmp_path)] == ([str(path)] if found else [])


def test_a_host_without_apt_has_no_discs(tmp_path: Path) -> None:
    assert [*discs(tmp_path)] == []


OUTPUT = """\
Ign:1 http://no-such-host.invalid/debian trixie InRelease
Get:2 http://deb.debian.org/debian trixie InRelease [140 kB]
Err:3 http://user:secret@mirror.example.com/gone trixie InRelease
  404  Not Found [IP: 192.0.2.1 80]
Err:4 cdrom://x trixie Release
  Please use apt-cdrom to make this CD-ROM recognized by APT.
Err:5 https://deb.example.com/debian trixie InRelease
  Certificate verification failed: The certificate is NOT trusted.
Err:1 http://no-such-host.invalid/debian trixie InRelease
  Could not resolve 'no-such-host.invalid'
Err:1 http://no-such-host.invalid/debian trixie InRelease
  Could not resolve 'no-such-host.invalid'
Reading package lists...
E: The repository 'http://mirror.example.com/gone trixie InRelease' is not signed.
"""


def test_apt_s_errors_are_told_once_and_without_passwords() -> None:
    assert errors(OUTPUT) == [
        "http://mirror.example.com/gone trixie InRelease: 404  Not Found [IP: 192.0.2.1 80]",
        "http://no-such-host.invalid/debian trixie InRelease: Could not resolve 'no-such-host.invalid'",
    ]
    assert errors("Reading package lists...\nE: The list of sources could not be read.\n") == [
        "The list of sources could not be read"
    ]


@pytest.mark.skipif(not shutil.which("apt-get"), reason="only Debian has apt")
def test_apt_is_asked_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.list").write_text("deb http://127.0.0.1:1/debian trixie main\n", encoding="utf-8")
    config = f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "-";\n'
    (tmp_path / "apt.conf").write_text(config, encoding="utf-8")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    before = {*glob.glob(f"{tempfile.gettempdir()}/airstrip-*")}  # noqa: PTH207 - a place, not a path
    (problem,) = silent({"http_proxy": ""}, 2)
    assert problem.startswith("http://127.0.0.1:1/debian trixie InRelease: ")
    assert {*glob.glob(f"{tempfile.gettempdir()}/airstrip-*")} == before  # noqa: PTH207
