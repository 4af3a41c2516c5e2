// The jobs of a pipeline: by stage at a glance, and each with its log and artifacts.
import { dataAddress, duration, make, set, setStatus, size, status } from "./dom.js";
import { Log } from "./log.js";
import { place } from "./queue.js";

// Of the log's file: `logs/1-train.log`.
function key(job) {
  return job.log.split("/").pop().replace(/\.log$/, "");
}

class Job {
  constructor(project, number, job) {
    this.key = key(job);
    this.place = [project, number];
    this.number = Number(number);
    this.seen = "";
    this.status = status(job.status);
    this.took = make("span", { className: "quiet" });
    this.host = make("span", { className: "quiet" });
    this.log = new Log(dataAddress(project, number, ...job.log.split("/")), job.name);
    this.artifacts = make("div");
    this.empty = make("p", { className: "quiet" });
    this.whole = make("p", { className: "quiet" }, make("a", { href: this.log.address }, "Whole log"));
    this.element = make("details", { id: this.key },
      make("summary", {}, make("span", { className: "row" }, this.status,
        make("span", { className: "grow" }, job.name),
        make("span", { className: "quiet" }, `stage ${job.stage}`), this.host, this.took)),
      make("div", { className: "body" }, this.empty, this.artifacts, this.log.element, this.whole));
    this.element.addEventListener("toggle", () => this.look().catch(() => {}));
    // In the overview of the stages.
    this.mark = status(job.status);
    this.entry = make("li", {}, make("a", { href: `#${this.key}` }, this.mark, make("span", { className: "name" }, job.name)));
  }

  update(job, queue) {
    this.job = job;
    set(this.host, job.host ? `host ${job.host}` : "");
    setStatus(this.status, job.status);
    setStatus(this.mark, job.status);
    set(this.took, [duration(job), job.exit ? `exit code ${job.exit}` : ""].filter(Boolean).join(" · "));
    set(this.empty, job.started ? "" : job.status === "skipped" ? "It was not started."
      : place(queue, this.number, job.name) || "It waits for its turn.");
    this.empty.hidden = Boolean(job.started);
    this.log.element.hidden = this.whole.hidden = !job.started;
    this.list(job.artifacts);
    const wanted = job.status === "running" || job.status === "failed";
    if (wanted && this.seen !== job.status) this.element.open = true;
    this.seen = job.status;
  }

  list(files) {
    if (!files.length || this.artifacts.childElementCount) return;
    this.artifacts.append(make("p", { className: "quiet" }, "Artifacts"),
      make("ul", { className: "files" }, ...files.map((file) => {
        const href = dataAddress(...this.place, "artifacts", this.key, ...file.path.split("/"));
        const name = file.path.split("/").pop();
        return make("li", {}, make("a", { href }, file.path), ` (${size(file.size)}, `,
          make("a", { href, download: name, ariaLabel: `Download ${file.path}` }, "download"), ")");
      })));
  }

  // What has come to the log since, where it is shown.
  async look() {
    if (this.element.open && this.job?.started) await this.log.update();
  }
}

export class Jobs {
  constructor(project, number) {
    this.place = [project, number];
    this.jobs = new Map();
    this.list = make("div");
    this.stages = make("ol", { className: "stages" });
    this.overview = make("nav", { ariaLabel: "Jobs by stage", hidden: true }, this.stages);
    this.none = make("p", { className: "note" });
    this.element = make("section", {}, this.overview, make("h2", {}, "Jobs"), this.none, this.list);
    addEventListener("hashchange", () => this.open());
  }

  update(jobs, ended, queue) {
    const names = jobs.map(key);
    if (names.join("/") !== [...this.jobs.keys()].join("/")) this.arrange(jobs);
    jobs.forEach((job) => this.jobs.get(key(job)).update(job, queue));
    this.none.hidden = jobs.length > 0;
    set(this.none, jobs.length ? "" : ended ? "No job ran." : "The jobs are not known yet.");
  }

  arrange(jobs) {
    const first = !this.jobs.size;
    const known = this.jobs;
    this.jobs = new Map(jobs.map((job) => [key(job), known.get(key(job)) || new Job(...this.place, job)]));
    for (const [name, job] of known) {
      if (!this.jobs.has(name)) job.element.remove();
    }
    [...this.jobs.values()].forEach((job, place) => {
      if (this.list.children[place] !== job.element) this.list.insertBefore(job.element, this.list.children[place] || null);
    });
    const stages = new Map();
    jobs.forEach((job) => stages.set(job.stage, [...(stages.get(job.stage) || []), this.jobs.get(key(job)).entry]));
    this.stages.replaceChildren(...[...stages].map(([stage, entries]) => make("li", {},
      make("span", { className: "stage" }, stage), make("ul", {}, ...entries))));
    this.overview.hidden = jobs.length < 2;
    if (first) this.open();
  }

  // The job that the address names is opened and shown: a link to a log can be passed on.
  open() {
    const job = this.jobs.get(decodeURIComponent(location.hash.slice(1)));
    if (!job) return;
    job.element.open = true;
    job.element.querySelector("summary").focus();
    job.element.scrollIntoView();
  }

  look() {
    return Promise.all([...this.jobs.values()].map((job) => job.look()));
  }
}
