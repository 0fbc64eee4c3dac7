// The report: a draft while it is written, then the text that counts, with the places that it cites.
import type { TaskModel } from "../task.js";
import { plural, STEP_STATES } from "../words.js";
import type { Citation } from "../../generated/troupe/api/common/v1/content_pb.js";
import { StepState, TaskState } from "../../generated/troupe/api/orchestrator/v1/task_pb.js";
import { h, say, show } from "./dom.js";
import { MarkdownView } from "./markdown.js";

export class ReportView {
  private readonly badge = h("span", { class: "muted" });
  private readonly waiting = h("p", { class: "waiting" });
  private readonly citation = h("div", { popover: "auto", class: "citation", role: "dialog", "aria-label": "Cited place" });
  private readonly copy = h("button", { type: "button", class: "quiet", hidden: true }, "Copy");
  private readonly text = new MarkdownView((number) => this.cite(number));
  private citations: Citation[] = [];
  private markdown = "";
  readonly element = h(
    "section",
    { class: "report panel", "aria-labelledby": "report-title" },
    h("header", {}, h("h2", { id: "report-title" }, "Report"), this.badge, this.copy),
    this.waiting,
    this.text.element,
    this.citation,
  );

  constructor() {
    this.copy.addEventListener("click", () => void this.copyText());
  }

  update(task: TaskModel): void {
    const reporter = task.reporter;
    const draft = task.report === "" && reporter !== undefined && reporter.attempt > 0 ? reporter.text : "";
    this.markdown = task.report || draft;
    const shown = withoutTitle(this.markdown, task.input);
    if (this.citations !== task.citations) {
      this.citations = task.citations;
      this.text.update(shown);
      this.text.refresh();
    }
    this.text.update(shown);
    this.element.dataset.kind = task.report ? "final" : draft ? "draft" : "none";
    say(this.badge, this.kind(task, draft));
    say(this.waiting, waitingFor(task));
    show(this.waiting, this.markdown === "");
    // Only pages that were loaded safely may write to the clipboard.
    show(this.copy, task.ended && this.markdown !== "" && isSecureContext);
  }

  private kind(task: TaskModel, draft: string): string {
    if (task.report) return task.reportIsPartial ? "partial: the last step that completed" : sources(task.citations);
    return draft === "" ? "" : task.ended ? "unfinished draft" : "being written";
  }

  private cite(number: number): HTMLElement | undefined {
    const citation = this.citations.find((one) => one.number === number);
    if (citation === undefined) return undefined;
    const place = [citation.documentTitle || citation.documentUri, citation.heading].filter(Boolean).join(" › ");
    const button = h("button", { type: "button", class: "cite", "aria-label": `Source ${number}: ${place}` }, String(number));
    button.addEventListener("click", () => {
      const offsets = `characters ${citation.startOffset}–${citation.endOffset}`;
      this.citation.replaceChildren(
        h("p", {}, h("strong", {}, `[${number}] ${place}`)),
        h("blockquote", {}, citation.quote),
        h("p", { class: "muted small" }, [citation.documentUri, offsets].filter(Boolean).join(" · ")),
      );
      this.citation.showPopover();
    });
    return button;
  }

  private async copyText(): Promise<void> {
    await navigator.clipboard.writeText(this.markdown);
    say(this.copy, "Copied");
    setTimeout(() => say(this.copy, "Copy"), 1500);
  }
}

/** Reports repeat the request as their title, which stands at the top of the page already. */
function withoutTitle(markdown: string, input: string): string {
  const title = `# ${input.trim()}\n`;
  return markdown.startsWith(title) ? markdown.slice(title.length).trimStart() : markdown;
}

function sources(citations: Citation[]): string {
  return citations.length > 0 ? `cites ${plural(citations.length, "place")}` : "";
}

function waitingFor(task: TaskModel): string {
  if (task.state === TaskState.COMPLETED) return "The task completed without a report.";
  if (task.ended) return "There is no report: the task ended before one was written.";
  const busy = [...task.steps.values()].filter((step) => step.state !== StepState.PENDING && step.tookMs === undefined);
  if (busy.length === 0) return task.steps.size > 0 ? "The first steps wait for a worker." : "The plan is being made.";
  const [first] = busy;
  const what = busy.length === 1 && first ? `${first.title}: ${STEP_STATES[first.state]}` : `${busy.length} steps are at work`;
  return `${what}. The report appears here as it is written.`;
}
