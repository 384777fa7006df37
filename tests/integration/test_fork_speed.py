"""What spares the processes of tasks work: plugins that are loaded, memory that is frozen, variables as they are."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any, Never

import pytest
import yaml
from airstrip_render import Role
from airstrip_tree import PROJECT
from ansible.errors import AnsibleError

# What the controller's own process has, when it is about to start the processes of the first task.
REPORT = """
import gc
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "report"

    def v2_playbook_on_task_start(self, task, is_conditional):
        loaded = [name in loader._cached_non_collection_wrappers
                  for loader, name in ((filter_loader, "firewall_statements"), (test_loader, "version"))]
        self._display.display(f"filters and tests: {loaded}; frozen: {gc.get_freeze_count() > 10000}")
"""


def test_plugins_are_loaded_and_memory_is_frozen_before_the_first_task(tmp_path: Path) -> None:
    first = yaml.safe_load((PROJECT / "playbooks" / "parts" / "preflight.yml").read_text(encoding="utf-8"))[0]
    play = {"name": first["name"], "hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.meta": "noop"}]}
    play["tasks"].append({"ansible.builtin.debug": {"msg": "done"}})
    (tmp_path / "book.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    (tmp_path / "report.py").write_text(REPORT, encoding="utf-8")
    configuration = ConfigParser()
    configuration.read(PROJECT / "ansible.cfg", encoding="utf-8")
    own = configuration["defaults"]
    output = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory", "one,", str(tmp_path / "book.yml")],
        cwd=PROJECT,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            # The project's own first: what is here is found later.
            "ANSIBLE_CALLBACK_PLUGINS": f"{PROJECT / own['callback_plugins']}:{tmp_path}",
            "ANSIBLE_CALLBACKS_ENABLED": f"{own['callbacks_enabled']},report",
        },
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "filters and tests: [True, True]; frozen: True" in output, output


class Uncopyable:
    """A value that must not be copied."""

    text = "shared"

    def __deepcopy__(self, memo: object) -> Never:
        raise AssertionError


def render(role: Path, name: str, variables: dict[str, Any], **options: Any) -> str:
    text = ", ".join([repr(name), *(f"{key}={value!r}" for key, value in options.items())])
    return str(Role(str(role), variables).evaluate(f"lookup('airstrip_template', {text})"))


@pytest.fixture(name="role")
def fixture_role(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    text = "{{ ansible_managed | comment }}\n{% for one in words %}\n{{ one }}{{ added | default('') }}\n{% endfor %}\n"
    (tmp_path / "templates" / "a.j2").write_text(text, encoding="utf-8")
    (tmp_path / "templates" / "b.j2").write_text("{{ held.text }}", encoding="utf-8")
    return tmp_path


def test_a_template_is_rendered_as_by_ansible(role: Path) -> None:
    assert render(role, "a.j2", {"words": ["x", "y"]}) == "#\n# Ansible managed\n#\nx\ny\n"
    assert render(role, "a.j2", {"words": ["x"]}, template_vars={"added": "!"}) == "#\n# Ansible managed\n#\nx!\n"


def test_values_are_not_copied(role: Path) -> None:
    with pytest.raises(AssertionError):
        copy.deepcopy(Uncopyable())
    assert render(role, "b.j2", {"held": Uncopyable()}) == "shared"


def test_a_missing_template_is_named(role: Path) -> None:
    with pytest.raises(AnsibleError, match=r"missing\.j2"):
        render(role, "missing.j2", {})
