"""Values as a platform renders them for the worker; tests replace what they are about."""

from dap_pipelines.values import Host, JobLimits, Values


def values(*hosts: Host) -> Values:
    return Values(
        platform="dap",
        network="dap_edge",
        projects=("analysis",),
        url="https://git.example",
        clone="ssh://git@git.example/",
        registry="registry.example",
        follow_seconds=1,
        engines=hosts,
        timeout_seconds=1,
        keep=1,
        log_bytes=1,
        artifact_bytes=1,
        default_image="base",
        job=JobLimits("1g", 0, 1),
    )
