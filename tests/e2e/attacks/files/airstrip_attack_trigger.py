"""A trigger that attacks, among the plugins: the triggerer imports it from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from airstrip_attacks import outcomes


class AttackTrigger(BaseTrigger):
    """Tries everything once."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "airstrip_attack_trigger.AttackTrigger", {"url": self.url}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield TriggerEvent(await asyncio.to_thread(outcomes, self.url))
