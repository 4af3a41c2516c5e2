import pandas as pd
import pytest

from analysis.config import Split
from analysis.load import TARGET
from analysis.split import split

SETTINGS = Split(validation_share=0.2, test_share=0.2, seed=1)


@pytest.fixture
def data() -> pd.DataFrame:
    return pd.DataFrame({"size": range(100), TARGET: [1.0] * 40 + [0.0] * 60})


def test_each_row_is_in_one_part(data: pd.DataFrame) -> None:
    parts = split(data, SETTINGS)
    rows = [row for part in vars(parts).values() for row in part.features.index]
    assert sorted(rows) == list(data.index)


def test_parts_have_their_shares_and_equal_rates(data: pd.DataFrame) -> None:
    parts = split(data, SETTINGS)
    assert [len(part.target) for part in vars(parts).values()] == [60, 20, 20]
    assert [part.target.mean() for part in vars(parts).values()] == pytest.approx([0.4] * 3)


def test_the_target_is_no_feature(data: pd.DataFrame) -> None:
    assert list(split(data, SETTINGS).train.features.columns) == ["size"]
