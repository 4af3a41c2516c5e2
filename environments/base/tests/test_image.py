"""The image itself: what is in it, and that it says so."""

import json
from collections.abc import Callable

Job = Callable[[str], str]


def test_every_debian_package_is_listed(job: Job) -> None:
    listed = json.loads(job("cat /usr/share/sbom/debian.cdx.json"))
    assert listed["bomFormat"] == "CycloneDX"
    names = {
        f"{each['name']}={each['version']}"
        for each in listed["components"]
        if each["type"] == "library" and not each["purl"].endswith("arch=source")
    }
    installed = "dpkg-query --show --showformat '${binary:Package}=${Version}\\n'"
    assert names == {line.replace(":amd64=", "=") for line in job(installed).split()}
