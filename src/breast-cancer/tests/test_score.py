import pytest

from analysis.score import beats


@pytest.mark.parametrize(
    ("challenger", "champion", "expected"),
    [(0.1, None, True), (0.1, 0.2, True), (0.2, 0.1, False), (0.1, 0.1, False)],
)
def test_lower_loss_wins(challenger: float, champion: float | None, expected: bool) -> None:
    assert beats(challenger, champion) is expected
