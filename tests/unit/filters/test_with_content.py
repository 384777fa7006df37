"""Filter with_content: files get their texts in order."""

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError

with_content = load(PROJECT / "filter_plugins" / "with_content.py").with_content


def test_each_file_has_its_text_and_nothing_else() -> None:
    files = [{"path": "/a", "name": "x"}, {"path": "/b"}]
    assert with_content(files, ["1", "2"]) == [{"path": "/a", "content": "1"}, {"path": "/b", "content": "2"}]


def test_a_text_too_few_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="1 files and 0 texts"):
        with_content([{"path": "/a"}], [])
