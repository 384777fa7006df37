"""A stand-in for Zeebe's gateway: it speaks the part of its gRPC that workers use.

No such server is to be had where the tests run. Tests put jobs in by HTTP (POST /jobs) and see what became of them at
GET /jobs/KEY, which no gateway has.
"""

# ruff: noqa: ARG002, N802 - the names are those of gRPC's interface

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from pyzeebe.proto import gateway_pb2, gateway_pb2_grpc

# zeebe.gateway.longPolling.timeout, in milliseconds.
LONG_POLLING = 10_000
JOBS: dict[int, dict[str, Any]] = {}
KEYS = itertools.count(1)


class Gateway(gateway_pb2_grpc.GatewayServicer):
    """What a worker calls."""

    async def Topology(self, request: Any, context: Any) -> Any:
        """Say that there is a gateway."""
        return gateway_pb2.TopologyResponse(clusterSize=1, partitionsCount=1, replicationFactor=1)

    async def ActivateJobs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Give the jobs of a type that are free; wait for some as long as the worker wants."""
        # As Zeebe's does: without a time it takes its own, and waits for nothing if that is below 0.
        limit = time.monotonic() + (request.requestTimeout or LONG_POLLING) / 1000
        while True:
            rows = [(key, row) for key, row in JOBS.items() if row["type"] == request.type and row["state"] == "free"]
            if rows or time.monotonic() > limit:
                break
            await asyncio.sleep(0.1)
        found = []
        for key, row in rows[: request.maxJobsToActivate]:
            row["state"] = "activated"
            found.append(
                gateway_pb2.ActivatedJob(
                    key=key, type=request.type, processInstanceKey=key, bpmnProcessId="test", retries=3,
                    worker=request.worker, customHeaders="{}", variables=json.dumps(row["variables"]),
                )
            )  # fmt: skip
        if found:
            yield gateway_pb2.ActivateJobsResponse(jobs=found)

    async def CompleteJob(self, request: Any, context: Any) -> Any:
        """Take what came of a job."""
        JOBS[request.jobKey] |= {"state": "completed", "result": json.loads(request.variables)}
        return gateway_pb2.CompleteJobResponse()

    async def FailJob(self, request: Any, context: Any) -> Any:
        """Take that a job failed."""
        JOBS[request.jobKey] |= {"state": "failed", "result": request.errorMessage}
        return gateway_pb2.FailJobResponse()


class Handler(BaseHTTPRequestHandler):
    """What a test asks."""

    def do_GET(self) -> None:
        """Say what became of a job."""
        name = self.path.rpartition("/")[2]
        row = JOBS.get(int(name)) if name.isdecimal() else {}
        self.answer(row)

    def do_POST(self) -> None:
        """Add a job."""
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = next(KEYS)
        JOBS[key] = {"state": "free", **given}
        self.answer({"key": key})

    def answer(self, content: Any) -> None:
        """Answer with JSON."""
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: Any) -> None:
        """Keep the journal short."""


async def main() -> None:
    """Serve for ever."""
    port = int(os.environ["PORT"])
    http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    server = grpc.aio.server()
    gateway_pb2_grpc.add_GatewayServicer_to_server(Gateway(), server)
    server.add_insecure_port(f"127.0.0.1:{os.environ['GRPC_PORT']}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
