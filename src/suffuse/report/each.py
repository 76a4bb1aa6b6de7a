"""Every target by itself, where there are several: what it is, and each model's own metrics of it."""

from __future__ import annotations

from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, Head
from . import bars, metrics, table
from .language import t
from .metrics import METRICS
from .prepared import SPLITS, Prepared
from .words import count


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
    cards = {who: card for who, card in table.scores(run).items() if whole(who)}
    test = prepared.split == SPLITS.index("test")
    found = []
    for head, target in prepared.spec.targets(prepared.target[test]):
        main, *others = metrics.OF_KIND[head.kind]
        mains = {who: card["metrics"][f"{head.name}:{main}"] for who, card in cards.items()}
        floor = bars.floor_of(list(mains.values()))
        found.append(
            {
                "name": head.name,
                "task": task(head),
                "rows": int(head.known(target).sum()),
                "main": t(METRICS[main].title),
                "interval": bars.interval(main, run.recipe.evaluate.confidence),
                "scale": bars.scale(main, floor),
                "others": [t(METRICS[m].title) for m in others],
                "lines": [
                    {
                        "who": table.name(who, [head]),
                        **bars.measured(main, mains[who], floor),
                        "others": [metrics.shown(m, card["metrics"][f"{head.name}:{m}"]["mean"]) for m in others],
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
    names = dict.fromkeys(n for kind in kinds for n in metrics.OF_KIND[kind])
    return [(t(METRICS[n].title), metrics.meaning(n, heads)) for n in names]
