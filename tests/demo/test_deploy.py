"""A deploy over what is there, and bad settings."""

from pathlib import Path

from tests.demo.conftest import Platform, privileged
from tests.programs import tried


def test_a_second_deploy_changes_and_restarts_nothing(platform: Platform) -> None:
    before = platform.started()
    assert len(before) >= 8
    result = platform.project.make_json("deploy")
    assert result["changed"] == 0
    assert platform.started() == before


def test_the_plan_of_an_unchanged_platform_is_empty(platform: Platform) -> None:
    result = platform.project.make_json("plan")
    assert result["changed"] == 0


def test_a_setting_reaches_what_it_is_about_and_no_other(platform: Platform) -> None:
    file = platform.project.path / "platform.yml"
    text = file.read_text()
    assert "resources" not in text
    before = platform.started()
    file.write_text(text + "\nresources:\n  portal: {memory: 96m}\n")
    try:
        assert platform.project.make_json("plan")["changed"] > 0
        platform.project.make("deploy")
        after = platform.started()
        assert {name for name in before if before[name] != after[name]} == {"portal"}
        memory = platform.container("portal").attrs["HostConfig"]["Memory"]
        assert memory == 96 * 1024**2
    finally:
        file.write_text(text)
        platform.project.make("deploy")


def test_a_bundle_that_lost_the_ca_gets_it_back(platform: Platform) -> None:
    anchor = Path(f"/usr/local/share/ca-certificates/dap-{platform.name}.crt")
    text, bundle = anchor.read_text().strip(), Path("/etc/ssl/certs/ca-certificates.crt")
    privileged("mv", str(anchor), f"{anchor}.kept")
    privileged("update-ca-certificates")
    privileged("mv", f"{anchor}.kept", str(anchor))
    assert text not in bundle.read_text()
    changes = platform.project.make_json("deploy")["changes"]
    assert [each["change"] for each in changes] == [f"change {bundle}"]
    assert text in bundle.read_text()


def test_bad_settings_are_refused_before_anything_changes(platform: Platform) -> None:
    file = platform.project.path / "platform.yml"
    text = file.read_text()
    before = platform.started()
    file.write_text(text.replace("slots: 2", "slots: many"))
    try:
        done = tried(platform.project.path, "make", "deploy")
    finally:
        file.write_text(text)
    assert done.returncode == 2
    assert "platform.yml:" in done.stderr
    assert "slots" in done.stderr
    assert platform.started() == before
