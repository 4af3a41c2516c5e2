"""Runs one pipeline: checkout, gitlab-ci-local behind its gateway, logs, state, clearing away."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import IO, cast

import yaml

from dap_pipelines import artifacts, checkout, engine, environments, output, variables
from dap_pipelines.engine import Engine
from dap_pipelines.jobs import Jobs
from dap_pipelines.mask import Lines, Mask
from dap_pipelines.ownership import as_user, end_user, kill_all, remove
from dap_pipelines.policy import Policy
from dap_pipelines.state import Job, Pipeline, load, prune, slug
from dap_pipelines.values import (
    FIRST_UID,
    RUN,
    WORK,
    Given,
    Host,
    JobLimits,
    Project,
    Size,
    Values,
    read_secrets,
)

STATE_DIR = ".gitlab-ci-local"
PROGRAM = "/opt/gitlab-ci-local/gitlab-ci-local.cjs"
CONTAINER = "/opt/pipelines/container"
# By such a name attempt.mjs has it called for a job.
WRAPPER = re.compile(rf"{RUN}/[0-9]+/\S+ ")
# Less is not worth a line to who follows a push.
PATIENCE_SECONDS = 1
ASK_SECONDS = 10
BLOCK = 65536
LINKS = 20
KILLED = 137


class StoppedError(Exception):
    """The pipeline was ended from outside: how, and why."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@contextlib.contextmanager
