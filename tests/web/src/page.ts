// A tab of Chromium, driven by lines of JSON: [action, argument…] in, [value] or {"error": …} out.
//   page.mjs ENDPOINT, which is that of the DevTools protocol
import { createInterface } from "node:readline";
import { chromium, type Page } from "playwright-core";

const PATIENCE_MS = 8_000;

type Action = (page: Page, ...given: string[]) => Promise<unknown>;

const problems: string[] = [];

const ACTIONS: Record<string, Action> = {
  open: (page, url) => page.goto(url!),
  reload: (page) => page.reload(),
  fill: (page, selector, text) => page.fill(selector!, text!),
  press: (page, keys) => page.keyboard.press(keys!),
  click: (page, selector) => page.click(selector!),
  /** Waits until an element of the selector is seen. */
  see: (page, selector) => page.waitForSelector(selector!).then(() => undefined),
  texts: (page, selector) => page.locator(selector!).allInnerTexts(),
  evaluate: (page, expression) => page.evaluate(expression!),
  look: (page, width, height, colorScheme) =>
    page
      .setViewportSize({ width: Number(width), height: Number(height) })
      .then(() => page.emulateMedia({ colorScheme: colorScheme as "light" | "dark" })),
  shoot: (page, file) => page.screenshot({ path: file! }).then(() => undefined),
  /** What the console reported as errors since it was asked last. */
  problems: () => Promise.resolve(problems.splice(0)),
};

async function main(endpoint: string): Promise<void> {
  const context = await (await chromium.connectOverCDP(endpoint)).newContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("console", (message) => void (message.type() === "error" && problems.push(message.text())));
    page.on("pageerror", (error) => void problems.push(String(error)));
    for await (const line of createInterface({ input: process.stdin })) process.stdout.write(`${await answer(page, line)}\n`);
  } finally {
    await context.close();
  }
}

async function answer(page: Page, line: string): Promise<string> {
  const [name, ...given] = JSON.parse(line) as string[];
  try {
    const action = ACTIONS[name!];
    if (action === undefined) throw new Error(`there is no action ${JSON.stringify(name)}`);
    const value = await action(page, ...given);
    return JSON.stringify([name === "open" || name === "reload" ? null : (value ?? null)]);
  } catch (error) {
    return JSON.stringify({ error: error instanceof Error ? error.message : String(error) });
  }
}

await main(process.argv[2]!);
// What Playwright keeps open would keep the process alive.
process.exit();
