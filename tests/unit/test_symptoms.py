"""The symptoms of docs/operations.md are read as they are meant, and each is produced by a test."""

import ast

import pytest
from airstrip_symptoms import Step, Symptom, shows, symptoms
from airstrip_tree import PROJECT

PAGE = """
## Symptoms

Some words.

### The broker is dead

<!-- symptom: broker-dead -->

See:

    data-1# systemctl is-active redis
    inactive

    control-1# a; b

**The way back:**

    $ play site.yml
    ...
    ok

Something to type by hand:

    play playbooks/status.yml

### Another symptom

<!-- symptom: another -->

Text.

## Another section

### And what is in it

    control-1# rm
"""


def produced() -> set[str]:
    """Return the names of the symptoms that the test produces."""
    tree = ast.parse((PROJECT / "tests/testinfra/test_symptoms.py").read_text(encoding="utf-8"))
    return {
        str(ast.literal_eval(decorator.args[0]))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "produces"
    }


def test_every_symptom_of_the_page_has_commands_and_is_produced() -> None:
    found = symptoms((PROJECT / "docs/operations.md").read_text(encoding="utf-8"))
    assert len(found) >= 11
    assert {symptom.name for symptom in found} == produced()
    # The first command is to look, and the page says what will be seen.
    assert [symptom.name for symptom in found if symptom.steps[0].is_way_back or not symptom.steps[0].expected] == []
    # For a lost host, the way back is to bring it back, or to build another one.
    without = [symptom.name for symptom in found if not any(step.is_way_back for step in symptom.steps)]
    assert without == ["host-lost"]


def test_steps_are_read_from_the_page() -> None:
    assert symptoms(PAGE) == [
        Symptom(
            "broker-dead",
            "The broker is dead",
            (
                Step("data-1", "systemctl is-active redis", ("inactive",)),
                Step("control-1", "a; b", ()),
                Step("", "play site.yml", ("...", "ok"), is_way_back=True),
            ),
        ),
        Symptom("another", "Another symptom", ()),
    ]


def test_a_symptom_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="The broker is dead"):
        symptoms(PAGE.replace("<!-- symptom: broker-dead -->\n", ""))


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        (["a  b"], "a b\n", True),
        (["a"], "a\nb\n", False),
        (["b"], "a\nb\n", False),
        (["...", "b"], "a\na\nb\n", True),
        (["a", "..."], "a\n", True),
        (["a", "...", "b"], "b\na\n", False),
        (["100% ... /x"], "100% 3.2 /x", True),
        (["failed=0"], "failed=1", False),
        (["control-1: ok (a.b)"], "node-1: ok (a.b)", True),
        (["control-1: ok (a.b)"], "node-1: ok (a-b)", False),
        (["since 2026-11-24 14:58:17 UTC"], "since 2027-01-02 03:04:05 UTC", True),
        (["notAfter=Nov 24 03:00:02 2026 GMT"], "notAfter=Dec  1 13:30:22 2026 GMT", True),
        (["since 2026-11-24 14:58:17 UTC"], "since never UTC", False),
    ],
)
def test_what_is_seen_is_what_the_page_says(expected: list[str], output: str, same: bool) -> None:
    assert shows(expected, output) is same
