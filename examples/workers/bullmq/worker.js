// A worker on BullMQ: counts the words of reports. DAGs hand it jobs by HTTP, so that they need no client of BullMQ.
"use strict";

const fs = require("fs");
const http = require("http");
const { Queue, Worker } = require("bullmq");

const NAME = "reports";
const LONGEST = 1024 * 1024;
const password = fs.readFileSync(`${process.env.CREDENTIALS_DIRECTORY}/queue_password`, "utf8").trim();
const connection = {
  host: process.env.QUEUE_HOST || "127.0.0.1",
  port: Number(process.env.QUEUE_PORT || 6390),
  password,
  // As BullMQ wants it of workers: a broker may be away for any time.
  maxRetriesPerRequest: null,
};
const counts = { completed: 0, failed: 0 };

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * Math.min(Number(seconds) || 0, 60)));

async function count(job) {
  await pause(job.data.seconds);
  if (typeof job.data.text !== "string") throw new Error("the job has no text");
  return { words: job.data.text.split(/\s+/).filter(Boolean).length };
}

const queue = new Queue(NAME, { connection, defaultJobOptions: { attempts: 3, removeOnComplete: 1000, removeOnFail: 1000 } });
const worker = new Worker(NAME, count, { connection, concurrency: 4 });
for (const event of Object.keys(counts)) worker.on(event, () => (counts[event] += 1));
for (const one of [queue, worker]) one.on("error", (error) => console.error(`broker: ${error.message}`));

async function metrics() {
  const waiting = await queue.getJobCounts("wait", "active", "delayed");
  const rows = Object.entries(waiting).map(([state, value]) => `bull_jobs{queue="${NAME}",state="${state}"} ${value}`);
  const done = Object.entries(counts).map(([state, value]) => `bull_jobs_total{queue="${NAME}",state="${state}"} ${value}`);
  return ["# TYPE bull_jobs gauge", ...rows, "# TYPE bull_jobs_total counter", ...done, ""].join("\n");
}

async function body(request) {
  let text = "";
  for await (const part of request) {
    text += part;
    if (text.length > LONGEST) throw new Error("the job is too large");
  }
  return JSON.parse(text);
}

async function answer(request) {
  if (request.url === "/metrics") return [200, await metrics()];
  if (request.url === "/health") return [worker.isRunning() && (await (await queue.client).ping()) === "PONG" ? 200 : 503, ""];
  if (request.method === "POST" && request.url === "/jobs") {
    return [201, JSON.stringify({ id: (await queue.add("count", await body(request))).id })];
  }
  const [, id] = /^\/jobs\/([\w-]+)$/.exec(request.url) || [];
  const job = id && (await queue.getJob(id));
  if (!job) return [404, ""];
  return [200, JSON.stringify({ id, state: await job.getState(), result: job.returnvalue, reason: job.failedReason })];
}

const server = http.createServer((request, response) => {
  answer(request)
    .catch((error) => [400, JSON.stringify({ error: error.message })])
    .then(([status, text]) => response.writeHead(status).end(text));
});
server.listen(Number(process.env.PORT), process.env.LISTEN || "127.0.0.1");

// What it has begun, it ends.
process.on("SIGTERM", async () => {
  server.close();
  await worker.close();
  await queue.close();
  process.exit(0);
});
