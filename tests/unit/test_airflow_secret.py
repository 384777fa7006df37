"""The lookup airflow_secret: what it keeps, for how long, and how it is protected."""

from __future__ import annotations

import base64
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar, trust_as_template

PROJECT = Path(__file__).parents[2]
VAULT_SECRETS = [("default", VaultSecret(b"a vault password of the tests"))]
OTHER_SECRETS = [("default", VaultSecret(b"another vault password"))]

# What each of several processes does at the same time: look up all names, and print them.
PARALLEL = """
import sys, time
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar
init_plugin_loader([])
lookup_loader.add_directory(sys.argv[1])
loader = DataLoader()
plugin = lookup_loader.get("airflow_secret", loader=loader, templar=Templar(loader=loader))
time.sleep(max(0.0, float(sys.argv[3]) - time.time()))
names = [f"name_{number}" for number in range(20)]
print(*[plugin.run([name], {}, file=sys.argv[2])[0] for name in names])
"""

# A process that is killed at the moment when the new file is to take the place of the old one.
KILLED = """
import os, signal, sys
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar
init_plugin_loader([])
lookup_loader.add_directory(sys.argv[1])
loader = DataLoader()
plugin = lookup_loader.get("airflow_secret", loader=loader, templar=Templar(loader=loader))
def kill(event, arguments):
    if event == "os.rename":
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill)
plugin.run(["b"], {}, file=sys.argv[2])
"""


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    if not lookup_loader.has_plugin("env"):
        init_plugin_loader([])
    lookup_loader.add_directory(str(PROJECT / "lookup_plugins"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inventory" / ".secrets.yml"


def look_up(path: Path | str, *names: str, vault: Any = (), **options: Any) -> list[str]:
    """Run the lookup as Ansible does; `variables` among the options are those of the host."""
    variables = options.pop("variables", {})
    loader = DataLoader()
    loader.set_vault_secrets(list(vault))
    plugin = lookup_loader.get("airflow_secret", loader=loader, templar=Templar(loader=loader, variables=variables))
    values: list[str] = plugin.run(list(names), variables, file=str(path), **options)
    return values


def test_secret_is_generated_once(path: Path) -> None:
    first = look_up(path, "a", "b")
    assert len(set(first)) == 2
    content = path.read_bytes()
    assert look_up(path, "a", "b") == first
    assert look_up(path, "b", "a") == first[::-1]
    assert path.read_bytes() == content


def test_known_secret_stays_when_another_is_added(path: Path) -> None:
    (first,) = look_up(path, "a")
    look_up(path, "b", kind="key")
    assert look_up(path, "a") == [first]
    assert sorted(yaml.safe_load(path.read_text())) == ["a", "b"]


def test_secret_of_the_users_is_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine: 'my own: #secret'\n")
    assert look_up(path, "mine") == ["my own: #secret"]


def test_file_is_for_its_owner_alone(path: Path) -> None:
    look_up(path, "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    look_up(path, "b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # Nothing temporary is left beside it that would hold secrets.
    assert {file.name for file in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}


def test_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    target = tmp_path / "elsewhere" / "secrets.yml"
    path.symlink_to(target)
    first, second = look_up(path, "a"), look_up(path, "b")
    assert path.is_symlink()
    assert yaml.safe_load(target.read_text()) == {"a": first[0], "b": second[0]}
    # With it, its lock: another inventory may lead to the same file.
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_killed_run_leaves_no_secrets_behind(path: Path) -> None:
    (first,) = look_up(path, "a")
    # As a process dies that neither handles the signal nor cleans up: when all is written, before it takes its place.
    argv = [sys.executable, "-c", KILLED, str(PROJECT / "lookup_plugins"), str(path)]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    assert len(list(path.parent.glob(f"{path.name}*"))) == 3
    assert look_up(path, "a") == [first]
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


def test_looking_alone_leaves_what_another_process_writes(path: Path) -> None:
    (first,) = look_up(path, "a")
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text("")
    assert look_up(path, "a", variables={"ansible_check_mode": True}) == [first]
    assert unfinished.exists()


def test_file_says_that_comments_are_lost(path: Path) -> None:
    look_up(path, "a")
    assert "comments are lost" in path.read_text().splitlines()[0]
    look_up(path, "b")
    assert path.read_text().count("comments are lost") == 1


def test_password_is_letters_and_digits(path: Path) -> None:
    (value,) = look_up(path, "a")
    assert len(value) == 32
    assert value.isascii()
    assert value.isalnum()


def test_key_is_64_bytes(path: Path) -> None:
    (value,) = look_up(path, "a", kind="key")
    assert len(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))) == 64


def test_fernet_key_is_32_bytes(path: Path) -> None:
    (value,) = look_up(path, "a", kind="fernet")
    assert len(base64.urlsafe_b64decode(value)) == 32
    assert len(value) == 44


def test_unknown_kind_is_refused(path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"Invalid value 'rsa' for config 'kind'"):
        look_up(path, "a", kind="rsa")
    assert not path.exists()


def test_given_value_is_kept(path: Path) -> None:
    look_up(path, "other")
    assert look_up(path, "a", value="of the old installation") == ["of the old installation"]
    assert look_up(path, "a") == ["of the old installation"]
    assert look_up(path, "a", value="of the old installation") == ["of the old installation"]


def test_given_value_is_encrypted(path: Path) -> None:
    look_up(path, "a", value="of the old installation", vault=VAULT_SECRETS)
    assert path.read_text().startswith("$ANSIBLE_VAULT;")
    assert look_up(path, "a", vault=VAULT_SECRETS) == ["of the old installation"]


def test_given_value_replaces_no_other(path: Path) -> None:
    (first,) = look_up(path, "a")
    with pytest.raises(AnsibleError, match="has another a already") as error:
        look_up(path, "a", value="of the old installation")
    assert "of the old" not in str(error.value)
    assert first not in str(error.value)
    assert look_up(path, "a") == [first]


@pytest.mark.parametrize(("names", "value"), [(["a"], ""), (["a", "b"], "both")])
def test_given_value_belongs_to_one_name(names: list[str], value: str, path: Path) -> None:
    with pytest.raises(AnsibleError, match="belongs to one name"):
        look_up(path, *names, value=value)
    assert not path.exists()


def test_check_mode_keeps_nothing(path: Path) -> None:
    (value,) = look_up(path, "a", variables={"ansible_check_mode": True})
    assert len(value) == 32
    assert not path.exists()


def test_validation_alone_keeps_nothing(path: Path) -> None:
    (value,) = look_up(path, "a", variables={"ansible_run_tags": ["validate"]})
    assert len(value) == 32
    assert not path.exists()
    look_up(path, "a", variables={"ansible_run_tags": ["validate", "airflow"]})
    assert path.exists()


def test_check_mode_tells_known_secrets(path: Path) -> None:
    known = look_up(path, "a")
    assert look_up(path, "a", variables={"ansible_check_mode": True}) == known


def test_nothing_is_kept_without_persist(path: Path) -> None:
    known = look_up(path, "a")
    content = path.read_bytes()
    assert look_up(path, "a", "b", persist=False)[:1] == known
    assert path.read_bytes() == content


def test_variables_give_file_and_persist(tmp_path: Path) -> None:
    variables = {
        "airflow_secrets_file": trust_as_template("{{ place }}/secrets.yml"), "place": str(tmp_path),
    }  # fmt: skip
    loader = DataLoader()
    templar = Templar(loader=loader, variables=variables)
    plugin = lookup_loader.get("airflow_secret", loader=loader, templar=templar)
    (value,) = plugin.run(["a"], variables)
    assert yaml.safe_load((tmp_path / "secrets.yml").read_text()) == {"a": value}
    plugin.run(["b"], variables | {"airflow_secrets_persist": False})
    assert yaml.safe_load((tmp_path / "secrets.yml").read_text()) == {"a": value}


def test_file_is_encrypted_with_a_vault_password(path: Path) -> None:
    (value,) = look_up(path, "a", vault=VAULT_SECRETS)
    content = path.read_bytes()
    assert content.startswith(b"$ANSIBLE_VAULT;")
    assert value.encode() not in content
    assert yaml.safe_load(VaultLib(VAULT_SECRETS).decrypt(content)) == {"a": value}
    assert look_up(path, "a", vault=VAULT_SECRETS) == [value]
    assert path.read_bytes() == content


def test_plain_file_is_encrypted_when_it_is_next_written(path: Path) -> None:
    (value,) = look_up(path, "a")
    look_up(path, "b", vault=VAULT_SECRETS)
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;")
    assert look_up(path, "a", vault=VAULT_SECRETS) == [value]


@pytest.mark.parametrize("vault", [(), OTHER_SECRETS], ids=["no password", "another password"])
def test_encrypted_file_is_not_replaced_without_its_password(path: Path, vault: Any) -> None:
    look_up(path, "a", vault=VAULT_SECRETS)
    content = path.read_bytes()
    with pytest.raises(AnsibleError, match=r"(?i)vault|decrypt"):
        look_up(path, "b", vault=vault)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", ["- a\n- b\n", "just text\n"])
def test_file_that_is_no_mapping_is_refused(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(AnsibleError, match=r"site_secrets_file: .* is not a YAML mapping"):
        look_up(path, "a")
    assert path.read_text() == content


def test_broken_file_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("a: [unclosed hunter2secret\n")
    with pytest.raises(AnsibleError, match=r"site_secrets_file: .* is no valid YAML, line 2") as raised:
        look_up(path, "a")
    # The parser's message would show the line, and with it the secret.
    assert "hunter2secret" not in str(raised.value)
    assert path.read_text() == "a: [unclosed hunter2secret\n"


def test_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleError, match=r"site_secrets_file: .*(Not a directory|File exists)"):
        look_up(tmp_path / "file" / ".secrets.yml", "a")


def test_processes_at_the_same_time_agree(path: Path) -> None:
    argv = [sys.executable, "-c", PARALLEL, str(PROJECT / "lookup_plugins"), str(path), str(time.time() + 4)]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0].split() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0]
    assert len(set(outputs[0])) == 20
    assert outputs == [outputs[0]] * 4
    assert sorted(yaml.safe_load(path.read_text()).values()) == sorted(outputs[0])


