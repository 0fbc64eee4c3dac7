// The arguments of a job.
import { parseArgs } from "node:util";
import { CLIENTS, type Job } from "./job.js";

export const USAGE = `usage: client.mjs --url http://127.0.0.1:8080 [--client ${CLIENTS.join("|")}]
  --input TEXT [--label k=v]...   runs a task and prints each event
  --watch TASK_ID [--after N]     prints the events of a task after the Nth
  --get TASK_ID                   prints a task
  [--timeout-ms N] [--cancel-after N] [--metadata k=v]... [--say JSON]
  --streams N   does the same N times at once; each line has the number of its stream
  --resume      goes on behind the last event when the stream is lost
Prints JSON lines; the last says how the call ended.`;

export function parseJob(argv: string[]): Job {
  const { values } = parseArgs({
    args: argv,
    options: {
      url: { type: "string" },
      client: { type: "string", default: "connect" },
      input: { type: "string" },
      label: { type: "string", multiple: true, default: [] },
      watch: { type: "string" },
      after: { type: "string" },
      get: { type: "string" },
      "timeout-ms": { type: "string" },
      "cancel-after": { type: "string" },
      metadata: { type: "string", multiple: true, default: [] },
      say: { type: "string" },
      streams: { type: "string" },
      resume: { type: "boolean" },
    },
  });
  if (values.url === undefined) throw new Error(USAGE);
  return {
    url: values.url.replace(/\/$/, ""),
    client: known(values.client),
    input: values.input,
    labels: pairs(values.label),
    watch: values.watch,
    after: number(values.after),
    get: values.get,
    timeoutMs: number(values["timeout-ms"]),
    cancelAfter: number(values["cancel-after"]),
    metadata: pairs(values.metadata),
    say: values.say,
    streams: number(values.streams),
    resume: values.resume,
  };
}

function known(name: string): Job["client"] {
  const client = CLIENTS.find((candidate) => candidate === name);
  if (client === undefined) throw new Error(`--client ${JSON.stringify(name)} is none of ${CLIENTS.join(", ")}`);
  return client;
}

function number(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function pairs(texts: string[]): Record<string, string> {
  return Object.fromEntries(texts.map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]));
}
