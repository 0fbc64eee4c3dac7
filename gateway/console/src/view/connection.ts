// How the page stands with the server.
import type { Connection } from "../feed.js";
import { h, say, show } from "./dom.js";
import { setIcon, type Shape } from "./icons.js";

const SHAPES: Record<Connection["kind"], Shape> = {
  connecting: "running",
  live: "live",
  waiting: "retrying",
  offline: "offline",
  ended: "completed",
  lost: "warning",
};

export class ConnectionView {
  private readonly icon = h("span", { class: "state" });
  private readonly word = h("span", {});
  private readonly now = h("button", { type: "button", class: "quiet", hidden: true }, "Now");
  readonly element = h("div", { class: "connection", hidden: true }, this.icon, this.word, this.now);
  private state: Connection | undefined;

  constructor(hurry: () => void) {
    this.now.addEventListener("click", hurry);
  }

  update(state: Connection | undefined): void {
    this.state = state;
    show(this.element, state !== undefined);
    if (state === undefined) return;
    this.element.dataset.kind = state.kind;
    this.element.title = "problem" in state ? state.problem.message : "";
    setIcon(this.icon, SHAPES[state.kind]);
    show(this.now, state.kind === "waiting");
    this.tick();
  }

  tick(): void {
    if (this.state !== undefined) say(this.word, words(this.state));
  }
}

function words(state: Connection): string {
  switch (state.kind) {
    case "connecting":
      return "Connecting";
    case "live":
      return "Live";
    case "waiting":
      return `Reconnecting in ${Math.max(1, Math.ceil((state.until - Date.now()) / 1000))} s`;
    case "offline":
      return "Offline";
    case "ended":
      return "Ended";
    case "lost":
      return "Not connected";
  }
}

/** What a person who hears the page is told; the seconds are left out. */
export function spoken(state: Connection): string {
  if (state.kind === "waiting") return "Connection lost, reconnecting";
  return state.kind === "connecting" || state.kind === "ended" ? "" : words(state);
}
