"""
The schedulers' executor: Airflow's CeleryExecutor, which also tells a message that waits from one that is lost.

Airflow's own measure is time: what has been queued for longer than `[scheduler] task_queued_timeout` is queued again,
and fails at last, though its message only waits for a slot. Here that time is long, and the broker is asked instead:
a task is queued again when its message has left its queue and no worker starts it. See docs/decisions/0015.

While the broker is away, messages wait in the scheduler; and what runs is let run when one scheduler takes over from
another.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from airflow.providers.celery.executors import celery_executor
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, timeout
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from celery import states
from kombu.exceptions import OperationalError
from sqlalchemy import select, update

_LOOK_EVERY = 10
# Younger messages may be on their way.
_YOUNG = timedelta(seconds=20)
# From its queue a message goes to a worker that has a slot for it, whose process writes at once that it has started.
_PATIENCE = 45
# Then the task registers at the API server, for which it has five minutes of patience. A worker may have died before.
_PATIENCE_STARTED = 600
# When a task fails whose queue no worker of the site takes: Airflow's default for all tasks.
_UNSERVED = timedelta(seconds=600)
# The scheduler waits meanwhile.
_BROKER_PATIENCE = 5
_SLICE = 500
_CELERY_ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _queued(channel: Any, queues: Iterable[str]) -> Iterator[str]:
    """Yield all that may be a Celery id in the queues' messages: workers can write there, so no form is relied on."""
    for queue in queues:
        for priority in channel.priority_steps:
            key = f"{channel.global_keyprefix}{channel._q_for_pri(queue, priority)}"
            start = 0
            while messages := channel.client.lrange(key, start, start + _SLICE - 1):
                yield from (found.decode() for message in messages for found in _CELERY_ID.findall(message))
                start += _SLICE


class CeleryExecutor(celery_executor.CeleryExecutor):
    """Queues tasks again whose messages are lost, and fails those of queues that no worker takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next_look = 0.0
        # When a message was first seen to have left its queue, though its task has not started.
        self._left: dict[str, float] = {}
        self._served = set(filter(None, os.environ.get("AIRSTRIP_QUEUES", "").split(",")))
        celery = self.celery_app.conf
        # With other values a worker takes messages that it has no slot for yet.
        self._takes_ahead = celery.worker_prefetch_multiplier != 1 or not celery.task_acks_late

    def sync(self) -> None:
        """Do what Airflow does in each loop of the scheduler, and have a look now and then."""
        super().sync()
        if time.monotonic() < self._next_look:
            return
        try:
            self._look()
        except (Exception, AirflowTaskTimeout):
            self.log.exception("Could not look for lost messages; the next look is in %s s", _LOOK_EVERY)
        self._next_look = time.monotonic() + _LOOK_EVERY

    def _send_workloads_to_celery(self, workload_tuples_to_send: Sequence[Any]) -> list[Any]:
        """Send messages, and return what became of those that are not to be sent again.

        While the broker is away they wait here, and are sent in a later loop; Airflow would fail their tasks. One goes
        first: without a broker, each takes about a second, in which the scheduler does nothing else.
        """
        first, others = workload_tuples_to_send[:1], workload_tuples_to_send[1:]
        sent = self._taken(super()._send_workloads_to_celery(first))
        return sent + self._taken(super()._send_workloads_to_celery(others)) if sent and others else sent

    def _taken(self, results: Iterable[Any]) -> list[Any]:
        found, away = [], None
        for result in results:
            error = getattr(result[2], "exception", None)
            if isinstance(error, (OperationalError, AirflowTaskTimeout)):
                away = error
            else:
                found.append(result)
        if away:
            self.log.warning("The broker takes no messages, which are sent later: %s", away)
        return found

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Return the tasks of a scheduler that is gone which have to begin again: none that runs.

        Airflow would begin those again whose Celery id it does not know, and have them run twice. Schedulers of
        Airflow 3.1 do not write it where the task has started in the same moment (apache/airflow#55004). Nothing is
        lost with the id: the task reports its end itself, and if its heartbeats cease, the scheduler takes it for dead.
        """
        others = [ti for ti in tis if ti.external_executor_id or ti.state != TaskInstanceState.RUNNING]
        again: Sequence[TaskInstance] = super().try_adopt_task_instances(others) if others else []
        return again

    def _look(self) -> None:
        with create_session() as session:
            waiting = {
                self.workloads[task.key].task_id: task
                for task in session.scalars(self._waiting_tasks())
                if task.key in self.workloads
            }
            there = self._queued_ids({task.queue for task in waiting.values()}) if waiting else set()
            now = time.monotonic()
            self._left = {found: self._left.get(found, now) for found in waiting.keys() - there}
            for celery_id, since in self._left.items():
                if now - since >= self._patience(waiting[celery_id]):
                    self._queue_again(waiting[celery_id], session)
            for celery_id in waiting.keys() & there:
                self._fail_unserved(waiting[celery_id])

    def _waiting_tasks(self) -> Any:
        return select(TaskInstance).where(
            TaskInstance.state == TaskInstanceState.QUEUED,
            TaskInstance.queued_by_job_id == self.job_id,
            TaskInstance.queued_dttm < datetime.now(UTC) - _YOUNG,
        )

    def _queued_ids(self, queues: Iterable[str]) -> set[str]:
        with timeout(seconds=_BROKER_PATIENCE), self.celery_app.connection_for_write() as connection:
            # Not its default_channel, which would try to connect for ever.
            return set(_queued(connection.channel(), queues))

    def _patience(self, task: Any) -> float:
        result = self.workloads[task.key]
        state, _ = self.bulk_state_fetcher.get_many([result])[result.task_id]
        return _PATIENCE if state == states.PENDING and not self._takes_ahead else _PATIENCE_STARTED

    def _queue_again(self, task: Any, session: Any) -> None:
        """Let the scheduler queue a task as if it were the first time, unless it has started meanwhile."""
        changed = session.execute(
            update(TaskInstance)
            .where(TaskInstance.id == task.id, TaskInstance.state == TaskInstanceState.QUEUED)
            .values(
                state=TaskInstanceState.SCHEDULED,
                scheduled_dttm=datetime.now(UTC),
                queued_dttm=None,
                queued_by_job_id=None,
            )
            .execution_options(synchronize_session=False)
        )
        if changed.rowcount:
            self.log.warning("The message of %s is lost; the task is queued again", task)
            session.add(Log(event="message lost", extra="No worker has started the task.", task_instance=task.key))
            self.revoke_task(ti=task)

    def _fail_unserved(self, task: Any) -> None:
        if self._served and task.queue not in self._served and task.queued_dttm < datetime.now(UTC) - _UNSERVED:
            self.fail(task.key, f"No worker of this site takes the queue {task.queue!r} (airflow_workers).")
