"""A project is added to the text of platform.yml, and nothing else of it changes."""

import pytest
import yaml
from dap.errors import InputError
from dap.settings import Project
from dap.settings.edit import add_project

PRESENT = [Project(name="analysis")]

TEXTS = {
    "as the template has it": "projects:\n  - {name: a, members: []}\n\n# slots: jobs\nhosts: []\n",
    "in lines": "projects:\n- name: a\n  members: []\n  # of a\n# of hosts\nhosts: []\n",
    "last, without an end of line": "name: x\nprojects:\n  - name: a\n    members:\n      - ada",
    "empty brackets": "projects: []  # none yet\nname: x\n",
    "brackets over lines": "projects: [{name: a},\n  {name: b},  # bee\n  ]\n",
    "left out": "name: x\n# the end\n",
    "nothing at all": "",
    "lines that end as on Windows": "projects:\r\n  - {name: a}\r\nname: x\r\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("name", ["churn", "123", "null", "0x1f"])
def test_one_entry_more_and_all_else_the_same(text: str, name: str) -> None:
    edited = add_project(text, name, ["ada", "off"], PRESENT)
    before = yaml.safe_load(text) or {}
    after = yaml.safe_load(edited)
    assert after.pop("projects")[-1] == {"name": name, "members": ["ada", "off"]}
    before.pop("projects", None)
    assert after == before
    # What was there is there, in its order: characters are only added, in one place.
    common = next((i for i, (a, b) in enumerate(zip(text, edited, strict=False)) if a != b), None)
    start = len(text) if common is None else common
    assert edited.endswith(text[start:].lstrip("\n"))


def test_a_comment_of_the_next_section_stays_with_it() -> None:
    edited = add_project(TEXTS["as the template has it"], "churn", [], PRESENT)
    assert "  - {name: churn, members: []}\n\n# slots: jobs\nhosts:" in edited


def test_the_project_of_the_default_stays_when_the_section_was_left_out() -> None:
    edited = add_project("name: x\n", "churn", [], PRESENT)
    assert [each["name"] for each in yaml.safe_load(edited)["projects"]] == ["analysis", "churn"]


def test_what_is_not_understood_is_left_alone_and_the_entry_told() -> None:
    text = "one: &list [{name: a}]\nprojects: *list\n"
    with pytest.raises(InputError, match="can't be added to") as refused:
        add_project(text, "churn", [], PRESENT)
    assert "{name: churn, members: []}" in refused.value.hint
