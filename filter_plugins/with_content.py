"""Filter: files whose contents are rendered elsewhere, as the module file_set takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def with_content(files: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> list[dict[str, str]]:
    """
    Return files, each a mapping with `path`, with their contents in the same order.

    Example: `[{'path': '/a'}] | with_content(['text'])`. Raises AnsibleFilterError for one text too many or too few.
    """
    if len(files) != len(texts):
        raise AnsibleFilterError(f"with_content: {len(files)} files and {len(texts)} texts. Give one for each file.")
    return [{"path": given["path"], "content": text} for given, text in zip(files, texts, strict=True)]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"with_content": with_content}
