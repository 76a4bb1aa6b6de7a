"""scikit-learn models for each kind of target: features (N, K) -> outputs (N, C) as a network has them.

Classes: logistic regression; labels: one for each label; numbers: ridge regression with its penalty chosen by
leave-one-out (generalised cross-validation). Columns of a table have several kinds: that linear model; histogram
gradient boosting (Ke et al. 2017), which reads missing numbers and categories as they are; extremely randomised trees
(Geurts, Ernst & Wehenkel 2006); and the linear model on a radial kernel that some rows approximate (Nystroem; Williams
& Seeger 2001). A baseline is the mean of the first three. Outputs are log-probabilities, log-odds of labels, and
numbers in the units of the run's targets.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..registry import optional
from ..types import CLASSES, LABELS, Head, Spec
from .features import Features

RARE = 1e-4  # probability of a class without training rows, before normalisation
ITERATIONS = 100  # of logistic regression
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)  # of ridge regression, to choose from
STOPPING_ROWS = 2000  # from which boosting of several classes stops by a tenth of them
TREES = 200  # extremely randomised ones
KERNEL_ROWS = 500  # rows that a kernel is approximated by, at most
KERNEL_GAMMA = 0.3  # of the kernel exp(-gamma d^2), divided by the number of columns
KERNEL_STRENGTH = 100.0  # inverse penalty of logistic regression on the kernel
KERNEL_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of ridge regression on it
MEAN = "mean"  # of boosting, trees and the linear model
BOOSTING, EXTRA_TREES, LINEAR, KERNEL = TABLE_KINDS = ("boosting", "trees", "linear", "kernel")
MAX_CATEGORY_CODES = 255  # that histogram gradient boosting takes; a column with more is read as numbers


@dataclass(frozen=True)
class Fitted:
    """Features and a model for each target."""

    features: Features
    models: Sequence[Any]  # a target's models: one, or one for each label
    spec: Spec

    def outputs(self, rows: np.ndarray) -> np.ndarray:
        """(N, C) float32 of these rows; of a row without the modality the training prior."""
        matrix = self.features.transform(rows)
        parts = [_outputs(head, models, matrix) for head, models in zip(self.spec.heads, self.models, strict=True)]
        outputs = np.concatenate(parts, axis=1)
        outputs[~self.features.present(rows)] = self.spec.log_prior
        return outputs.astype(np.float32)


def fit(features: Features, spec: Spec, rows: np.ndarray, target: np.ndarray, kind: str = MEAN) -> Fitted:
    """Fit a model of each target on those of the ``rows`` (N,) that have it. ``target``: all rows' targets, see
    :class:`suffuse.types.Spec`. ``kind``: of ``TABLE_KINDS`` for a table; any other modality has its linear model."""
    matrix = features.fit(rows)
    models = []
    for head, values in spec.targets(target[rows]):
        known = np.asarray(head.known(values))
        columns = values[known].T if head.kind == LABELS else values[known][None]
        models.append([_fit_one(head, matrix[np.flatnonzero(known)], y, features, kind) for y in columns])
    return Fitted(features, models, spec)


def _fit_one(head: Head, matrix: Any, target: np.ndarray, features: Features, kind: str) -> Any:
    """A fitted model; of a target with a single value a :class:`Constant`."""
    if head.kind in (CLASSES, LABELS):
        target = target.astype(np.int64)
    if len(target) < 2 or (target == target[0]).all():
        return Constant(target[0] if len(target) else 0)
    if features.is_table:  # boosting can't bin a column without any value; a fold's rows may have none
        matrix = np.where(np.isnan(matrix).all(0), 0.0, matrix)
    model = _estimator(head, matrix, features, kind)
    with warnings.catch_warnings():  # a fit that stops at its limit of iterations is good enough
        warnings.simplefilter("ignore")
        return model.fit(matrix, target)


def _estimator(head: Head, matrix: Any, features: Features, kind: str) -> Any:
    if features.is_table:
        return _table_estimator(head, matrix, features, kind)
    linear = optional("sklearn.linear_model", "train")
    if head.kind not in (CLASSES, LABELS):
        return linear.RidgeCV(PENALTIES) if _dense(matrix) else linear.Ridge(1.0)
    strength = 0.01 if _dense(matrix) else 10.0  # inverse penalty; standardised numbers are larger than TF-IDF
    return linear.LogisticRegression(C=strength, max_iter=ITERATIONS)


def _table_estimator(head: Head, matrix: np.ndarray, features: Features, kind: str) -> Any:
    """One of ``TABLE_KINDS``, or the mean of three of them: of their probabilities, or of their numbers."""
    ensemble = optional("sklearn.ensemble", "train")
    codes = [c for c in features.categories if matrix[:, c].max(initial=0) <= MAX_CATEGORY_CODES - 1]
    is_discrete = head.kind in (CLASSES, LABELS)
    if kind != MEAN:
        return _table_kind(kind, head, matrix, codes)
    vote: Any = partial(ensemble.VotingClassifier, voting="soft") if is_discrete else ensemble.VotingRegressor
    return vote([(each, _table_kind(each, head, matrix, codes)) for each in (BOOSTING, EXTRA_TREES, LINEAR)])


def _table_kind(kind: str, head: Head, matrix: np.ndarray, codes: list[int]) -> Any:
    ensemble, linear = optional("sklearn.ensemble", "train"), optional("sklearn.linear_model", "train")
    make_pipeline = optional("sklearn.pipeline", "train").make_pipeline
    is_discrete = head.kind in (CLASSES, LABELS)
    if kind == BOOSTING:
        # 100 trees for each of many classes overfit and take long; of few rows none are spared to tell when to stop
        is_many = head.kind == CLASSES and len(head.classes) > 2 and len(matrix) >= STOPPING_ROWS
        stops: Any = True if is_many else "auto"
        boosting = ensemble.HistGradientBoostingClassifier if is_discrete else ensemble.HistGradientBoostingRegressor
        return boosting(random_state=0, categorical_features=codes or None, early_stopping=stops)
    if kind == EXTRA_TREES:
        trees = ensemble.ExtraTreesClassifier if is_discrete else ensemble.ExtraTreesRegressor
        filled = optional("sklearn.impute", "train").SimpleImputer(keep_empty_features=True)
        return make_pipeline(filled, trees(TREES, random_state=0))
    columns = _standardised(matrix, codes, sparse=kind != KERNEL)
    if kind == LINEAR:
        model = linear.LogisticRegression(max_iter=ITERATIONS) if is_discrete else linear.RidgeCV(PENALTIES)
        return make_pipeline(columns, model)
    kernel = optional("sklearn.kernel_approximation", "train").Nystroem(
        gamma=KERNEL_GAMMA / max(matrix.shape[1], 1), n_components=min(KERNEL_ROWS, len(matrix)), random_state=0
    )
    if is_discrete:
        return make_pipeline(columns, kernel, linear.LogisticRegression(C=KERNEL_STRENGTH, max_iter=ITERATIONS))
    # the penalties are for numbers of variance 1
    ridge = optional("sklearn.compose", "train").TransformedTargetRegressor(
        linear.RidgeCV(KERNEL_PENALTIES), transformer=optional("sklearn.preprocessing", "train").StandardScaler()
    )
    return make_pipeline(columns, kernel, ridge)


def _standardised(matrix: np.ndarray, codes: list[int], sparse: bool) -> Any:
    """Numbers with variance 1, their mean where they are missing; an indicator for each code."""
    make_pipeline = optional("sklearn.pipeline", "train").make_pipeline
    impute, preprocessing = optional("sklearn.impute", "train"), optional("sklearn.preprocessing", "train")
    numbers = [c for c in range(matrix.shape[1]) if c not in codes]
    standardised = make_pipeline(impute.SimpleImputer(keep_empty_features=True), preprocessing.StandardScaler())
    indicators = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=sparse)
    transformer = optional("sklearn.compose", "train").ColumnTransformer
    return transformer([("numbers", standardised, numbers), ("codes", indicators, codes)])


def _dense(matrix: Any) -> bool:
    return isinstance(matrix, np.ndarray)


@dataclass(frozen=True)
class Constant:
    """A model of a target that has one value."""

    value: Any

    @property
    def classes_(self) -> np.ndarray:
        """The class."""
        return np.array([self.value])

    def predict_proba(self, matrix: Any) -> np.ndarray:
        """(N, 1) ones."""
        return np.ones((matrix.shape[0], 1))

    def predict(self, matrix: Any) -> np.ndarray:
        """(N,) the value."""
        return np.full(matrix.shape[0], self.value, np.float64)


def _outputs(head: Head, models: Sequence[Any], matrix: Any) -> np.ndarray:
    """(N, C_h) outputs of a target."""
    if head.kind == CLASSES:
        return np.log(_class_probabilities(models[0], matrix, len(head.classes)))
    if head.kind == LABELS:
        columns = [_class_probabilities(model, matrix, 2) for model in models]
        return np.stack([np.log(p[:, 1]) - np.log(p[:, 0]) for p in columns], axis=1)
    return models[0].predict(matrix)[:, None]


def _class_probabilities(model: Any, matrix: Any, classes: int) -> np.ndarray:
    """(N, C); a class without training rows is rare."""
    probabilities = np.full((matrix.shape[0], classes), RARE)
    known = model.classes_.astype(np.int64)
    probabilities[:, known] = np.maximum(model.predict_proba(matrix), RARE)
    return probabilities / probabilities.sum(1, keepdims=True)