def account(pipeline: Pipeline) -> Iterator[int]:
    """Hold a user id that no other pipeline has meanwhile."""
    for number in count():
        lock = os.open(RUN / f"account-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        uid = FIRST_UID + number
        (RUN / f"uid-{pipeline.id}").write_text(str(uid))
        try:
            end_user(uid)
            yield uid
        finally:
            end_user(uid)
            (RUN / f"uid-{pipeline.id}").unlink()
            os.close(lock)
        return


def clear(pipeline: Pipeline, values: Values, engines: Iterable[Engine]) -> None:
    """Remove all that a pipeline leaves, on these engines, but its state, logs and artifacts."""
    asyncio.run(engine.clear(engines, engine.labels(values.platform, pipeline.id)))
    for path in (WORK / str(pipeline.id), RUN / str(pipeline.id)):
        remove(path)
    for path in RUN.glob(f"{pipeline.id}-*.sock"):
        path.unlink()
    for name in (f"{pipeline.id}.sock", f"pid-{pipeline.id}", f"cancel-{pipeline.id}"):
        (RUN / name).unlink(missing_ok=True)


def run(project: str, number: int, values: Values) -> None:
    """Run a pipeline that waits; afterwards its state is final and nothing else of it is left."""
    pipeline = load(project, number)
    if pipeline.status != "pending":
        return

    def stop(*_: object) -> None:
        raise canceled(number)

    signal.signal(signal.SIGTERM, stop)
    runner = Runner(pipeline, values, read_secrets())
    status, reason = "crashed", ""
    try:
        (RUN / f"pid-{number}").write_text(str(os.getpid()))
        if (RUN / f"cancel-{number}").exists():
            raise canceled(number)
        with account(pipeline) as uid:
            try:
                status = asyncio.run(runner.run(uid))
            finally:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                kill_all(uid)
                reason = runner.keep_artifacts()
    except StoppedError as stopped:
        status, reason = stopped.status, stopped.reason
    except (checkout.CheckoutError, engine.EngineError, OSError) as error:
        reason = str(error)[:500]
    finally:
        clear(pipeline, values, runner.engines)
        runner.close()
        pipeline.end(status, reason or runner.reason)
        prune(project, values.keep)


def canceled(number: int) -> StoppedError:
    """Return the end of a pipeline that someone canceled."""
    mark = RUN / f"cancel-{number}"
    return StoppedError("canceled", f"by {mark.read_text()}" if mark.exists() else "")


class Runner:
    """One pipeline under way."""

    def __init__(self, pipeline: Pipeline, values: Values, given: Given) -> None:
        self.pipeline = pipeline
        self.values = values
        self.given = given
        self.project = given.projects.get(pipeline.project, Project())
        self.may_build = environments.may_build(pipeline, values)
        secrets = [given.lock["key"]] if self.may_build else []
        self.mask = Mask([*self.project.mask, *secrets])
        self.reason = ""
        self._jobs: dict[str, Job] = {}
        self._conditional: set[str] = set()
        self._logs: dict[str, IO[bytes]] = {}
        self._written: dict[str, int] = {}
        self._reader: output.Reader | None = None
        self._work = WORK / str(pipeline.id)
        self._other: list[str] = []
        self._killed: dict[str, str] = {}
        self._limits: dict[str, JobLimits] = {}  # by host
        self._refused = ""
        self._hosts: dict[str, str] = {}
        self._labels: dict[str, list[str]] = {}
        self._waits: dict[str, asyncio.TimerHandle] = {}
        self._served: Jobs | None = None
        self._stop: StoppedError | None = None
        self._uid = -1
        self._shortened = 0.0

    async def run(self, uid: int) -> str:
        """Return the final status.

        Raises:
            StoppedError: it was canceled or took too long.
        """
        task = cast("asyncio.Task[str]", asyncio.current_task())

        def stop() -> None:
            self._stop = canceled(self.pipeline.id)
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        try:
            async with asyncio.timeout(self.values.timeout_seconds):
                return await self._run(uid)
        except TimeoutError:
            hours = self.values.timeout_seconds / 3600
            raise StoppedError("failed", f"longer than the limit of {hours:g} h") from None
        except asyncio.CancelledError:
            raise self._stop or StoppedError("canceled", "") from None

    async def _run(self, uid: int) -> str:
        pipeline, values = self.pipeline, self.values
        self._uid = uid
        source, home = self._work / "source", self._work / "home"
        run = RUN / str(pipeline.id)
        # For the pipeline's user, and for root's group to start processes there.
        for path in (self._work, source, home, run):
            path.mkdir(mode=0o750)
        (home / STATE_DIR).mkdir()
        deployed = await environments.deployed(values, self.given)
        try:
            locked = await asyncio.to_thread(environments.locked, pipeline, values, uid)
        except environments.LockError as error:
            raise StoppedError("failed", str(error)) from error
        images = {**deployed, **locked}
        files = dict(self.project.files)
        if self.may_build:
            files |= await environments.files(values, self.given, deployed)
        # Docker's client logs in to the registry with it.
        login = home / "config.json"
        login.touch(mode=0o600)
        login.write_text(files.get("REGISTRY_AUTH_FILE", "{}"))
        pipeline.images = {variables.image_variable(name): ref for name, ref in images.items()}
        plain = {**variables.predefined(pipeline, values, images), **pipeline.variables}
        project = replace(self.project, files=files)
        variables.write(home / STATE_DIR / "variables.yml", plain, project, self.mask)
        (source / STATE_DIR).mkdir(mode=0o755)
        # gitlab-ci-local's own copy of the output is not masked: it stays in memory.
        (run / "output").mkdir(mode=0o700)
        (source / STATE_DIR / "output").symlink_to(run / "output")
        # The innermost first: what is given away can't be entered any more.
        for path in (
            login,
            home / STATE_DIR / "variables.yml",
            home / STATE_DIR,
            home,
            source / STATE_DIR,
            source,
            self._work,
            run / "output",
            run,
        ):
            os.chown(path, uid, 0)
        await asyncio.to_thread(checkout.check_out, pipeline, values, source, home, uid)

        def policy(labels: dict[str, str], host: Host, size: Size) -> Policy:
            builder = environments.builder(values, images, host) if self.may_build else None
            self._limits[host.name] = values.limits(host, size)
            return Policy(labels, values.network, self._limits[host.name], builder)

        self._served = Jobs(pipeline, values, self, policy)
        await self._served.start(RUN / f"{pipeline.id}.sock", uid)
        try:
            image = images.get("base") or values.default_image
            code = await self._execute(uid, source, home, run, image)
        finally:
            await self._served.close()
        return self._verdict(code)

    async def _execute(self, uid: int, source: Path, home: Path, run: Path, image: str) -> int:
        process = await asyncio.create_subprocess_exec(
            "node",
            PROGRAM,
            "--no-umask",
            "--home",
            str(home),
            "--max-job-name-padding",
            "0",
            "--pull-policy",
            "if-not-present",
            "--no-artifacts-to-source",
            "--no-shell-executor-no-image",
            "--default-image",
            image,
            # What a job leaves on its host goes when its slot is given back.
            "--no-cleanup",
            *([self.pipeline.job] if self.pipeline.job else []),
            cwd=source,
            user=uid,
            group=uid,
            extra_groups=[],
            umask=0o077,
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(home),
                "FORCE_COLOR": "0",
                "DOCKER_API_VERSION": engine.API.lstrip("v"),
                "DOCKER_CONFIG": str(home),
                "FORGE_CACHE": str(run),
                "FORGE_CONTAINER": CONTAINER,
                "FORGE_SLOTS": f"{run}.sock",
                "LANG": "C.UTF-8",
                "TZ": "UTC",
            },
        )
        lines = Lines(self.mask)
        continues = False
        stdout = cast("asyncio.StreamReader", process.stdout)
        while block := await stdout.read(BLOCK):
            for line, complete in lines.feed(block):
                await self._take(line, continues)
                continues = not complete
            self._flush()
        for line, _ in lines.close():
            await self._take(line, continues)
        self._flush()
        return await process.wait()

    async def _take(self, line: bytes, continues: bool) -> None:
        text = line.decode("utf-8", errors="replace").rstrip("\r")
        event = self._events().read(text, continues)
        if event is None:
            if text.strip() and len(self._other) < 200:
                self._other.append(text)
            return
        now = time.time()
        if event.kind == "starting":
            job = self._job(event.job, event.stage)
            job.status, job.started, job.finished = "running", now, None
            job.image, job.host, job.exit = event.image, self._hosts.get(event.job, ""), None
            self._killed.pop(job.name, None)
            self._log(job, f"image {event.image}, host {job.host}")
            where = f" on {job.host}" if len(self.values.engines) > 1 else ""
            self.pipeline.say(f"{job.name}: running{where}")
            self.pipeline.save()
            return
        job = self._jobs[event.job]
        if event.kind == "finished":
            job.status, job.exit, job.finished = event.how, event.exit, now
            code = f", exit code {event.exit}" if event.exit else ""
            if job.name in self._killed:
                code += f", {self._killed[job.name]}"
            elif event.exit == KILLED:
                code += await self._why_killed(job)
            took = now - (job.started or now)
            self.pipeline.say(f"{job.name}: {event.how} in {took:.1f} s{code}")
            self._log(job, f"{event.how} in {took:.1f} s{code}")
            self.pipeline.save()
        else:
            # The mark stays in the middle of a line where the output before had no line end.
            text = event.text.replace("<gclShellPromptPlaceholder>", " $")
            self._log(job, WRAPPER.sub("", text) if event.kind == "note" else text)
            for link in output.links(text, self.values.url):
                if link not in job.links and len(job.links) < LINKS:
                    job.links.append(link)

    async def _why_killed(self, job: Job) -> str:
        """Return what is known of the end of a job that was killed, for its log and the page."""
        served = self._served
        if served is None or job.host not in served.engines:
            return ""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                short = await served.engines[job.host].out_of_memory(self._labels[job.name])
        except (engine.EngineError, OSError):
            return ""
        if not short:
            return ""
        self._killed[job.name] = f"out of memory: its limit is {self._limits[job.host].memory}"
        return f", {self._killed[job.name]}"

    def _events(self) -> output.Reader:
        if self._reader is None:
            # gitlab-ci-local writes it before it starts the first job.
            expanded = self._work / "source" / STATE_DIR / "expanded-gitlab-ci.yml"
            text = as_user(self._uid, ["cat", str(expanded)])
            if not text:
                return output.Reader([])
            described = yaml.load(text, Loader=yaml.CSafeLoader)
            jobs = output.planned(described)
            self._conditional = output.conditional(described)
            self._reader = output.Reader(name for name, _ in jobs)
            for name, stage in jobs:
                if self.pipeline.job in ("", name):
                    self._job(name, stage)
            self.pipeline.save()
        return self._reader

    def _job(self, name: str, stage: str) -> Job:
        if name not in self._jobs:
            # A job of a matrix takes the place of the one that stood for all of them.
            base = self._jobs.get(name.split(": [")[0])
            if base is not None and base.status == "created" and ": [" in name:
                del self._jobs[base.name]
                self.pipeline.jobs.remove(base)
            log = f"logs/{slug(name, len(self.pipeline.jobs) + 1)}.log"
            job = Job(name, stage, log)
            self._jobs[name] = job
            self.pipeline.jobs.append(job)
        return self._jobs[name]

    def _log(self, job: Job, text: str) -> None:
        path = self.pipeline.directory / job.log
        if job.name not in self._logs:
            path.parent.mkdir(exist_ok=True)
            self._logs[job.name] = path.open("ab")
            self._written[job.name] = 0
        written = self._written[job.name]
        if written > self.values.log_bytes:
            self._shorten()
            return
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"{stamp} {text}\n".encode()
        written += len(line)
        self._logs[job.name].write(line)
        if written > self.values.log_bytes:
            limit = self.values.log_bytes // 1024**2
            end = f"{stamp} the log ends here: limit of {limit} MiB\n"
            self._logs[job.name].write(end.encode())
        self._written[job.name] = written

    def _shorten(self) -> None:
        # What gitlab-ci-local keeps for itself would grow without end.
        if time.monotonic() - self._shortened > 1:
            self._shortened = time.monotonic()
            output_files = str(RUN / str(self.pipeline.id) / "output")
            as_user(self._uid, ["sh", "-c", 'truncate -s 0 "$1"/*', "-", output_files])

    def _flush(self) -> None:
        for file in self._logs.values():
            file.flush()

    @property
    def engines(self) -> list[Engine]:
        """The engines of the hosts that its jobs ran on."""
        return list(self._served.engines.values()) if self._served else []

    def refused(self, reason: str) -> None:
        """No job of this pipeline is started: there is no host for one of them."""
        self._refused = reason

    def waits(self, job: str, reason: str) -> None:
        """Tell who pushed what a job waits for, if it goes on."""
        self._called_off(job)
        self._waits[job] = asyncio.get_running_loop().call_later(
            PATIENCE_SECONDS, self.pipeline.say, f"{job}: waits for {reason}"
        )

    def placed(self, job: str, host: str, labels: list[str]) -> None:
        """A job begins, on a host; with the first begins the pipeline."""
        self._called_off(job)
        self._hosts[job], self._labels[job] = host, labels
        if self.pipeline.status == "pending":
            self.pipeline.status, self.pipeline.started = "running", time.time()
            self.pipeline.save()

    def lost(self, job: str, reason: str) -> None:
        """Say in a job's log why it ends."""
        self._killed[job] = reason
        if job in self._jobs:
            self._log(self._jobs[job], reason)
            self._flush()

    def _called_off(self, job: str) -> None:
        timer = self._waits.pop(job, None)
        if timer is not None:
            timer.cancel()

    def _verdict(self, code: int) -> str:
        if self._refused:
            self.reason = self._refused
            return "failed"
        if self._jobs and any(job.started for job in self._jobs.values()):
            if code:
                failed = [job.name for job in self._jobs.values() if job.status == "failed"]
                if not failed:
                    self.reason = "\n".join(self._other[-5:])[:1000]
                    return "failed"
                said = [
                    f"{name} ({self._killed[name]})" if name in self._killed else name
                    for name in failed
                ]
                self.reason = f"failed: {', '.join(said)}"
                return "failed"
            # Where all went well, what did not start is what its rules left out.
            self.pipeline.jobs = [
                job
                for job in self.pipeline.jobs
                if job.started or job.name not in self._conditional
            ]
            return "success"
        if code == 0:
            self.reason = "no job's rules are met"
            return "success"
        self.reason = "\n".join(self._other[-8:])[:2000]
        return "failed"

    def keep_artifacts(self) -> str:
        """Move the artifacts to where the pages show them; return what is to be said about it."""
        said = []
        source = self._work / "source" / STATE_DIR / "artifacts"
        target = self.pipeline.directory / "artifacts"
        for path in (self._work, self._work / "source", source.parent, source):
            if path.is_symlink() or not path.is_dir():
                return ""
            os.chown(path, 0, 0)
            path.chmod(0o700)
        for job in self.pipeline.jobs:
            name = Path(job.log).stem
            job.artifacts, problem = artifacts.keep(
                source / artifacts.folder(job.name), target / name, self.values.artifact_bytes
            )
            if problem:
                said.append(f"{job.name}: {problem}")
        return "; ".join(said)

    def close(self) -> None:
        """Close the logs."""
        for file in self._logs.values():
            file.close()


def abandon(project: str, number: int, values: Values) -> None:
    """Mark a pipeline as crashed whose runner is gone, and clear away what it left."""
    pipeline = load(project, number)
    mark = RUN / f"uid-{number}"
    if mark.exists():
        end_user(int(mark.read_text()))
        mark.unlink()
    try:
        clear(pipeline, values, map(Engine, values.engines))
    finally:
        pipeline.end("crashed", "its runner was lost")
