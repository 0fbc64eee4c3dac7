// Markdown as a tree, and never as HTML. What models write: headings, lists, tables, code, quotes, emphasis, links.

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "break" }
  | { kind: "strong" | "em" | "del"; inner: Inline[] }
  | { kind: "link"; href: string; inner: Inline[] }
  | { kind: "citation"; number: number };

/** `start` is the place of the block in the parsed text, for blocks that stand in no other. */
export type Block = { source: string; start: number } & (
  | { kind: "heading"; level: number; inner: Inline[] }
  | { kind: "paragraph"; inner: Inline[] }
  | { kind: "code"; text: string; language: string }
  | { kind: "quote"; inner: Block[] }
  | { kind: "list"; ordered: boolean; number: number; items: Block[][] }
  | { kind: "table"; head: Inline[][]; rows: Inline[][][] }
  | { kind: "rule" }
);

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*?))?\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(?:\s+(.*))?$/;
const QUOTE = /^ {0,3}>\s?/;
const TABLE_RULE = /^\s*\|?(?:\s*:?-+:?\s*\|)+\s*(?::?-+:?\s*)?\|?\s*$/;
const DEEPEST = 12;
const MOST_TRIES = 32;

/** Line ends are `\n`; the `\r` before one counts as white space. */
export function parse(text: string): Block[] {
  return blocks(text.split("\n"), 0);
}

function blocks(lines: string[], depth: number): Block[] {
  const result: Block[] = [];
  let at = 0;
  let offset = 0;
  let counted = 0;
  while (at < lines.length) {
    const line = lines[at]!;
    if (line.trim() === "") {
      at += 1;
      continue;
    }
    for (; counted < at; counted += 1) offset += lines[counted]!.length + 1;
    const first = at;
    const start = offset;
    const take = (): string => lines.slice(first, at).join("\n");
    let match: RegExpExecArray | null;
    if ((match = FENCE.exec(line))) {
      const fence = match[1]!;
      const body: string[] = [];
      for (at += 1; at < lines.length && !closes(lines[at]!, fence); at += 1) body.push(lines[at]!);
      at += 1;
      result.push({ kind: "code", text: body.join("\n"), language: match[2] ?? "", source: take(), start });
    } else if ((match = HEADING.exec(line))) {
      at += 1;
      result.push({ kind: "heading", level: match[1]!.length, inner: inlines(match[2] ?? ""), source: take(), start });
    } else if (RULE.test(line)) {
      at += 1;
      result.push({ kind: "rule", source: take(), start });
    } else if (depth < DEEPEST && QUOTE.test(line)) {
      while (at < lines.length && QUOTE.test(lines[at]!)) at += 1;
      const inner = lines.slice(first, at).map((quoted) => quoted.replace(QUOTE, ""));
      result.push({ kind: "quote", inner: blocks(inner, depth + 1), source: take(), start });
    } else if (depth < DEEPEST && ITEM.test(line)) {
      const [items, ordered, number, end] = list(lines, at, depth);
      at = end;
      result.push({ kind: "list", ordered, number, items, source: take(), start });
    } else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")) {
      for (at += 2; at < lines.length && lines[at]!.includes("|"); ) at += 1;
      const rows = lines.slice(first + 2, at).map((row) => cells(row).map(inlines));
      result.push({ kind: "table", head: cells(line).map(inlines), rows, source: take(), start });
    } else {
      for (at += 1; at < lines.length && continues(lines[at]!); ) at += 1;
      result.push({ kind: "paragraph", inner: inlines(take().trim()), source: take(), start });
    }
  }
  return result;
}

function closes(line: string, fence: string): boolean {
  const end = line.trim();
  return end.length >= fence.length && end === fence[0]!.repeat(end.length);
}

function continues(line: string): boolean {
  const item = ITEM.exec(line);
  // Only a list that starts at 1 interrupts a paragraph, so that a line may begin with a year.
  const interrupts = item !== null && item[3] !== undefined && (!/\d/.test(item[2]!) || item[2]!.startsWith("1"));
  return line.trim() !== "" && !interrupts && ![FENCE, HEADING, RULE, QUOTE].some((other) => other.test(line));
}

function list(lines: string[], from: number, depth: number): [Block[][], boolean, number, number] {
  const first = ITEM.exec(lines[from]!)!;
  const ordered = /\d/.test(first[2]!);
  const indent = first[1]!.length;
  const items: string[][] = [];
  let at = from;
  while (at < lines.length) {
    const line = lines[at]!;
    const item = ITEM.exec(line);
    const here = line.search(/\S/);
    if (item && here <= indent + 1 && here >= indent - 1 && !RULE.test(line)) {
      if (/\d/.test(item[2]!) !== ordered) break;
      items.push([item[3] ?? ""]);
    } else if (here < 0) {
      const next = lines.slice(at + 1).find((later) => later.trim() !== "");
      if (next === undefined || (next.search(/\S/) <= indent && !ITEM.test(next))) break;
      items.at(-1)!.push("");
    } else if (here > indent) {
      items.at(-1)!.push(line.slice(Math.min(here, indent + first[2]!.length + 1)));
    } else if (!continues(line) || items.at(-1)!.at(-1) === "") {
      break;
    } else {
      items.at(-1)!.push(line);
    }
    at += 1;
  }
  return [items.map((item) => blocks(item, depth + 1)), ordered, ordered ? parseInt(first[2]!, 10) : 1, at];
}

