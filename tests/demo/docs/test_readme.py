"""What the README shows of `make demo` is what it prints."""

import re

from demo.__main__ import summary
from tests.demo.conftest import Platform
from tests.paths import ROOT
from tests.tools.markdown import difference
from tests.tools.pages import page_blocks


def test_the_readme_shows_what_the_demo_prints(platform: Platform) -> None:
    [shown] = [
        block.text
        for block in page_blocks(ROOT / "README.md")
        if block.value.endswith("test_readme.py")
    ]
    _, _, end = shown.partition("\n\n")
    printed = summary(platform.outcome).strip().partition("\n\n  The project is in ")[0]
    assert difference(of_any_run(end), of_any_run(printed)) == ""


def of_any_run(text: str) -> str:
    """The text without what another run would print otherwise."""
    known = {
        r"commit [0-9a-f]{12}": "commit C",
        r"(\w+) 0\.\d+": r"\1 N",
        r"runs/[0-9a-f]{32}": "runs/R",
        r"analysis/\d+": "analysis/P",
        r"experiments/\d+": "experiments/E",
        r"(?<=https://)((?:git|mlflow)\.)?[a-z]+\.(localhost|test)": r"\1D",
        r"build/\w+/": "build/demo/",
    }
    for pattern, word in known.items():
        text = re.sub(pattern, word, text)
    return text
