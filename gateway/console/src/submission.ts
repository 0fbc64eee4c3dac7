// Submits a task once, however often it has to be sent: over lost connections and reloads, by its request id.
import { Backoff, pause } from "./backoff.js";
import { newRequestId, type Orchestrator, type Problem, problemOf, UNARY } from "./client.js";

const KEY = "troupe.submission";

interface Submission {
  requestId: string;
  input: string;
}

/** What was sent from this tab and not answered yet. */
export function unanswered(): Submission | undefined {
  const stored = sessionStorage.getItem(KEY);
  return stored === null ? undefined : (JSON.parse(stored) as Submission);
}

export function newSubmission(input: string): Submission {
  return { requestId: newRequestId(), input };
}

/** Returns the task's id; tells of each attempt that failed, and throws what no attempt would change. */
export async function submit(
  client: Orchestrator,
  submission: Submission,
  failed: (problem: Problem, delayMs: number) => void,
): Promise<string> {
  sessionStorage.setItem(KEY, JSON.stringify(submission));
  const backoff = new Backoff();
  const { requestId, input } = submission;
  for (;;) {
    try {
      const { task } = await client.submitTask({ task: { input }, requestId }, UNARY);
      sessionStorage.removeItem(KEY);
      return task?.taskId ?? "";
    } catch (error) {
      const problem = problemOf(error);
      if (!problem.passing) {
        sessionStorage.removeItem(KEY);
        throw error;
      }
      const delay = backoff.next(problem.retryDelayMs);
      failed(problem, delay);
      await pause(delay).over;
    }
  }
}