def test_what_nothing_uses_any_more_is_forgotten(path: Path) -> None:
    kept, _ = look_up(path, "a", "b")
    assert look_up(path, "b", "c", forget=True) == ["b"]
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {"a": kept}


def test_check_mode_forgets_nothing(path: Path) -> None:
    look_up(path, "a")
    assert look_up(path, "a", variables={"ansible_check_mode": True}, forget=True) == []
    assert "a" in yaml.safe_load(path.read_text(encoding="utf-8"))


def from_files(directory: Path, **more: Any) -> dict[str, Any]:
    return {"site_secrets_source": {"type": "files", "path": f"{directory}/{{name}}", **more}}


def test_secret_is_read_where_the_source_says(path: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("of the company\n", encoding="utf-8")
    (kept,) = look_up(path, "b")
    variables = from_files(tmp_path, generated=["b"])
    # Also where the file has one of the same name.
    look_up(path, "a")
    assert look_up(path, "a", "b", variables=variables) == ["of the company", kept]
    assert look_up(path, "certificate_key_x", variables=variables) != []
    assert "of the company" not in path.read_text(encoding="utf-8")


def test_secret_that_its_source_lacks_is_refused_and_never_made(path: Path, tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=rf"files at the controller does not have a at {tmp_path}/a"):
        look_up(path, "a", variables=from_files(tmp_path))
    assert not path.exists()


def test_secret_that_its_source_lacks_is_missing_for_preflight(path: Path, tmp_path: Path) -> None:
    variables = from_files(tmp_path)
    assert look_up(path, "a", variables=variables, persist=False) != look_up(
        path, "a", variables=variables, persist=False
    )
    assert not path.exists()


def test_given_value_replaces_none_of_the_source(path: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("of the company", encoding="utf-8")
    variables = from_files(tmp_path)
    assert look_up(path, "a", variables=variables, value="of the company") == ["of the company"]
    with pytest.raises(AnsibleError, match="has another a already") as error:
        look_up(path, "a", variables=variables, value="of the old installation")
    assert "of the old" not in str(error.value)


def test_secret_file_of_a_login_that_is_not_there_is_named(path: Path, tmp_path: Path) -> None:
    source = {"type": "openbao", "url": "https://127.0.0.1:1", "path": "{name}", "auth_type": "approle"}
    variables = {"site_secrets_source": source | {"role_id": "r", "secret_file": f"{tmp_path}/none"}}
    with pytest.raises(AnsibleError, match=rf"secret_file is {tmp_path}/none: No such file"):
        look_up(path, "a", variables=variables)
