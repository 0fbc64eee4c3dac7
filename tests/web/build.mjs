// Generates message code from the contracts and bundles the clients: dist/client.mjs, dist/tabs.mjs, dist/browser.js, dist/page.mjs.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, "../..");
const venvBuf = path.join(root, ".venv/bin/buf");

const template = {
  version: "v2",
  plugins: [
    { local: path.join(here, "node_modules/.bin/protoc-gen-es"), out: path.join(here, "generated"), opt: "target=ts" },
  ],
};
const buf = existsSync(venvBuf) ? venvBuf : "buf";
execFileSync(buf, ["generate", "--template", JSON.stringify(template)], { cwd: root, stdio: "inherit" });

const common = { bundle: true, absWorkingDir: here, logLevel: "warning" };
const program = {
  ...common,
  external: ["playwright-core"],
  platform: "node",
  format: "esm",
  // Packages written for CommonJS call `require`.
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
};
await build({ ...program, entryPoints: ["src/node.ts"], outfile: "dist/client.mjs" });
await build({ ...program, entryPoints: ["src/tabs.ts"], outfile: "dist/tabs.mjs" });
await build({ ...program, entryPoints: ["src/page.ts"], outfile: "dist/page.mjs" });
await build({ ...common, entryPoints: ["src/browser.ts"], outfile: "dist/browser.js", format: "iife" });
