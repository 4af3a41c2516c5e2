// Lists of pipelines, which follow what happens.
import { ago, branchLink, commitLink, duration, FINAL, make, pipelinePage, read, reason, set, setStatus, status, time } from "./dom.js";
import { Queue, readQueue } from "./queue.js";

const BUSY_MS = 1000;
const IDLE_MS = 5000;
const FEW = 5;

class Row {
  constructor(pipeline) {
    this.status = status(pipeline.status);
    this.took = make("span");
    this.when = time(pipeline.created);
    this.reason = make("span", { className: "reason" });
    const by = pipeline.author && pipeline.author !== pipeline.user ? `${pipeline.user}, commit of ${pipeline.author}` : pipeline.user;
    this.element = make("li", {}, this.status,
      make("div", { className: "grow" },
        make("a", { className: "title", href: pipelinePage(pipeline.project, pipeline.id) }, pipeline.title || "(no message)"),
        make("div", { className: "quiet" }, `#${pipeline.id} · `, branchLink(pipeline), " · ", commitLink(pipeline), ` · ${by}`),
        this.reason),
      make("div", { className: "quiet times" }, this.took, this.when));
  }

  update(pipeline) {
    setStatus(this.status, pipeline.status);
    set(this.took, duration(pipeline));
    set(this.when, ago(pipeline.created));
    set(this.reason, reason(pipeline));
    this.reason.dataset.status = pipeline.status;
  }
}

class List {
  constructor(empty) {
    this.rows = new Map();
    this.list = make("ul", { className: "list" });
    this.element = make("div", {}, empty);
    this.empty = empty;
  }

  update(pipelines) {
    const shown = pipelines.length ? this.list : this.empty;
    if (this.element.firstChild !== shown) this.element.replaceChildren(shown);
    pipelines.forEach((pipeline, place) => {
      if (!this.rows.has(pipeline.id)) this.rows.set(pipeline.id, new Row(pipeline));
      const row = this.rows.get(pipeline.id);
      row.update(pipeline);
      if (this.list.children[place] !== row.element) this.list.insertBefore(row.element, this.list.children[place] || null);
    });
    const kept = new Set(pipelines.map((pipeline) => pipeline.id));
    for (const [id, row] of this.rows) {
      if (kept.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
  }
}

function none(project) {
  return make("p", { className: "note" }, "No pipeline yet. A push of a commit that has a ",
    make("code", {}, ".gitlab-ci.yml"), " starts one: ",
    make("code", { className: "block" }, `git clone ${document.documentElement.dataset.clone}${project}`));
}

function pace(pipelines) {
  return pipelines.every((pipeline) => FINAL.includes(pipeline.status)) ? IDLE_MS : BUSY_MS;
}

export class AllPage {
  constructor(main) {
    this.main = main;
    this.lists = new Map();
    this.queue = new Queue();
  }

  async look() {
    const [projects, queue] = await Promise.all([read("projects.json").then((found) => found || []), readQueue()]);
    const found = await Promise.all(projects.map((name) => read(name, "index.json")));
    if (projects.join() !== [...this.lists.keys()].join() || !projects.length) this.build(projects);
    const shown = found.map((pipelines) => (pipelines || []).slice(0, FEW));
    projects.forEach((name, place) => this.lists.get(name).update(shown[place]));
    this.queue.update(queue);
    return pace(shown.flat());
  }

  build(projects) {
    this.lists = new Map(projects.map((name) => [name, new List(none(name))]));
    this.main.replaceChildren(...projects.map((name) => make("section", {},
      make("div", { className: "bar" },
        make("h2", {}, make("a", { href: pipelinePage(name) }, name)),
        make("a", { href: `/${encodeURIComponent(name)}/`, ariaLabel: `Repository ${name}` }, "Repository")),
      this.lists.get(name).element)), this.queue.element);
    if (!projects.length) {
      this.main.replaceChildren(make("p", { className: "note" }, "There is no project yet: the operator adds one to ",
        make("code", {}, "projects"), " in ", make("code", {}, "platform.yml"), "."));
    }
  }
}

export class ProjectPage {
  constructor(main, project) {
    this.main = main;
    this.project = project;
    document.title = `${project} · Pipelines`;
    set(document.getElementById("title"), `Pipelines of ${project}`);
  }

  async look() {
    const [projects, pipelines] = await Promise.all([read("projects.json"), read(this.project, "index.json")]);
    if (!pipelines && !(projects || []).includes(this.project)) {
      this.main.replaceChildren(make("p", { className: "note" }, `There is no project “${this.project}”. `,
        make("a", { href: "/-/pipelines/" }, "All pipelines")));
      return 0;
    }
    if (!this.list) {
      this.list = new List(none(this.project));
      this.main.replaceChildren(
        make("p", { className: "links" }, make("a", { href: `/${encodeURIComponent(this.project)}/` }, "Repository")),
        this.list.element);
    }
    this.list.update(pipelines || []);
    return pace(pipelines || []);
  }
}
