// A client on the command line.
import xhr2 from "xhr2";
import { parseJob, USAGE } from "./arguments.js";
import type { Outcome } from "./job.js";
import { perform } from "./perform.js";

const print = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

async function main(): Promise<Outcome> {
  Object.assign(globalThis, { XMLHttpRequest: xhr2 }); // grpc-web knows no other way to the network
  return await perform(parseJob(process.argv.slice(2)), print);
}

main().then(
  (outcome) => {
    print(outcome);
    // A pipe takes what is written in its own time.
    process.stdout.write("", () => process.exit(outcome.end === "error" ? 1 : 0));
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
    process.exit(2);
  },
);
