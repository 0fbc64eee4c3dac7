// Jobs for tabs of a Chromium that runs: whoever connects to SOCKET sends the arguments of a job as a line of JSON and
// gets the job's lines; who leaves closes the tab.
//   tabs.mjs ENDPOINT SOCKET, where ENDPOINT is that of the DevTools protocol
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { type Browser, chromium } from "playwright-core";
import { parseJob } from "./arguments.js";
import { performInTab, servePage } from "./chromium.js";

async function main(endpoint: string, path: string): Promise<void> {
  const browser = await chromium.connectOverCDP(endpoint);
  const page = await servePage();
  createServer((socket) => {
    socket.on("error", () => undefined); // it closes then
    createInterface({ input: socket }).once("line", (line) => void serve(browser, page, socket, JSON.parse(line)));
  }).listen(path);
}

async function serve(browser: Browser, page: string, socket: Socket, argv: string[]): Promise<void> {
  const emit = (line: unknown): void => void socket.write(`${JSON.stringify(line)}\n`);
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const close = (): void => void context.close();
  socket.on("close", close);
  if (socket.closed) close();
  try {
    emit(await performInTab(await context.newPage(), page, parseJob(argv), emit));
  } catch (error) {
    emit({ end: "error", message: String(error) });
  }
  socket.end();
}

await main(process.argv[2]!, process.argv[3]!);
