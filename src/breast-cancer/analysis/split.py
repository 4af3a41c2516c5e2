"""Divides the rows: what the model learns from, what it is tuned on, what it is judged by."""

from dataclasses import dataclass

import pandas as pd
from sklearn.model_selection import train_test_split

from analysis.config import Split
from analysis.load import TARGET


@dataclass(frozen=True)
class Part:
    """Features and targets (1: malignant) of some rows."""

    features: pd.DataFrame
    target: pd.Series


@dataclass(frozen=True)
class Parts:
    """The three parts of a data set; no row is in two of them."""

    train: Part
    validation: Part
    test: Part


def split(data: pd.DataFrame, settings: Split) -> Parts:
    """Divide the rows at random, each part as malignant as the whole; a seed gives its parts."""
    rest, test = train_test_split(
        data,
        test_size=settings.test_share,
        random_state=settings.seed,
        stratify=data[TARGET],
    )
    train, validation = train_test_split(
        rest,
        test_size=settings.validation_share / (1 - settings.test_share),
        random_state=settings.seed,
        stratify=rest[TARGET],
    )
    return Parts(_part(train), _part(validation), _part(test))


def _part(data: pd.DataFrame) -> Part:
    return Part(data.drop(columns=TARGET), data[TARGET])
