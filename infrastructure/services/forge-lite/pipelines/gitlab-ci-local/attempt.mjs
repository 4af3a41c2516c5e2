// What gitlab-ci-local has not: a job's slot on a host that fits its `tags:`, and `retry:`.
// The pipeline's process gives the slots out (dap_pipelines/jobs.py says how it is asked).
import chalk from "chalk";
import fs from "node:fs";
import net from "node:net";
import readline from "node:readline";
import { Utils } from "gitlab-ci-local/src/utils.js";

const { FORGE_CACHE, FORGE_SLOTS, FORGE_CONTAINER } = process.env;
const SYSTEM_FAILURE = "runner_system_failure";
const SCRIPT_FAILURE = "script_failure";

class Line {
  constructor() {
    this.socket = net.connect(FORGE_SLOTS);
    this.socket.on("error", () => {});
    this.lines = readline.createInterface({ input: this.socket })[Symbol.asyncIterator]();
  }

  async ask(words) {
    this.socket.write(`${JSON.stringify(words)}\n`);
    const { value } = await this.lines.next();
    if (!value) throw new Error("the worker of the pipelines is gone");
    return JSON.parse(value);
  }

  close() {
    this.socket.destroy();
  }
}

function asked(job) {
  const variables = Utils.expandVariables(job._variables);
  const tags = [job.jobData.tags ?? []].flat().map((tag) => Utils.expandText(String(tag), variables));
  return { job: job.name, tags };
}

// Refuses the pipeline before its first job, where no host will ever fit one.
export async function plan(jobs) {
  const line = new Line();
  const { refused } = await line.ask({ jobs: jobs.filter((job) => !job.trigger).map(asked) });
  line.close();
  if (refused) throw new Error(refused);
}

// Of a program that failed: what it said, without its command line.
function said(error) {
  return (error.stderr || error.shortMessage || error.message || String(error)).trim().split("\n").slice(-10);
}

// Starts a job on the host that it got; returns the kind of its failure, if it failed.
async function once(job, line, slot) {
  const folder = `${FORGE_CACHE}/${slot.host}`;
  const program = `${folder}/${slot.number}`;
  fs.mkdirSync(folder, { recursive: true });
  fs.symlinkSync(FORGE_CONTAINER, program);
  job.argv = Object.create(job.argv, {
    containerExecutable: { value: program, configurable: true },
    helperImage: { value: slot.helper, configurable: true },
  });
  let failure = null;
  let ended = false;
  try {
    await job.start();
    ended = true;
  } catch (error) {
    failure = error;
  }
  const { lost } = await line.ask({ end: true });
  if (ended && !lost) return job.preScriptsExitCode ? SCRIPT_FAILURE : null;
  const told = job.preScriptsExitCode > 0;
  clearTimeout(job._longRunningSilentTimeout);
  job._running = false;
  job._prescriptsExitCode ||= 1;
  job._endTime ??= process.hrtime(job._startTime);
  if (failure && !lost) {
    for (const text of said(failure)) job.writeStreams.stderr(`${job.formattedJobName} > ${text}\n`);
  }
  if (!told) job.printExitedString(job.preScriptsExitCode);
  return SYSTEM_FAILURE;
}

// As on GitLab: `when` names kinds of failures, `exit_codes` ends of the script; without both, any.
function retries(retry, kind, code) {
  const { when, exit_codes: codes } = typeof retry === "object" && retry ? retry : {};
  const kinds = [when ?? (codes === undefined ? "always" : [])].flat();
  return kinds.includes("always") || kinds.includes(kind) || [codes ?? []].flat().includes(code);
}

export async function attempt(job) {
  if (job.trigger) return job.start();
  const retry = job.jobData.retry;
  const most = 1 + Number((typeof retry === "object" ? retry?.max ?? 2 : retry) ?? 0);
  for (let number = 1; ; number += 1) {
    const line = new Line();
    try {
      const slot = await line.ask(asked(job));
      if (slot.refused) throw new Error(slot.refused);
      const kind = await once(job, line, slot);
      if (!kind || number >= most || !retries(retry, kind, job.preScriptsExitCode)) return;
    } finally {
      line.close();
    }
    job.writeStreams.stdout(chalk`${job.formattedJobName} {magentaBright again}: attempt ${number + 1} of ${most}\n`);
    Object.assign(job, {
      _prescriptsExitCode: null, _afterScriptsExitCode: 0, _coveragePercent: null, _endTime: undefined,
      _containerId: null, _serviceNetworkId: null, _containersToClean: [], _containerVolumeNames: [],
    });
  }
}
