"""Every target by itself, where there are several: what it is, and each model's own metrics of it."""

from __future__ import annotations

from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, Head
from . import metric_bars, metric_names, scores_table
from .dataset_view import SPLITS, Prepared
from .formatting import count
from .i18n import t
from .metric_names import METRICS


def task(head: Head) -> str:
    """``one of 4 classes``, ``any of 2 labels``, ``a number``."""
    if head.kind == NUMBER:
        return t("a number")
    if head.kind == LABELS:
        return t("any of %(labels)s", labels=count(len(head.classes), "label"))
    return t("one of %(classes)s", classes=count(len(head.classes), "class", "classes"))


def each(run: Run, prepared: Prepared) -> list[dict]:
    """A table for every target; nothing where there is only one."""
    if len(prepared.spec.heads) == 1:
        return []
    cards = {who: card for who, card in scores_table.scores(run).items() if whole(who)}
    test = prepared.split == SPLITS.index("test")
    found = []
    for head, target in prepared.spec.targets(prepared.target[test]):
        main, *others = metric_names.OF_KIND[head.kind]
        mains = {who: card["metrics"][f"{head.name}:{main}"] for who, card in cards.items()}
        floor = metric_bars.floor_of(list(mains.values()))
        found.append(
            {
                "name": head.name,
                "task": task(head),
                "rows": int(head.known(target).sum()),
                "main": t(METRICS[main].title),
                "interval": metric_bars.interval(main, run.recipe.evaluate.confidence),
                "scale": metric_bars.scale(main, floor),
                "others": [t(METRICS[m].title) for m in others],
                "lines": [
                    {
                        "who": scores_table.name(who, [head]),
                        **metric_bars.measured(main, mains[who], floor),
                        "others": [metric_names.shown(m, card["metrics"][f"{head.name}:{m}"]["mean"]) for m in others],
                    }
                    for who, card in cards.items()
                ],
            }
        )
    return found


def whole(who: str) -> bool:
    """Whether a model had all labels; the others would make these tables twice as long."""
    return who.partition("-")[0] not in ("student", "baseline") or "-" not in who


def explained(heads: tuple[Head, ...]) -> list[tuple[str, str]]:
    """The metrics of these targets: title, meaning."""
    kinds = [k for k in (CLASSES, LABELS, NUMBER) if any(h.kind == k for h in heads)]
    names = dict.fromkeys(n for kind in kinds for n in metric_names.OF_KIND[kind])
    return [(t(METRICS[n].title), metric_names.meaning(n, heads)) for n in names]
