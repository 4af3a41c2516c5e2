// Hosts with what runs there, and what waits in the order of its turns.
import { make, pipelinePage, read, set, spell } from "./dom.js";

const GONE = "gone";

function link(item) {
  const name = `#${item.pipeline}${item.job === undefined ? "" : ` ${item.job}`}`;
  return make("a", { href: pipelinePage(item.project, item.pipeline) }, name);
}

function row(item, ...more) {
  return make("li", {}, link(item), make("span", { className: "quiet" }, ` of ${item.user}, for ${spell(item.since)}`, ...more));
}

function host(one) {
  const gone = one.status !== "up";
  const state = gone ? `not there for ${spell(one.since)}: ${one.reason}` : `${one.running.length} of ${one.slots} slots busy`;
  return make("li", { className: gone ? GONE : "" },
    make("div", {}, make("b", {}, one.name), make("span", { className: "quiet" }, one.labels.length ? ` ${one.labels.join(", ")}` : "")),
    make("div", { className: gone ? "reason" : "quiet" }, state),
    make("ul", {}, ...one.running.map((job) => row(job))));
}

// The job's place among those that wait and what it waits for; nothing if it does not wait.
export function place(queue, number, name) {
  const index = (queue?.waiting || []).findIndex((job) => job.pipeline === number && job.job === name);
  return index < 0 ? "" : `It waits at place ${index + 1} for ${queue.waiting[index].for}.`;
}

export function readQueue() {
  return read("queue.json");
}

export class Queue {
  constructor() {
    this.hosts = make("ul", { className: "hosts" });
    this.waiting = make("ol", { className: "waiting" });
    this.title = make("h2", {}, "Waiting, in turn");
    this.element = make("section", { hidden: true }, make("h2", {}, "Hosts"), this.hosts, this.title, this.waiting);
  }

  // What is unchanged but for its times is made anew only when nobody is in it.
  update(queue) {
    this.element.hidden = !queue;
    if (!queue || this.element.contains(document.activeElement)) return;
    const { most, waiting } = queue.pipelines;
    const entries = [...queue.waiting.map((job) => row(job, `: ${job.for}`)),
      ...waiting.map((pipeline) => row(pipeline, `: ${most} pipelines are under way`))];
    this.hosts.replaceChildren(...queue.hosts.map(host));
    this.waiting.replaceChildren(...entries);
    this.title.hidden = this.waiting.hidden = !entries.length;
    set(this.title, `Waiting, in turn (${entries.length})`);
  }
}
