"""SklearnIntentClassifier: Rasa's name for a linear classifier over the pipeline's features."""

from __future__ import annotations

from collections.abc import Sequence

from bot.nlu.logistic_regression_classifier import LogisticRegressionClassifier


class SklearnIntentClassifier(LogisticRegressionClassifier):
    """The same model as LogisticRegressionClassifier; the options of Rasa's grid search are accepted."""

    def __init__(
        self,
        *,
        C: Sequence[float] | float | None = None,
        gamma: Sequence[float] | float | None = None,
        kernels: Sequence[str] = ("linear",),
        max_cross_validation_folds: int | None = None,
        scoring_function: str | None = None,
        num_threads: int | None = None,
        featurizers: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(featurizers=featurizers, seed=seed)
