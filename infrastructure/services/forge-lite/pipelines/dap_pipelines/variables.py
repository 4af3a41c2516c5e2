"""The variables of a pipeline's jobs.

gitlab-ci-local passes ordinary variables on command lines and the engine shows them to whoever may
inspect a container. What holds a secret therefore goes into files: as a variable of type file, or,
if it must be in the environment, into one file of `export` lines that bash reads through BASH_ENV.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from dap_pipelines.mask import Mask
from dap_pipelines.state import Pipeline
from dap_pipelines.values import Project, Values

# Loaded once: bash reads BASH_ENV in every script.
SHELL = """\
if [ -z "${DAP_ENVIRONMENT_READ:-}" ]; then
export DAP_ENVIRONMENT_READ=1
%s
fi
"""


def predefined(pipeline: Pipeline, values: Values, images: dict[str, str]) -> dict[str, str]:
    """Return what GitLab predefines and gitlab-ci-local would guess, and environments' images."""
    title, _, description = pipeline.message.partition("\n")
    kind, name = pipeline.ref.split("/", 2)[1:]
    project = f"{values.url}/{pipeline.project}"
    # `rules:` of the platform's own repository ask for it.
    gitops = values.gitops and pipeline.project == values.projects[0]
    tag = {"CI_COMMIT_TAG": name} if kind == "tags" else {}
    return {
        "CI_COMMIT_SHA": pipeline.commit,
        "CI_COMMIT_SHORT_SHA": pipeline.commit[:8],
        "CI_COMMIT_BEFORE_SHA": pipeline.before or "0" * len(pipeline.commit),
        "CI_COMMIT_REF_NAME": name,
        "CI_COMMIT_BRANCH": "" if tag else name,
        "CI_COMMIT_MESSAGE": pipeline.message,
        "CI_COMMIT_TITLE": title,
        "CI_COMMIT_DESCRIPTION": description.strip(),
        "CI_COMMIT_REF_PROTECTED": "true" if name == "main" and not tag else "false",
        "CI_PIPELINE_ID": str(pipeline.id),
        "CI_PIPELINE_IID": str(pipeline.id),
        "CI_PIPELINE_URL": f"{values.url}/-/pipelines/{pipeline.project}/{pipeline.id}",
        "CI_PROJECT_NAME": pipeline.project,
        "CI_PROJECT_TITLE": pipeline.project,
        "CI_PROJECT_URL": project,
        "CI_REPOSITORY_URL": f"{values.clone}{pipeline.project}",
        "CI_SERVER_URL": values.url,
        "CI_REGISTRY": values.registry,
        "CI_REGISTRY_IMAGE": f"{values.registry}/{pipeline.project}",
        "GITLAB_USER_LOGIN": pipeline.user,
        "GITLAB_USER_NAME": pipeline.user,
        "DAP_PROJECT": pipeline.project,
        **({"DAP_GITOPS_PLAN": "true"} if gitops else {}),
        **tag,
        **{image_variable(environment): image for environment, image in images.items()},
    }


def image_variable(environment: str) -> str:
    """Return the name of the variable that holds an environment's image."""
    return "DAP_ENVIRONMENT_" + environment.upper().replace("-", "_")


def write(path: Path, plain: dict[str, str], project: Project, mask: Mask) -> None:
    """Write gitlab-ci-local's file of variables.

    `plain` are the predefined ones; the project's own come beside them, secrets in files.
    """
    secret = {
        name: value
        for name, value in project.environment.items()
        if mask(value.encode()) != value.encode()
    }
    shown = {name: value for name, value in project.environment.items() if name not in secret}
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in secret.items())
    entries: dict[str, object] = {}
    for name, value in {**shown, **plain}.items():
        entries[name] = {"type": "variable", "values": {"*": value.replace("$", "$$")}}
    for name, content in {**project.files, "BASH_ENV": SHELL % (exports or ":")}.items():
        entries[name] = {"type": "file", "values": {"*": content}}
    path.write_text(json.dumps({"global": entries}))
