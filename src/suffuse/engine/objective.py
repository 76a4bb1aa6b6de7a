"""Student, losses and projectors in one module: what the loop differentiates, clips and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from .. import losses
from ..data.device_transfer import to_device
from ..errors import UsageError
from ..losses import compatibility
from ..losses.row_ops import modalities
from ..model import FusionModel
from ..recipe import Schedule
from ..registry import PartSettings
from ..types import Batch, Output
from . import distributed_forward
from .mixup import mix_batch


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a batch in its step of the optimiser, which has several batches."""

    rows: float  # its rows by the step's
    labels: tuple[int, ...] | None = None  # of each target, in the whole step; None: by rows


View = tuple[Output, dict[str, Tensor], Tensor]  # of one target: student, teacher, labels
Pass = tuple[float, list[View]]  # its weight, and its outputs target by target
ALL = "*"  # needed of the teacher: the feature of every modality that the student has too


class Objective(nn.Module):
    """Weighted sum of losses. ``terms`` are in the order of ``names``.

    ``teacher`` maps its taps to their widths; ``order`` are the names of the modalities in the order in which its gates
    stand, maybe with others that it doesn't read; without it they stand as in ``teacher``. ``schedules`` says what a
    loss's weight and temperature become by the end of the training (:class:`suffuse.recipe.Schedule`); ``mixup`` is
    the alpha of :mod:`suffuse.engine.mixup`. ``both``: the network is run on what modality dropout leaves of a row and
    on all that the row has, with encoders that run once; losses on logits are the mean over the two. With complementary
    masks they are the mean over the full input and the two complementary subsets. Losses on logits also apply to each
    unimodal head, with the network's ``unimodal_weight``.
    """

    weights: Tensor  # (K,), in the checkpoint: they may be calibrated
    factors: Tensor  # (K,), what the schedules multiply them by now

    def __init__(
        self,
        model: FusionModel,
        chosen: Mapping[str, PartSettings],
        teacher: Mapping[str, int],
        order: Iterable[str] = (),
        schedules: Mapping[str, Schedule] | None = None,
        mixup: float = 0.0,
        *,
        both: bool = False,
    ):
        super().__init__()
        self.model = model
        self.names = tuple(chosen)
        self.settings = tuple(chosen.values())
        self.parts: tuple[losses.LossPart, ...] = tuple(losses.load_loss(s.kind) for s in self.settings)
        self.register_buffer("weights", torch.tensor([float(s.weight) for s in self.settings]))
        self.register_buffer("factors", torch.ones(len(self.names)), persistent=False)
        student_taps, teacher_taps = model.taps(), dict(teacher)
        projectors: list[nn.ModuleDict] = []
        place = compatibility.Place(
            tuple((head.kind, len(head.classes)) for head in model.spec.heads), gates="gates" in student_taps
        )
        for name, settings, part in zip(self.names, self.settings, self.parts, strict=True):
            where = f"distill.losses.{name}"
            compatibility.check(settings, place, where)
            try:
                projectors.append(part.layers(settings, student_taps, teacher_taps))
            except ValueError as error:
                raise UsageError("this loss can't be used here", where=where, got=error) from None
        self.projectors = nn.ModuleList(projectors)
        self.both = both
        self.needs_full_input = both or any(part.FULL_INPUT for part in self.parts)
        self.shared = tuple(n for n in model.spec.names if n in teacher_taps)
        self.maps = model.mapped(losses.asks(self.settings))
        self.gate_columns: list[int] = []  # of the teacher's, which each modality of the student has; -1: none
        for name, part in zip(self.names, self.parts, strict=True):
            if "gates" in part.needs(self.settings[self.names.index(name)]):
                self.gate_columns = gate_columns(model.spec.names, teacher_taps, list(order), f"distill.losses.{name}")
        self.schedules, self.mixup = dict(schedules or {}), mixup
        self.at(0.0)

    def at(self, share: float) -> None:
        """Set weights and temperatures to their schedules at a share of the training, 0 to 1. They depend on the share
        only, so a resumed training has the same ones."""
        plans = [self.schedules.get(name) for name in self.names]
        self.now = tuple(p.settings(s, share) if p else s for s, p in zip(self.settings, plans, strict=True))
        factors = [p.factor(float(s.weight), share) if p else 1.0 for s, p in zip(self.settings, plans, strict=True)]
        self.factors = to_device(torch.tensor(factors), self.weights.device)

    def needs(self) -> tuple[str, ...]:
        """Every tap of the teacher that a loss reads."""
        taps = losses.needs(self.settings)
        return tuple(dict.fromkeys(n for name in taps for n in (self.shared if name == ALL else (name,))))

    def _views(self, output: Output, teacher: dict[str, Tensor], target: Tensor) -> list[View]:
        """The outputs, target by target."""
        spec = self.model.spec
        if len(spec.heads) == 1:
            return [(output, teacher, spec.targets(target)[0][1])]
        teacher_parts = spec.parts(teacher["logits"]) if "logits" in teacher else [(h, None) for h in spec.heads]
        all_logits = output.full_logits
        full_parts = [(h, None) for h in spec.heads] if all_logits is None else spec.parts(all_logits)
        return [
            (
                replace(output, logits=logits, head=head, full_logits=full_logits),
                teacher if teacher_logits is None else {**teacher, "logits": teacher_logits},
                labels,
            )
            for (head, logits), (_, teacher_logits), (_, full_logits), (_, labels) in zip(
                spec.parts(output.logits), teacher_parts, full_parts, spec.targets(target), strict=True
            )
        ]

    def terms(self, batch: Batch, teacher: dict[str, Tensor], share: Share | None = None) -> Tensor:
        """Batch and the teacher's arrays for its rows -> terms (K,) before they are weighed. Of a batch that is a part
        of a step they add up, over the step's batches, to those of all its rows at once: a mean over labels counts as
        much as the batch has labels, any other as it has rows."""
        if self.both and self.training:
            batch = replace(batch, train_full=True)
        if batch.split is not None:
            output = distributed_forward.forward(self.model, batch, self.maps)
        else:
            output = self.model(batch, self.maps) if self.maps else self.model(batch)
        if "gates" in teacher:
            teacher = {**teacher, "gates": _reorder_gates(teacher["gates"], self.gate_columns)}
        views = self._views(output, teacher, batch.target)
        on_logits, on_subsets = self._passes(batch, output, teacher, views)
        terms: list[Tensor] = []
        for settings, part, layers in zip(
            self.now, self.parts, cast("list[nn.ModuleDict]", self.projectors), strict=True
        ):
            passes = [(1.0, views)]
            if mixable(part, settings):
                passes = on_logits
            elif part.FULL_INPUT:
                passes = on_subsets
            weighted: list[Tensor] = []
            for weight, pass_views in passes:
                loss = loss_term(settings, part, layers, pass_views, share)
                weighted.append(loss if weight == 1.0 else loss * weight)
            terms.append(sum(weighted[1:], weighted[0]))
        return torch.stack(terms)

    def _passes(
        self, batch: Batch, output: Output, teacher: dict[str, Tensor], views: list[View]
    ) -> tuple[list[Pass], list[Pass]]:
        """The passes that losses on logits are a weighted mean over, and those of losses that compare full with partial
        input."""
        mixed = None
        if self.mixup and self.training:
            mixed = mix_batch(self.model, output, batch.present, self.mixup, batch.split)
        on_logits, on_subsets = [(1.0, views)], [(1.0, views)]
        if batch.complementary_masks is not None:
            subsets = zip(output.complementary_logits, batch.complementary_masks, strict=True)
            parts = [replace(output, logits=z, is_partial=(mask != batch.present).any(1)) for z, mask in subsets]
            all_views = [views, *(self._views(part, teacher, batch.target) for part in parts)]
            on_logits = [(1 / 3, pass_views) for pass_views in all_views]
            on_subsets = [(1 / 2, pass_views) for pass_views in all_views[1:]]
        if self.both and self.training and output.full_logits is not None:
            full = self._views(replace(output, logits=output.full_logits), teacher, batch.target)
            on_logits = [(0.5, views), (0.5, full)]
        if mixed:
            blend = replace(output, logits=mixed.logits)
            partner_taps = {name: tap.index_select(0, mixed.partner) for name, tap in teacher.items()}
            on_logits = [
                (mixed.share, self._views(blend, teacher, batch.target)),
                (1 - mixed.share, self._views(blend, partner_taps, batch.target.index_select(0, mixed.partner))),
            ]
        weight = self.model.network.unimodal_weight
        for logits in output.unimodal_logits:
            unimodal = replace(output, logits=logits, full_logits=None)
            on_logits = [*on_logits, (weight, self._views(unimodal, teacher, batch.target))]
        return on_logits, on_subsets

    def forward(self, batch: Batch, teacher: dict[str, Tensor], share: Share | None = None) -> tuple[Tensor, Tensor]:
        """Batch and the teacher's arrays for its rows -> (scalar, weighted terms (K,)). With its share of a step the
        scalar is a part of the step's; the terms' mean over the step's batches, weighed by rows, is the step's."""
        terms, weights = self.terms(batch, teacher, share), self.weights * self.factors
        return torch.dot(terms, weights), terms.detach() * weights / (share.rows if share else 1.0)


