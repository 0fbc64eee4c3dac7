// The plan as a graph: a column for each layer, a line for each dependency.
import { StepState } from "../../generated/troupe/api/orchestrator/v1/task_pb.js";
import { layers, type StepModel, type TaskModel } from "../task.js";
import { PLANNERS, STEP_STATES } from "../words.js";
import { h, say, show, svg } from "./dom.js";
import { setIcon, STEP_SHAPES } from "./icons.js";

/** Larger plans are told by the list of steps alone. */
const MOST_NODES = 60;

interface NodeView {
  element: HTMLButtonElement;
  icon: HTMLElement;
  title: HTMLElement;
  agent: HTMLElement;
}

export class PlanView {
  private readonly edges = svg("svg", { class: "edges", "aria-hidden": "true" });
  private readonly columns = h("div", { class: "columns" });
  private readonly canvas = h("div", { class: "canvas" }, this.edges, this.columns);
  private readonly planner = h("span", { class: "muted" });
  private readonly rationale = h("p", { class: "rationale muted" });
  readonly element = h(
    "section",
    { class: "plan panel", "aria-labelledby": "plan-title", hidden: true },
    h("header", {}, h("h2", { id: "plan-title" }, "Plan"), this.planner),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Graph of the steps" }, this.canvas),
    this.rationale,
  );
  private readonly nodes = new Map<string, NodeView>();
  private readonly lines: { from: string; to: string; delegated: boolean; path: SVGElement }[] = [];

  constructor(private readonly choose: (stepId: string) => void) {
    new ResizeObserver(() => this.drawLines()).observe(this.canvas);
  }

  update(task: TaskModel, changed: Iterable<StepModel>, grown: boolean): void {
    show(this.element, task.steps.size > 0 && task.steps.size <= MOST_NODES);
    say(this.planner, PLANNERS[task.planner]);
    say(this.rationale, task.rationale);
    show(this.rationale, task.rationale !== "");
    if (grown && task.steps.size <= MOST_NODES) this.layOut(task);
    for (const step of changed) this.node(step);
    for (const { from, to, path } of this.lines) {
      const done = task.steps.get(from)?.state === StepState.COMPLETED;
      const flowing = done && task.steps.get(to)?.state === StepState.RUNNING;
      path.setAttribute("class", flowing ? "flowing" : done ? "done" : "");
    }
  }

  private layOut(task: TaskModel): void {
    const columns = layers(task.steps).map((layer) =>
      h("div", { class: "column" }, ...layer.map((step) => this.node(step).element)),
    );
    this.columns.replaceChildren(...columns);
    this.lines.length = 0;
    for (const step of task.steps.values()) {
      for (const from of step.dependsOn) this.line(from, step.id, false);
      if (step.parent) this.line(step.parent, step.id, true);
    }
    this.edges.replaceChildren(...this.lines.map(({ path }) => path));
    this.drawLines();
  }

  private line(from: string, to: string, delegated: boolean): void {
    const path = svg("path", delegated ? { "stroke-dasharray": "4 4" } : {});
    this.lines.push({ from, to, delegated, path });
  }

  private node(step: StepModel): NodeView {
    let node = this.nodes.get(step.id);
    if (node === undefined) {
      const icon = h("span", { class: "state" });
      const title = h("span", { class: "title" });
      const agent = h("span", { class: "agent" });
      const element = h("button", { class: "node", type: "button" }, icon, h("span", { class: "words" }, title, agent));
      element.addEventListener("click", () => this.choose(step.id));
      node = { element, icon, title, agent };
      this.nodes.set(step.id, node);
    }
    const word = STEP_STATES[step.state];
    node.element.dataset.state = word;
    setIcon(node.icon, STEP_SHAPES[step.state]);
    say(node.title, step.title);
    say(node.agent, `${step.agent} · ${word}`);
    node.element.title = step.title;
    return node;
  }

  private drawLines(): void {
    if (this.lines.length === 0) return;
    const { width, height, left, top } = this.canvas.getBoundingClientRect();
    this.edges.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const boxes = new Map([...this.nodes].map(([id, { element }]) => [id, element.getBoundingClientRect()]));
    for (const { from, to, path } of this.lines) {
      const [a, b] = [boxes.get(from), boxes.get(to)];
      if (!a || !b) continue;
      const [x1, y1] = [a.right - left, a.top + a.height / 2 - top];
      const [x2, y2] = [b.left - left, b.top + b.height / 2 - top];
      const bend = Math.max(16, (x2 - x1) / 2);
      path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
    }
  }
}
