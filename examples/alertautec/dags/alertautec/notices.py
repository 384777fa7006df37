"""Notices to people, by a topic of SNS for each priority."""

from __future__ import annotations

import json

from alertautec.aws import client
from alertautec.incidents import Incident


class Notices:
    """The topics AlertaUTEC-HighPriority, -MediumPriority and -LowPriority, which are made when they are needed."""

    def __init__(self) -> None:
        self._client = client(client_type="sns")
        self._topics: dict[str, str] = {}

    def _topic(self, priority: str) -> str:
        if priority not in self._topics:
            # Of one that is there, SNS gives the name.
            self._topics[priority] = self._client.create_topic(Name=f"AlertaUTEC-{priority}Priority")["TopicArn"]
        return self._topics[priority]

    def send(self, incident: Incident, kind: str) -> None:
        """Tell the people of its priority of an incident."""
        told = ("incidentId", "classification", "priority", "location", "description", "createdAt")
        self._client.publish(
            TopicArn=self._topic(incident["priority"]),
            Subject=f"{kind}: {incident['classification']} ({incident['priority']})",
            Message=json.dumps({name: incident.get(name, "") for name in told}, ensure_ascii=False),
        )
