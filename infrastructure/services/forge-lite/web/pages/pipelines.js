// The pages of the pipelines: all projects, one project, one pipeline. Whatever comes from a job or
// a commit is text and only ever set as text.
"use strict";

const DATA = "/-/data";
const FINAL = ["success", "failed", "canceled", "crashed"];
const ICONS = {
  success: "✓", failed: "✗", crashed: "✗", canceled: "⊘", running: "▶", pending: "…",
  created: "…", skipped: "–", warning: "!",
};
const LOOK_MS = 1000;
const main = document.getElementById("main");

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function status(name) {
  const element = make("span", { className: "status" }, `${ICONS[name] || ""} ${name}`);
  element.dataset.status = name;
  return element;
}

function duration(item) {
  if (!item.started) return "";
  const seconds = (item.finished || Date.now() / 1000) - item.started;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

function when(seconds) {
  const date = new Date(seconds * 1000);
  return make("time", { dateTime: date.toISOString() }, date.toLocaleString());
}

function branch(ref) {
  return ref.split("/").slice(2).join("/");
}

function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

function title(text) {
  document.title = text;
  document.getElementById("title").textContent = text;
}

async function read(address) {
  const answer = await fetch(address, { cache: "no-cache" });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${answer.statusText}`);
  return answer.json();
}

function entry(pipeline) {
  return make("li", {},
    status(pipeline.status),
    make("span", { className: "grow" },
      make("a", { href: `/-/pipelines/${path(pipeline.project, pipeline.id)}` },
        `#${pipeline.id} ${pipeline.title}`)),
    make("span", { className: "quiet" },
      `${branch(pipeline.ref)} · ${pipeline.commit.slice(0, 8)} · ${pipeline.user} · `,
      when(pipeline.created), ` · ${duration(pipeline)}`));
}

function listOf(pipelines) {
  if (!pipelines.length) return make("p", { className: "quiet" }, "None yet: push a commit with a .gitlab-ci.yml.");
  return make("ul", { className: "list" }, ...pipelines.map(entry));
}

async function showAll() {
  title("Pipelines");
  const projects = (await read(`${DATA}/projects.json`)) || [];
  const lists = await Promise.all(projects.map((name) => read(`${DATA}/${path(name)}/index.json`)));
  main.replaceChildren(...projects.flatMap((name, index) => [
    make("h2", {}, make("a", { href: `/-/pipelines/${path(name)}` }, name)),
    listOf((lists[index] || []).slice(0, 5)),
  ]));
}

async function showProject(project) {
  title(`Pipelines of ${project}`);
  const pipelines = await read(`${DATA}/${path(project)}/index.json`);
  main.replaceChildren(
    make("p", {}, make("a", { href: `/${path(project)}` }, "Its repository")), listOf(pipelines || []));
}

// Adds to a log what has come since; terminal control sequences are left out.
class Log {
  constructor(address) {
    this.address = address;
    this.bytes = 0;
    this.text = make("pre", { tabIndex: 0, role: "log", ariaLabel: "Log" });
    this.decoder = new TextDecoder();
    this.pending = Promise.resolve();
  }

  // One at a time: two that start from the same byte would both add what follows.
  update() {
    this.pending = this.pending.catch(() => {}).then(() => this.more());
    return this.pending;
  }

  async more() {
    // With the last byte that is here, or a log that has not grown would be answered as an error.
    const from = Math.max(0, this.bytes - 1);
    const answer = await fetch(this.address, { headers: { Range: `bytes=${from}-` }, cache: "no-store" });
    if (answer.status !== 206 && answer.status !== 200) return;
    const whole = new Uint8Array(await answer.arrayBuffer());
    const data = whole.slice(answer.status === 200 ? this.bytes : this.bytes - from);
    this.bytes += data.length;
    const end = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 40;
    const added = this.decoder.decode(data, { stream: true })
      // eslint-disable-next-line no-control-regex
      .replace(/\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)/g, "");
    this.text.append(added);
    if (end) this.text.scrollTop = this.text.scrollHeight;
  }
}

class Jobs {
  constructor(base) {
    this.base = base;
    this.shown = new Map();
    this.element = make("div");
  }

