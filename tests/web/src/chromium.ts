// The job done by a tab of a real Chromium. Its page is of another origin than the gateway, so that CORS takes part.
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type CDPSession, chromium } from "playwright-core";
import type { Emit, Job, Outcome } from "./job.js";

/** `endpoint` is that of the DevTools protocol of a Chromium that runs. */
export async function performInChromium(job: Job, endpoint: string, emit: Emit): Promise<Outcome> {
  const server = await servePage(await readFile(new URL("browser.js", import.meta.url)));
  const browser = await chromium.connectOverCDP(endpoint);
  // What a context opens is closed when this process ends, however it ends.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  try {
    const page = await context.newPage();
    await page.exposeFunction("troupeEmit", emit);
    await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
    const seen = await watchNetwork(await context.newCDPSession(page), job.url);
    const outcome = await page.evaluate(
      (given) => (globalThis as never as { troupePerform(j: Job): Promise<Outcome> }).troupePerform(given),
      job,
    );
    return { ...outcome, protocols: [...seen.protocols], connections: seen.connections.size };
  } finally {
    await context.close();
    server.close();
  }
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

function servePage(script: Buffer): Promise<Server> {
  const server = createServer((request, response) => {
    const isScript = request.url === "/browser.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : '<!doctype html><link rel="icon" href="data:,"><script src="/browser.js"></script>');
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