def mixable(part: losses.LossPart, settings: PartSettings) -> bool:
    """Whether a loss reads logits only. Features of a row and of its mixup partner can't be mixed."""
    return bool(part.HEADS) and not part.FULL_INPUT and set(part.needs(settings)) <= {"logits"}


def loss_term(
    settings: PartSettings, part: losses.LossPart, layers: nn.ModuleDict, views: list[View], share: Share | None = None
) -> Tensor:
    """One loss over the targets that it is valid for, with the recipe's weights of the targets."""
    if not part.HEADS or len(views) == 1:
        return _scaled_by_share(part, part.loss(settings, layers, *views[0]), views[0], share, 0)
    heads = [(v[0].head, n, v) for n, v in enumerate(views) if v[0].head is not None]
    heads = [(head, n, v) for head, n, v in heads if compatibility.valid(part, settings, head.kind, len(head.classes))]
    total = sum(head.weight for head, _, _ in heads)
    head_losses: list[Tensor] = []
    for head, n, view in heads:
        head_losses.append(
            _scaled_by_share(part, part.loss(settings, layers, *view), view, share, n) * (head.weight / total)
        )
    return cast(Tensor, sum(head_losses))


def _scaled_by_share(part: losses.LossPart, loss: Tensor, view: View, share: Share | None, target: int) -> Tensor:
    """A batch's loss on target number ``target``, scaled by the batch's share of its step."""
    if share is None:
        return loss
    head = view[0].head
    if share.labels is None or head is None or not part.LABELLED:
        return loss * share.rows
    count = head.count(view[2])
    count = int(count) if count.device.type == "cpu" else count  # elsewhere the processor would wait for it
    return loss * (count / max(share.labels[target], 1))


def gate_columns(student: Iterable[str], teacher: Mapping[str, int], order: list[str], where: str) -> list[int]:
    """Which of the teacher's gates each modality of the student has; -1 where the teacher doesn't read it.

    Raises UsageError where the gates can't be assigned to modalities, or they share fewer than two.
    """
    count, read = teacher["gates"], [name for name in order or modalities(teacher) if name in teacher]
    names = order if len(order) == count else read
    columns = [names.index(name) if name in names else -1 for name in student]
    if len(names) != count or sum(column >= 0 for column in columns) < 2:
        raise UsageError(
            "this loss can't be used here",
            where=where,
            got=f"{count} gates of the teacher, for " + (", ".join(names) or "modalities without a name"),
            expected=f"two or more of the student's modalities among them: {', '.join(student)}",
            hint="use kind kd or hint",
        )
    return columns


def _reorder_gates(gates: Tensor, columns: list[int]) -> Tensor:
    """The teacher's gates (B, M_t) in the student's order (B, M_s), NaN of what the teacher doesn't read."""
    unknown = gates.new_full((len(gates),), torch.nan)
    return torch.stack([gates[:, m] if m >= 0 else unknown for m in columns], dim=1)