  update(jobs) {
    for (const job of jobs) {
      if (!this.shown.has(job.log)) this.add(job);
      const shown = this.shown.get(job.log);
      shown.row.replaceChildren(status(job.status),
        make("span", { className: "grow" }, `${job.stage}: ${job.name}`),
        make("span", { className: "quiet" },
          [duration(job), job.exit ? `exit code ${job.exit}` : ""].filter(Boolean).join(" · ")));
      if (job.status === "running" || job.status === "failed") {
        if (shown.status !== job.status) shown.details.open = true;
      }
      shown.status = job.status;
      this.files(shown, job);
    }
    for (const [name, shown] of this.shown) {
      if (!jobs.some((job) => job.log === name)) {
        shown.details.remove();
        this.shown.delete(name);
      }
    }
  }

  add(job) {
    const address = `${this.base}/${job.log.split("/").map(encodeURIComponent).join("/")}`;
    const shown = { log: new Log(address), row: make("span", { className: "row" }), status: "" };
    shown.artifacts = make("div");
    shown.details = make("details", {}, make("summary", {}, shown.row),
      make("div", { className: "body" }, shown.artifacts, shown.log.text,
        make("p", {}, make("a", { href: address }, "Raw log"))));
    shown.details.addEventListener("toggle", () => shown.details.open && shown.log.update());
    this.shown.set(job.log, shown);
    this.element.append(shown.details);
  }

  files(shown, job) {
    if (!job.artifacts.length || shown.artifacts.childElementCount) return;
    const folder = job.log.split("/").pop().replace(/\.log$/, "");
    shown.artifacts.append(make("p", { className: "quiet" }, "Artifacts"),
      make("ul", { className: "files" }, ...job.artifacts.map((file) => {
        const href = `${this.base}/artifacts/${path(folder, ...file.path.split("/"))}`;
        const name = file.path.split("/").pop();
        return make("li", {}, make("a", { href }, file.path), ` (${size(file.size)}, `,
          make("a", { href, download: name, ariaLabel: `Download ${file.path}` }, "download"), ")");
      })));
  }

  logs() {
    return Promise.all([...this.shown.values()].filter((shown) => shown.details.open)
      .map((shown) => shown.log.update()));
  }
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;
}

async function showPipeline(project, id) {
  const base = `${DATA}/${path(project, id)}`;
  const head = make("section", { ariaLive: "polite" });
  const jobs = new Jobs(base);
  title(`Pipeline #${id} of ${project}`);
  let built = false;
  for (;;) {
    const pipeline = await read(`${base}/pipeline.json`);
    if (!pipeline) {
      main.replaceChildren(make("p", {}, built ? "This pipeline was deleted." : "There is no such pipeline yet; this page looks again."));
    } else {
      if (!built) main.replaceChildren(head, make("h2", {}, "Jobs"), jobs.element);
      built = true;
      describe(head, pipeline);
      jobs.update(pipeline.jobs);
      await jobs.logs();
      if (FINAL.includes(pipeline.status)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function describe(head, pipeline) {
  const images = Object.entries(pipeline.images);
  const rows = [
    ["Status", status(pipeline.status)],
    ...(pipeline.reason ? [["Reason", pipeline.reason]] : []),
    ["Took", duration(pipeline) || "it waits for its turn"],
    ["Started by", make("span", {}, `${pipeline.user}, `, when(pipeline.created))],
    ["Branch or tag", branch(pipeline.ref)],
    ["Commit", make("span", {},
      make("a", { href: `/${path(pipeline.project)}/commit/?id=${pipeline.commit}` }, pipeline.commit.slice(0, 12)),
      ` ${pipeline.message.split("\n")[0]}`)],
    ...images.map(([name, image]) => [name, make("code", {}, image)]),
    ["Project", make("a", { href: `/-/pipelines/${path(pipeline.project)}` }, pipeline.project)],
  ];
  head.replaceChildren(make("dl", {}, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])));
}

async function start() {
  const [project, id] = location.pathname.split("/").slice(3).filter(Boolean).map(decodeURIComponent);
  try {
    if (project && id) await showPipeline(project, id);
    else if (project) await showProject(project);
    else await showAll();
  } catch (error) {
    main.replaceChildren(make("p", { role: "alert" }, `This page can't be read: ${error.message}`));
  }
}

start();
