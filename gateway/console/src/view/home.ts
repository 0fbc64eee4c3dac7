// Where a task is asked for.
import type { AgentStatus } from "../../generated/troupe/api/orchestrator/v1/orchestrator_service_pb.js";
import { type Orchestrator, problemOf } from "../client.js";
import { newSubmission, submit, unanswered } from "../submission.js";
import { h, say, show } from "./dom.js";
import { FailureView } from "./failure.js";
import { icon } from "./icons.js";

const APPLE = /Mac|iPhone|iPad/.test(navigator.userAgent);

export class HomeView {
  private readonly input = h("textarea", {
    id: "request",
    rows: "3",
    maxlength: "100000",
    placeholder: "Compare leases with locks, and say when each loses work.",
    "aria-describedby": "hint",
  });
  private readonly run = h("button", { type: "submit", class: "primary" }, "Run");
  private readonly hint = h("span", { id: "hint", class: "muted small" }, h("kbd", {}, APPLE ? "⌘" : "Ctrl"), " ", h("kbd", {}, "Enter"));
  private readonly state = h("p", { class: "muted small", role: "status" });
  private readonly failure = new FailureView();
  private readonly agents = h("ul", { class: "agents", "aria-label": "Agents" });
  private readonly form = h(
    "form",
    { class: "composer" },
    this.input,
    h("div", { class: "bar" }, this.state, this.hint, this.run),
  );
  readonly element = h(
    "section",
    { class: "home" },
    h("h1", {}, h("label", { for: "request" }, "What should be done?")),
    this.form,
    this.failure.element,
    this.agents,
  );

  constructor(
    private readonly client: Orchestrator,
    private readonly submitted: (taskId: string) => void,
  ) {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.input.value.trim() !== "" && !this.run.disabled) void this.send(newSubmission(this.input.value));
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    const pending = unanswered();
    if (pending) {
      this.input.value = pending.input;
      void this.send(pending);
    }
  }

  focus(): void {
    this.input.focus({ preventScroll: true });
  }

  showAgents(agents: AgentStatus[]): void {
    this.agents.replaceChildren(...agents.map(agentLine));
    show(this.agents, agents.length > 0);
  }

  private async send(submission: { requestId: string; input: string }): Promise<void> {
    this.run.disabled = true;
    this.failure.show(undefined);
    say(this.state, "Submitting …");
    try {
      const again = (message: string, delay: number): void => {
        say(this.state, `${sentence(message)} Trying again in ${Math.max(1, Math.round(delay / 1000))} s.`);
      };
      const taskId = await submit(this.client, submission, ({ message }, delay) => again(message, delay));
      this.input.value = "";
      this.submitted(taskId);
    } catch (error) {
      const { reason, message } = problemOf(error);
      this.failure.show({ title: "The task was not accepted", reason, message });
    } finally {
      say(this.state, "");
      this.run.disabled = false;
    }
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function agentLine({ agent, available }: AgentStatus): HTMLElement {
  const name = agent?.title || agent?.name || "";
  const mark = icon(available ? "completed" : "offline");
  const state = available ? "" : " · not available";
  return h("li", { title: agent?.description ?? "", "data-available": String(available) }, mark, h("span", {}, name, h("span", { class: "muted" }, state)));
}
