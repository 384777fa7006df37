"""Values of others as YAML: Ansible reads what was written, and runs none of it."""

from pathlib import Path
from typing import Any

import pytest
from airstrip_render import Role
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from unsafe_yaml import to_unsafe_yaml


def loaded(value: object, directory: Path) -> Any:
    """Return what Ansible has of a value in a file of variables."""
    path = directory / "variables.yml"
    path.write_text(to_unsafe_yaml(value), encoding="utf-8")
    return DataLoader().load_from_file(str(path), trusted_as_template=True)


TEXTS = [
    "plain", "64", "true", "null", "~", "", " spaces ", "two\nlines", "it's", 'say "so"', "a: b", "# no comment", "- a",
    "{{ 7 * 6 }}", "{% if true %}42{% endif %}", "{# gone #}", "{%% if x %%}100%", "a {{ lookup('pipe', 'id') }}",
    "#jinja2: variable_start_string:'[['\n[[ 7 * 6 ]]", "!vault x", "!unsafe x", "*alias", "\x85\u2028",
    "Müller", "---",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_back_and_is_no_template(text: str, tmp_path: Path) -> None:
    for value in (text, [text], {"key": text}, {text: {text: "value"}}):
        read = loaded({"found": value}, tmp_path)["found"]
        assert read == value
        assert Role("airflow", {"found": read}).evaluate("found") == value


def test_without_the_tag_it_would_be_one(tmp_path: Path) -> None:
    path = tmp_path / "variables.yml"
    path.write_text("found: '{{ 7 * 6 }}'\n", encoding="utf-8")
    read = DataLoader().load_from_file(str(path), trusted_as_template=True)
    assert Role("airflow", read).evaluate("found") == 42


def test_what_is_no_template_is_easy_to_read() -> None:
    assert to_unsafe_yaml({"b": "old", "a": ["64", 1, 1.5, True, None], "c": "{{ x }}"}) == (
        "b: old\na:\n- '64'\n- 1\n- 1.5\n- true\n- null\nc: !unsafe '{{ x }}'\n"
    )


def test_other_types_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="cannot write a bytes; make it a string"):
        to_unsafe_yaml({"a": b"b"})
