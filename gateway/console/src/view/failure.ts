// What went wrong, and what to do about it.
import { advice } from "../words.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

export interface Told {
  title: string;
  reason: string;
  message: string;
  advice?: string;
}

export class FailureView {
  readonly element = h("div", { class: "alert", role: "alert", hidden: true });

  show(told: Told | undefined, ...actions: HTMLElement[]): void {
    this.element.hidden = told === undefined;
    if (told === undefined) return this.element.replaceChildren();
    const todo = told.advice ?? advice(told.reason);
    const words = h(
      "div",
      {},
      h("p", {}, h("strong", {}, told.title), told.reason !== "" && h("code", {}, told.reason)),
      h("p", { class: "message" }, ...withCode(told.message)),
      todo !== "" && h("p", { class: "advice" }, todo),
      actions.length > 0 && h("div", { class: "buttons" }, ...actions),
    );
    this.element.replaceChildren(icon("warning"), words);
  }
}

/** Error messages put identifiers in backticks. */
export function withCode(message: string): (HTMLElement | string)[] {
  return message.split("`").map((part, place) => (place % 2 === 1 ? h("code", {}, part) : part));
}
