"""The script of a database: names in it, and the mark that tells whether it has to run."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_render import Role
from ansible.errors import AnsibleFilterError
from postgresql_script import postgresql_script

SCRIPT = 'GRANT CONNECT ON DATABASE :"database" TO :"reader";'
DATABASE: dict[str, Any] = {"name": "results", "script_names": {"writer": "w", "reader": "r"}}


def test_names_stand_in_the_query_which_ends_with_the_mark() -> None:
    found = postgresql_script(SCRIPT, DATABASE)
    assert found["query"] == (
        f'GRANT CONNECT ON DATABASE "results" TO "r";\nCOMMENT ON DATABASE "results" IS \'{found["mark"]}\';'
    )


def test_the_mark_is_the_one_that_sites_have() -> None:
    """Another one would run the script again everywhere."""
    role = Role("postgresql", {"text": SCRIPT, "database": DATABASE})
    names = "database.script_names | combine({'database': database.name})"
    before = role.evaluate(f"'Airstrip: ' ~ (text ~ ({names})) | hash('sha256')")
    assert role.evaluate("text | postgresql_script(database)")["mark"] == before


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (f"{SCRIPT} ", {}),
        (SCRIPT, {"name": "other"}),
        (SCRIPT, {"script_names": {"writer": "w", "reader": "other"}}),
    ],
)
def test_the_mark_changes_with_the_script_and_the_names(text: str, changed: dict[str, Any]) -> None:
    assert postgresql_script(text, DATABASE | changed)["mark"] != postgresql_script(SCRIPT, DATABASE)["mark"]


def test_a_script_may_have_no_names_but_the_databases() -> None:
    found = postgresql_script('ANALYZE :"database"; -- :"reader"', {"name": "app"})
    assert found["query"].startswith('ANALYZE "app"; -- :"reader"\n')


def test_another_shape_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="script_names must be a mapping"):
        postgresql_script(SCRIPT, DATABASE | {"script_names": ["writer"]})
