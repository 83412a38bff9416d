"""SklearnIntentClassifier: Rasa's name for a linear classifier over the pipeline's features."""

from __future__ import annotations

from collections.abc import Sequence

from bot.nlu.logistic_regression_classifier import LogisticRegressionClassifier


class SklearnIntentClassifier(LogisticRegressionClassifier):
    """The same model as LogisticRegressionClassifier; what shapes Rasa's grid search changes nothing."""

    passes_over = ("C", "gamma", "kernels", "max_cross_validation_folds", "scoring_function", "num_threads")

    def __init__(self, *, featurizers: Sequence[str] = (), seed: int = 0) -> None:
        super().__init__(featurizers=featurizers, seed=seed)
