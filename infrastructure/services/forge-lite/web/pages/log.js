// A job's log, which grows while it is looked at.
import { make } from "./dom.js";

// As much as a browser shows at once without effort; the whole log is a link away.
const FIRST_BYTES = 524288;
const MOST_LINES = 5000;
const NEAR_PX = 40;
const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) /;
// eslint-disable-next-line no-control-regex
const ESCAPE = /\x1b(?:\[([0-9;?]*)([ -/]*[@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g;
const ADDRESS = /https?:\/\/[^\s<>"'`]*[^\s<>"'`.,;:!?)\]}]/g;
const times = new Map();

// The second of a line in the reader's own time; many lines share one.
function clock(stamp) {
  if (!times.has(stamp)) times.set(stamp, new Date(stamp).toLocaleTimeString("en-GB"));
  return times.get(stamp);
}

function linked(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(ADDRESS)) {
    parts.push(text.slice(from, found.index), make("a", { href: found[0], rel: "noreferrer" }, found[0]));
    from = found.index + found[0].length;
  }
  return [...parts, text.slice(from)].filter((part) => part !== "");
}

// Colours and bold as a terminal shows them; other control sequences are left out.
class Style {
  constructor() {
    this.clear();
  }

  clear() {
    this.bold = false;
    this.colour = null;
  }

  take(codes) {
    for (const code of (codes || "0").split(";").map(Number)) {
      if (code === 0) this.clear();
      else if (code === 1) this.bold = true;
      else if (code === 22) this.bold = false;
      else if (code >= 30 && code <= 37) this.colour = code - 30;
      else if (code >= 90 && code <= 97) this.colour = code - 90;
      else if (code === 39) this.colour = null;
      else if (code === 38 || code === 48) return;
    }
  }

  dress(text) {
    const parts = linked(text);
    if (!this.bold && this.colour === null) return parts;
    const names = [this.bold ? "bold" : "", this.colour === null ? "" : `colour-${this.colour}`];
    return [make("span", { className: names.filter(Boolean).join(" ") }, ...parts)];
  }
}

export class Log {
  constructor(address, name) {
    this.address = address;
    this.bytes = null;
    this.rest = "";
    this.decoder = new TextDecoder();
    this.style = new Style();
    this.pending = Promise.resolve();
    this.lines = make("pre", { tabIndex: 0, role: "region", ariaLabel: `Log of ${name}` });
    this.note = make("p", { className: "quiet", hidden: true }, "The beginning is left out here: the whole log has it.");
    this.element = make("div", {}, this.note, this.lines);
  }

  // One at a time: two that start from the same byte would both add what follows.
  update() {
    this.pending = this.pending.catch(() => {}).then(() => this.more());
    return this.pending;
  }

  async more() {
    // With the last byte that is here, or a log that has not grown would be answered as an error.
    const from = this.bytes === null ? `-${FIRST_BYTES}` : `${Math.max(0, this.bytes - 1)}-`;
    const answer = await fetch(this.address, {
      headers: { Range: `bytes=${from}` }, cache: "no-store", signal: AbortSignal.timeout(60000),
    });
    if (answer.status !== 206 && answer.status !== 200) {
      if (answer.status >= 500) throw new Error(`${answer.status} ${answer.statusText}`.trim());
      return;
    }
    const whole = new Uint8Array(await answer.arrayBuffer());
    const start = Number(/^bytes (\d+)-/.exec(answer.headers.get("Content-Range") || "")?.[1] ?? 0);
    const known = this.bytes ?? start;
    this.bytes = Math.max(known, start + whole.length);
    const text = this.rest + this.decoder.decode(whole.slice(known - start), { stream: true });
    const lines = text.split("\n");
    this.rest = lines.pop();
    if (known === start && start > 0) this.cut(lines);
    this.add(lines);
  }

  // The first piece of a long log begins in the middle of a line.
  cut(lines) {
    lines.shift();
    this.note.hidden = false;
  }

  add(lines) {
    if (!lines.length) return;
    const box = this.lines;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
    if (box.childElementCount + lines.length > MOST_LINES) this.note.hidden = false;
    box.append(...lines.slice(-MOST_LINES).map((line) => this.line(line)));
    while (box.childElementCount > MOST_LINES) box.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  line(text) {
    const stamp = STAMP.exec(text);
    const said = (stamp ? text.slice(stamp[0].length) : text).replace(/\r+$/, "").split("\r").pop();
    const line = make("span", { className: said.startsWith("$ ") ? "line asked" : "line" });
    const when = make("time", {}, stamp ? clock(stamp[1]) : "");
    if (stamp) when.dateTime = stamp[1];
    line.append(when);
    let from = 0;
    for (const found of said.matchAll(ESCAPE)) {
      line.append(...this.style.dress(said.slice(from, found.index)));
      if (found[2] === "m") this.style.take(found[1]);
      from = found.index + found[0].length;
    }
    line.append(...this.style.dress(said.slice(from)), "\n");
    return line;
  }
}
