// What all pages are made with. Whatever comes from a job or a commit is only ever set as text.

export const FINAL = ["success", "failed", "canceled", "crashed"];
const ICONS = {
  success: "✓", failed: "✗", crashed: "✗", canceled: "⊘", running: "", pending: "…",
  created: "…", skipped: "–", warning: "!",
};

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// What is unchanged stays untouched: no flicker, and who has the focus or a selection there keeps it.
export function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setStatus(element, name) {
  if (element.dataset.status === name) return element;
  element.className = "status";
  element.dataset.status = name;
  const icon = make("span", { className: "icon" }, ICONS[name] ?? "");
  icon.setAttribute("aria-hidden", "true");
  element.replaceChildren(icon, name);
  return element;
}

export function status(name) {
  return setStatus(make("span"), name);
}

export function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

export function pipelinePage(project, ...number) {
  return `/-/pipelines/${path(project, ...number)}`;
}

export function commitLink(pipeline, length = 8) {
  const href = `/${path(pipeline.project)}/commit/?id=${encodeURIComponent(pipeline.commit)}`;
  return make("a", { href, className: "commit" }, pipeline.commit.slice(0, length));
}

export function branchLink(pipeline) {
  const name = pipeline.ref.split("/").slice(2).join("/");
  return make("a", { href: `/${path(pipeline.project)}/log/?h=${encodeURIComponent(name)}` }, name);
}

// Who canceled it comes as `by NAME`.
export function reason(pipeline) {
  return (pipeline.reason || "").replace(/^by /, "canceled by ");
}

export function duration(item) {
  return item.started ? spell(item.started, item.finished) : "";
}

// The time that has passed since then, or until then.
export function spell(since, until) {
  const seconds = Math.max(0, (until || Date.now() / 1000) - since);
  if (seconds < 60) return until ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function ago(seconds) {
  const passed = Date.now() / 1000 - seconds;
  if (passed < 60) return "just now";
  if (passed < 3600) return AGO.format(-Math.floor(passed / 60), "minute");
  if (passed < 86400) return AGO.format(-Math.floor(passed / 3600), "hour");
  return AGO.format(-Math.floor(passed / 86400), "day");
}

export function time(seconds) {
  const date = new Date(seconds * 1000);
  return make("time", { dateTime: date.toISOString(), title: date.toLocaleString() });
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;
}

const DATA = "/-/data";

export function dataAddress(...parts) {
  return `${DATA}/${path(...parts)}`;
}

// Nothing is kept without being asked for again, so that an unchanged file is answered without its content.
export async function read(...parts) {
  const answer = await fetch(dataAddress(...parts), { cache: "no-cache", signal: AbortSignal.timeout(20000) });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`.trim());
  return answer.json();
}

// A command to copy; the button is there where the browser can copy.
export function command(label, text) {
  const code = make("code", {}, text);
  const line = make("div", { className: "command" }, make("span", { className: "quiet" }, label), code);
  if (navigator.clipboard) {
    const button = make("button", { type: "button", ariaLabel: `Copy: ${label}` }, "Copy");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      set(button, "Copied");
      setTimeout(() => set(button, "Copy"), 1500);
    });
    line.append(button);
  }
  return line;
}
