"""Some test rows with both models' answers, chosen by a stated rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..types import NUMBER
from .dataset_view import Prepared
from .i18n import t
from .row_predictions import answers
from .test_predictions import Told

EACH = 6  # rows of a kind
MOST_TARGETS = 8  # of a row
SEED = 0


def examples(prepared: Prepared, told: Sequence[Told]) -> list[dict]:
    """Groups of rows: the models disagree, the student is wrong, some at random. No row comes twice."""
    rows = len(told[0].row)
    taken: set[int] = set()
    groups = []
    for title, rule, order in chosen(told):
        groups.append({"title": title, "rule": rule, "all": len(order), "some": _first(order, taken)})
    some = _first(np.random.default_rng(SEED).permutation(rows), taken)
    rule = t("further rows, drawn by chance with the fixed seed %(seed)s", seed=SEED)
    groups.append({"title": t("Any rows"), "rule": rule, "all": rows, "some": some})
    for group in groups:
        group["rows"] = [_row(prepared, told, position) for position in group.pop("some")]
    return groups


def chosen(told: Sequence[Told]) -> list[tuple[str, str, np.ndarray]]:
    """(title, rule, positions in order): where models disagree, where the student is wrong. Numbers have no right and
    wrong: where there is nothing else, the rows that lie furthest apart, and furthest off."""
    named = [t for t in told if t.head.kind != NUMBER]
    if not named:
        apart = np.stack([_gap(t, t.said["teacher"], t.said["export"]) for t in told]).sum(0)
        off = np.stack([_gap(t, t.target, t.said["export"]) for t in told]).sum(0)
        return [
            (
                t("They differ most"),
                t("the test rows in which the two models' numbers lie furthest apart"),
                _falling(apart),
            ),
            (
                t("The student is furthest off"),
                t("the further rows with the exported student's largest errors"),
                _falling(off),
            ),
        ]
    differ = np.stack([_differ(t) for t in named]).any(0)
    wrong = np.stack([t.known & ~t.right("export") for t in named]).any(0)
    where = (
        ""
        if len(told) == 1
        else t(" in any target")
        if len(named) == len(told)
        else t(" in a target of classes or labels")
    )
    return [
        (
            t("They disagree"),
            t("the first test rows to which the two models give different answers%(where)s", where=where),
            np.flatnonzero(differ),
        ),
        (
            t("The student is wrong"),
            t("the first further rows that the exported student gets wrong%(where)s", where=where),
            np.flatnonzero(wrong),
        ),
    ]


def _gap(told: Told, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) distance in standard deviations; 0 where there is none to take."""
    return np.nan_to_num(np.abs(one - other) / told.head.std)


def _falling(values: np.ndarray) -> np.ndarray:
    """Positions, the largest value first; those without one are left out."""
    order = np.argsort(-values, kind="stable")
    return order[values[order] > 0]


def _differ(told: Told) -> np.ndarray:
    """(N,) bool: whether teacher and student answer differently."""
    different = told.answer("teacher") != told.answer("export")
    return different if different.ndim == 1 else different.any(1)


def _first(order: Iterable[int], taken: set[int]) -> list[int]:
    """The first positions that were not taken yet; they are taken now."""
    kept = []
    for position in order:
        if len(kept) == EACH:
            break
        if int(position) not in taken:
            kept.append(int(position))
    taken.update(kept)
    return kept


def _row(prepared: Prepared, told: Sequence[Told], position: int) -> dict:
    row = int(told[0].row[position])
    source = prepared.label(row) if len(told) == 1 else ""
    return {
        "id": prepared.id(row),
        "cells": prepared.cells(row),
        "targets": [answers(t, position, source) for t in told[:MOST_TARGETS]],
        "more": max(0, len(told) - MOST_TARGETS),
    }
