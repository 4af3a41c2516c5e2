"""Judges a model by rows that it has not seen."""

from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from analysis.split import Part


def judge(model: GradientBoostingClassifier, part: Part) -> dict[str, float]:
    """Return log loss (nats), area under the ROC curve and accuracy (0 to 1)."""
    probabilities = model.predict_proba(part.features)
    return {
        "test_log_loss": float(log_loss(part.target, probabilities)),
        "test_roc_auc": float(roc_auc_score(part.target, probabilities[:, 1])),
        "test_accuracy": float(accuracy_score(part.target, model.predict(part.features))),
    }


def beats(challenger: float, champion: float | None) -> bool:
    """Return whether the challenger's loss is lower; an equal model is not worth a version."""
    return champion is None or challenger < champion
