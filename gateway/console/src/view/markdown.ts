// Markdown on the page. While a text grows, blocks that did not change keep their elements.
import { type Block, type Inline, parse } from "../markdown.js";
import { h } from "./dom.js";

/** Longer texts are shown as they are: parsing them again for every piece would take too long. */
const LONGEST_PARSED = 200_000;

const SETTLED = 2;

export type Cite = (number: number) => HTMLElement | undefined;

export class MarkdownView {
  readonly element = h("div", { class: "markdown" });
  private text = "";
  private sources: string[] = [];
  /** Where each block starts in the text. */
  private offsets: number[] = [];

  constructor(private readonly cite: Cite = () => undefined) {}

  update(text: string): void {
    if (text === this.text) return;
    // What is appended can change the last block, or join the one before it, and no other.
    const grows = this.sources.length > SETTLED && text.startsWith(this.text);
    this.text = text;
    if (text.length > LONGEST_PARSED) {
      this.sources = [];
      this.element.replaceChildren(h("p", { class: "plain" }, text));
      return;
    }
    const kept = grows ? this.sources.length - SETTLED : 0;
    const from = grows ? this.offsets[kept]! : 0;
    const blocks = parse(text.slice(from));
    let same = 0;
    while (same < blocks.length && this.sources[kept + same] === blocks[same]!.source) same += 1;
    while (this.element.childNodes.length > kept + same) this.element.lastChild!.remove();
    this.element.append(...blocks.slice(same).map((block) => this.block(block)));
    this.sources = [...this.sources.slice(0, kept), ...blocks.map(({ source }) => source)];
    this.offsets = [...this.offsets.slice(0, kept), ...blocks.map(({ start }) => from + start)];
  }

  /** Makes all elements anew, for citations that came later than their text. */
  refresh(): void {
    const { text } = this;
    this.text = "";
    this.sources = [];
    this.element.replaceChildren();
    this.update(text);
  }

  private block(block: Block): HTMLElement {
    switch (block.kind) {
      case "heading":
        // The page has its own two levels above.
        return h(`h${Math.min(6, block.level + 2)}` as "h3", {}, ...this.inlines(block.inner));
      case "paragraph":
        return h("p", {}, ...this.inlines(block.inner));
      case "code":
        return h("pre", { tabindex: "0" }, h("code", {}, block.text));
      case "quote":
        return h("blockquote", {}, ...block.inner.map((inner) => this.block(inner)));
      case "rule":
        return h("hr");
      case "list": {
        const items = block.items.map((item) => h("li", {}, ...this.item(item)));
        return block.ordered ? h("ol", { start: String(block.number) }, ...items) : h("ul", {}, ...items);
      }
      case "table": {
        const row = (tag: "th" | "td", cells: Inline[][]): HTMLElement =>
          h("tr", {}, ...cells.map((cell) => h(tag, {}, ...this.inlines(cell))));
        const body = h("tbody", {}, ...block.rows.map((cells) => row("td", cells)));
        return h("div", { class: "table", tabindex: "0" }, h("table", {}, h("thead", {}, row("th", block.head)), body));
      }
    }
  }

  private item(blocks: Block[]): Node[] {
    const [first, ...rest] = blocks;
    const tail = rest.map((block) => this.block(block));
    if (first?.kind === "paragraph") return [...this.inlines(first.inner), ...tail];
    return first ? [this.block(first), ...tail] : [];
  }

  private inlines(inlines: Inline[]): Node[] {
    return inlines.map((inline) => this.inline(inline));
  }

  private inline(inline: Inline): Node {
    switch (inline.kind) {
      case "text":
        return document.createTextNode(inline.text);
      case "code":
        return h("code", {}, inline.text);
      case "break":
        return h("br");
      case "link":
        return h("a", { href: inline.href, rel: "noopener noreferrer", target: "_blank" }, ...this.inlines(inline.inner));
      case "citation":
        return this.cite(inline.number) ?? document.createTextNode(`[${inline.number}]`);
      default:
        return h(inline.kind, {}, ...this.inlines(inline.inner));
    }
  }
}