function cells(row: string): string[] {
  const inner = row.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

const SPECIAL = /[\\`*_~[!\nh<]/g;
const ESCAPED = /[!-/:-@[-`{-~]/;
const ADDRESS = /^https?:\/\/[^\s<>"`]+/;

function inlines(text: string): Inline[] {
  return new Scanner(text).scan();
}

/** Reads a line from left to right; what closes nowhere is looked for once, so that time grows with length only. */
class Scanner {
  private readonly absent = new Set<string>();

  constructor(
    private readonly text: string,
    private readonly depth = 0,
  ) {}

  scan(): Inline[] {
    const { text } = this;
    const result: Inline[] = [];
    let plain = "";
    let at = 0;
    while (at < text.length) {
      SPECIAL.lastIndex = at;
      const next = SPECIAL.exec(text)?.index ?? text.length;
      plain += text.slice(at, next);
      at = next;
      if (at >= text.length) break;
      const [found, end] = (this.depth < DEEPEST && this.special(at)) || [text[at]!, at + 1];
      at = end;
      if (typeof found === "string") {
        plain += found;
      } else {
        if (plain) result.push({ kind: "text", text: plain });
        plain = "";
        result.push(found);
      }
    }
    if (plain) result.push({ kind: "text", text: plain });
    return result;
  }

  private special(at: number): [Inline | string, number] | undefined {
    const { text } = this;
    switch (text[at]) {
      case "\\":
        return ESCAPED.test(text[at + 1] ?? "") ? [text[at + 1]!, at + 2] : undefined;
      case "\n":
        return text.slice(Math.max(0, at - 2), at) === "  " ? [{ kind: "break" }, at + 1] : undefined;
      case "`":
        return this.code(at);
      case "h":
        return this.address(at);
      case "<":
        return this.bracketed(at);
      case "!":
        // Pictures of other hosts are not loaded; their words are shown.
        return text[at + 1] === "[" ? this.link(at + 1) : undefined;
      case "[":
        return this.link(at);
      default:
        return this.emphasis(at);
    }
  }

  private code(at: number): [Inline, number] | undefined {
    const ticks = /^`+/.exec(this.text.slice(at, at + 16))![0];
    const end = this.find(ticks, at + ticks.length);
    if (end < 0) return undefined;
    const inner = this.text.slice(at + ticks.length, end);
    return [{ kind: "code", text: /^ .*\S.* $/.test(inner) ? inner.slice(1, -1) : inner }, end + ticks.length];
  }

  private emphasis(at: number): [Inline, number] | undefined {
    const { text } = this;
    const mark = text[at]!;
    const double = text[at + 1] === mark;
    if (mark === "~" && !double) return undefined;
    const fence = double ? mark + mark : mark;
    const start = at + fence.length;
    // A mark before a space opens nothing, and `_` within a word is part of it.
    if (/\s|^$/.test(text[start] ?? "") || (mark === "_" && /\w/.test(text[at - 1] ?? ""))) return undefined;
    let end = this.find(fence, start + 1);
    for (let tries = 0; end > 0 && !this.closesEmphasis(mark, fence, end); tries += 1) {
      end = tries < MOST_TRIES ? this.find(fence, end + (text[end + 1] === mark ? 2 : 1)) : -1;
    }
    if (end < 0) return undefined;
    const inner = new Scanner(text.slice(start, end), this.depth + 1).scan();
    return [{ kind: mark === "~" ? "del" : double ? "strong" : "em", inner }, end + fence.length];
  }

  private closesEmphasis(mark: string, fence: string, at: number): boolean {
    const after = this.text[at + fence.length] ?? "";
    if (/\s/.test(this.text[at - 1]!)) return false;
    return mark === "_" ? !/\w/.test(after) : fence.length === 2 || after !== mark;
  }

  private link(at: number): [Inline | string, number] | undefined {
    const { text } = this;
    const end = this.find("]", at + 1);
    if (end < 0) return undefined;
    const label = text.slice(at + 1, end);
    if (text[end + 1] !== "(") {
      return /^\d{1,4}$/.test(label) ? [{ kind: "citation", number: Number(label) }, end + 1] : undefined;
    }
    const close = this.find(")", end + 2);
    if (close < 0) return undefined;
    const inner = new Scanner(label, this.depth + 1).scan();
    const href = safeAddress(text.slice(end + 2, close).trim().split(/\s+/)[0] ?? "");
    return href ? [{ kind: "link", href, inner }, close + 1] : [label, close + 1];
  }

  private address(at: number): [Inline, number] | undefined {
    if (!this.text.startsWith("http", at)) return undefined;
    const found = ADDRESS.exec(this.text.slice(at, at + 2048))?.[0].replace(/[.,;:!?'")\]]+$/, "");
    const href = found ? safeAddress(found) : "";
    return found && href ? [{ kind: "link", href, inner: [{ kind: "text", text: found }] }, at + found.length] : undefined;
  }

  private bracketed(at: number): [Inline, number] | undefined {
    const end = this.find(">", at + 1);
    const inner = end < 0 ? "" : this.text.slice(at + 1, end);
    const href = /^https?:\/\/\S+$/.test(inner) ? safeAddress(inner) : "";
    return href ? [{ kind: "link", href, inner: [{ kind: "text", text: inner }] }, end + 1] : undefined;
  }

  private find(what: string, from: number): number {
    if (this.absent.has(what)) return -1;
    const found = this.text.indexOf(what, from);
    if (found < 0) this.absent.add(what);
    return found;
  }
}

/** The address if it leads to a page or a mailbox; empty if it could run something. */
function safeAddress(text: string): string {
  if (!URL.canParse(text)) return "";
  const url = new URL(text);
  return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : "";
}
