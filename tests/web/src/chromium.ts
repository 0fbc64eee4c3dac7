// The job done by a page in a real Chromium. The page is of another origin than the gateway, so that CORS takes part.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import type { Emit, Job, Outcome } from "./job.js";

export const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function performInChromium(job: Job, executable: string, emit: Emit): Promise<Outcome> {
  const profile = await mkdtemp(path.join(tmpdir(), "troupe-chromium-"));
  const server = await servePage(await readFile(new URL("browser.js", import.meta.url)));
  const context = await chromium.launchPersistentContext(profile, { executablePath: executable, headless: true, args: ARGS });
  try {
    const page = await context.newPage();
    await page.exposeFunction("troupeEmit", emit);
    await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
    return await page.evaluate((given) => (globalThis as never as { troupePerform(j: Job): Promise<Outcome> }).troupePerform(given), job);
  } finally {
    await context.close();
    server.close();
    await rm(profile, { recursive: true, force: true });
  }
}

function servePage(script: Buffer): Promise<Server> {
  const server = createServer((request, response) => {
    const isScript = request.url === "/browser.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : '<!doctype html><link rel="icon" href="data:,"><script src="/browser.js"></script>');
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
