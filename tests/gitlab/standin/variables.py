"""Variables of jobs: what the project has for their branch, and what GitLab predefines.

The names and what they hold: GitLab's documentation, ci/variables/predefined_variables.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.gitlab.standin.state import Row, State


def variable(key: str, value: object, **given: bool) -> Row:
    """Return a variable as runners get it; one of GitLab's own unless `given` says else."""
    plain = {"public": True, "masked": False, "file": False, "raw": False}
    return {"key": key, "value": str(value), **plain, **given}


def is_protected(state: State, project: Row, branch: str) -> bool:
    """Whether a branch is a protected one."""
    return f"{project['id']}/{branch}" in state.branches


def of_project(state: State, project: Row, branch: str) -> list[Row]:
    """Return those of the instance and of the project; protected ones for protected branches."""
    protected = is_protected(state, project, branch)
    found = {}
    for of in ("instance", str(project["id"])):
        for place, row in state.variables.items():
            if place.startswith(f"{of}/") and (protected or not row["protected"]):
                found[row["key"]] = variable(
                    row["key"],
                    row["value"],
                    masked=row["masked"],
                    file=row["variable_type"] == "file",
                    public=False,
                    raw=row["raw"],
                )
    return list(found.values())


def of_pipeline(state: State, url: str, project: Row, pipeline: Row) -> list[Row]:
    """Return what is predefined before there are jobs, so that rules may ask for it."""
    account = state.users.get(str(pipeline["user"]), {})
    path = project["path_with_namespace"]
    values = {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_API_V4_URL": f"{url}/api/v4",
        "CI_COMMIT_BEFORE_SHA": pipeline["before_sha"],
        "CI_COMMIT_BRANCH": pipeline["ref"],
        "CI_COMMIT_REF_NAME": pipeline["ref"],
        "CI_COMMIT_REF_PROTECTED": str(is_protected(state, project, pipeline["ref"])).lower(),
        "CI_COMMIT_SHA": pipeline["sha"],
        "CI_COMMIT_SHORT_SHA": pipeline["sha"][:8],
        "CI_DEFAULT_BRANCH": project["default_branch"] or "main",
        "CI_PIPELINE_ID": pipeline["id"],
        "CI_PIPELINE_SOURCE": pipeline["source"],
        "CI_PIPELINE_URL": pipeline["web_url"],
        "CI_PROJECT_ID": project["id"],
        "CI_PROJECT_NAME": project["path"],
        "CI_PROJECT_NAMESPACE": path.rpartition("/")[0],
        "CI_PROJECT_PATH": path,
        "CI_PROJECT_URL": f"{url}/{path}",
        "CI_SERVER_HOST": urlsplit(url).hostname or "",
        "CI_SERVER_URL": url,
        "GITLAB_USER_EMAIL": account.get("email", ""),
        "GITLAB_USER_ID": account.get("id", ""),
        "GITLAB_USER_LOGIN": account.get("username", ""),
        "GITLAB_USER_NAME": account.get("name", ""),
    }
    if pipeline["source"] == "schedule":
        values["CI_PIPELINE_SCHEDULE_DESCRIPTION"] = pipeline["schedule"]
    return [variable(key, value) for key, value in values.items()]


def of_job(number: int, name: str, stage: str) -> list[Row]:
    """Return what is predefined once the job is there."""
    values = {"CI_JOB_ID": number, "CI_JOB_NAME": name, "CI_JOB_STAGE": stage}
    return [variable(key, value) for key, value in values.items()]


def of_token(url: str, job: Row) -> list[Row]:
    """Return what a job gets with its token, which it has when a runner takes it."""
    return [
        variable("CI_JOB_TOKEN", job["token"], public=False, masked=True),
        variable("CI_REPOSITORY_URL", repository_url(url, job), public=False),
    ]


def repository_url(url: str, job: Row) -> str:
    """Return the address of a job's repository, with the job's login."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://gitlab-ci-token:{job['token']}@{rest}/{job['path']}.git"
