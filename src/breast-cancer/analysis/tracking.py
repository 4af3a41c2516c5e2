"""What a run says about where it comes from; GitLab's variables have it in a pipeline.

`make reproduce` runs a run's job again from these tags.
"""

import os

_VARIABLES = {
    "commit": "CI_COMMIT_SHA",
    "image": "DAP_ENVIRONMENT_PYTHON",
    "job": "CI_JOB_NAME",
    "pipeline_id": "CI_PIPELINE_ID",
    "pipeline_url": "CI_PIPELINE_URL",
}


def run_tags(data_version: str, table: str) -> dict[str, str]:
    """Return the tags of a run; outside a pipeline there is only its data: version and table."""
    found = {tag: os.environ.get(variable, "") for tag, variable in _VARIABLES.items()}
    if found["pipeline_url"]:
        # The run's description on its page: tags are no links there.
        found["mlflow.note.content"] = "[Pipeline #{pipeline_id}]({pipeline_url})".format(**found)
    return {
        "data": f"table:{table}",
        "data_version": data_version,
        **{tag: value for tag, value in found.items() if value},
    }


def run_name(name: str) -> str:
    """Return the name of a run: that of the analysis and, in a pipeline, its commit."""
    commit = os.environ.get("CI_COMMIT_SHA", "")[:8]
    return "-".join(filter(None, [name, commit]))
