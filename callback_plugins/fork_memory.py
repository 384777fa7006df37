"""Callback that spares the processes of tasks a search of the whole memory."""

from __future__ import annotations

import gc
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: fork_memory
type: aggregate
author: Airstrip
short_description: Takes what is in memory out of Python's garbage collection, before tasks fork
description:
  - Ansible runs each task on each host in a process of its own, forked from one that holds inventory, playbooks,
    variables and plugins. In many of them Python's garbage collection is due, and searches all of that for garbage,
    for 0.15 s. By its marks it copies the memory, too, which the processes share until then.
  - At the start of each task, what is in memory counts as permanent from then on (C(gc.freeze), which Python's
    documentation gives for this case). What becomes garbage later is still freed, unless it has references in circles.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "fork_memory"

    def v2_playbook_on_play_start(self, play: Any) -> None:  # noqa: ARG002 - as Ansible calls it
        gc.collect()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        gc.freeze()

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:  # noqa: ARG002
        gc.freeze()
