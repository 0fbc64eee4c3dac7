// The job done by a tab of a real Chromium. Its page is of another origin than the gateway, so that CORS takes part.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { CDPSession, Page } from "playwright-core";
import type { Emit, Job, Outcome } from "./job.js";

export async function performInTab(page: Page, url: string, job: Job, emit: Emit): Promise<Outcome> {
  await page.exposeFunction("troupeEmit", emit);
  await page.goto(url);
  const seen = await watchNetwork(await page.context().newCDPSession(page), job.url);
  const outcome = await page.evaluate(
    (given) => (globalThis as never as { troupePerform(j: Job): Promise<Outcome> }).troupePerform(given),
    job,
  );
  return { ...outcome, protocols: [...seen.protocols], connections: seen.connections.size };
}

/** Resource timing hides the protocol from pages of another origin; the browser itself tells it. */
async function watchNetwork(session: CDPSession, url: string) {
  const seen = { protocols: new Set<string>(), connections: new Set<number>() };
  session.on("Network.responseReceived", ({ response, type }) => {
    if (!response.url.startsWith(url) || type === "Preflight") return;
    seen.protocols.add(response.protocol ?? "");
    seen.connections.add(response.connectionId);
  });
  await session.send("Network.enable");
  return seen;
}

/** Serves the page; says where. */
export async function servePage(): Promise<string> {
  const script = await readFile(new URL("browser.js", import.meta.url));
  const server = createServer((request, response) => {
    const isScript = request.url === "/browser.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : '<!doctype html><link rel="icon" href="data:,"><script src="/browser.js"></script>');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://localhost:${(server.address() as AddressInfo).port}/`;
}
