// One pipeline, live until its end.
import { ago, branchLink, command, commitLink, duration, FINAL, make, pipelinePage, read, reason, set, setStatus, time } from "./dom.js";
import { Jobs } from "./jobs.js";
import { readQueue } from "./queue.js";

const LOOK_MS = 1000;

export class PipelinePage {
  constructor(main, project, number) {
    this.main = main;
    this.project = project;
    this.number = number;
    this.built = false;
    document.title = `Pipeline #${number} · ${project}`;
    set(document.getElementById("title"), `Pipeline #${number}`);
    document.getElementById("places").append(make("a", { href: pipelinePage(project) }, project));
  }

  async look() {
    const pipeline = await read(this.project, this.number, "pipeline.json");
    if (!pipeline) {
      this.main.replaceChildren(make("p", { className: "note", role: "status" }, this.built
        ? "This pipeline was deleted: only the latest are kept. " : "There is no such pipeline yet; this page looks again. ",
      make("a", { href: pipelinePage(this.project) }, `Pipelines of ${this.project}`)));
      return this.built ? 0 : LOOK_MS;
    }
    if (!this.built) this.build(pipeline);
    this.update(pipeline);
    const ended = FINAL.includes(pipeline.status);
    this.jobs.update(pipeline.jobs, ended, ended ? null : await readQueue());
    await this.jobs.look();
    return ended ? 0 : LOOK_MS;
  }

  build(pipeline) {
    this.built = true;
    this.jobs = new Jobs(this.project, this.number);
    // Only the state is spoken when it changes; times would be spoken each second.
    this.status = make("span");
    this.took = make("span");
    this.when = make("span", { className: "quiet" });
    this.reason = make("p", { className: "reason" });
    this.commands = make("div", { className: "commands" });
    const [subject, ...body] = pipeline.message.split("\n");
    const author = pipeline.author ? ` by ${pipeline.author}` : "";
    const rows = [
      ["Commit", make("span", {}, commitLink(pipeline, 12), author)],
      ["Branch or tag", branchLink(pipeline)],
      ["Started by", make("span", {}, `${pipeline.user}, `, this.created(pipeline), this.when)],
      ["Repository", make("a", { href: `/${encodeURIComponent(pipeline.project)}/` }, pipeline.project)],
    ];
    this.results = [make("dt", { hidden: true }, "Results"), make("dd", { hidden: true })];
    const more = body.join("\n").trim();
    this.images = make("div");
    this.main.replaceChildren(
      make("p", { className: "state" }, make("span", { role: "status" }, this.status), this.took),
      make("p", { className: "subject" }, subject || "(no message)"),
      ...(more ? [make("details", { className: "plain" }, make("summary", {}, "Whole message"), make("p", { className: "message" }, more))] : []),
      this.reason,
      make("dl", {}, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]), ...this.results),
      this.jobs.element, this.commands, this.images);
  }

  created(pipeline) {
    const when = time(pipeline.created);
    set(when, when.title);
    return when;
  }

  update(pipeline) {
    setStatus(this.status, pipeline.status);
    document.title = `${pipeline.status} · Pipeline #${pipeline.id} · ${pipeline.project}`;
    const took = duration(pipeline);
    set(this.took, took || (FINAL.includes(pipeline.status) ? "" : "It waits for its turn."));
    set(this.when, ` (${ago(pipeline.created)})`);
    set(this.reason, reason(pipeline));
    this.reason.dataset.status = pipeline.status;
    this.reason.hidden = !pipeline.reason;
    this.link(pipeline.jobs.flatMap((job) => job.links || []));
    this.offer(pipeline);
    this.name(Object.entries(pipeline.images));
  }

  // Pages of other services that the jobs named: a run, and not also its experiment.
  link(addresses) {
    const shown = [...new Set(addresses)].filter((one) => !addresses.some((other) => other.startsWith(`${one}/`)));
    if (shown.join(" ") === this.shown) return;
    this.shown = shown.join(" ");
    const [name, value] = this.results;
    name.hidden = value.hidden = !shown.length;
    value.replaceChildren(...shown.map((address) => make("a", { href: address, className: "result" }, address.replace(/^https:\/\//, ""))));
  }

  // The pages only show; what changes something asks for the person's own key.
  offer(pipeline) {
    const verb = FINAL.includes(pipeline.status) ? "retry" : "cancel";
    if (this.verb === verb) return;
    this.verb = verb;
    const ssh = document.documentElement.dataset.ssh;
    this.commands.replaceChildren(make("h2", {}, "In a terminal"),
      command(verb === "retry" ? "Run it again" : "Cancel it", `${ssh} pipeline ${verb} ${pipeline.id}`),
      command("Its logs", `${ssh} pipeline logs ${pipeline.id}`));
  }

  name(images) {
    if (!images.length || this.images.childElementCount) return;
    this.images.append(make("details", { className: "plain" }, make("summary", {}, "Images of the environments"),
      make("dl", {}, ...images.flatMap(([name, image]) => [make("dt", {}, name), make("dd", {}, make("code", {}, image))]))));
  }
}
