// In a page: `troupePerform(job)` says its lines through `troupeEmit`, which the driver provides.
import type { Job } from "./job.js";
import { perform } from "./perform.js";

declare const troupeEmit: (line: unknown) => Promise<void>;

Object.assign(globalThis, { troupePerform: (job: Job) => perform(job, (line) => void troupeEmit(line)) });
