"""Experiment trackers behind one interface: MLflow and Weights & Biases get epochs, recipe and test scores.

``compute.tracker`` chooses one. One tracked run stands for the whole run; ``tracker.json`` in the run's folder names
it, so that a run which is continued goes on there. Servers and projects come from the library's own environment
variables.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from .epoch_events import Callback, Epoch, listening
from .files import read_json, write_json
from .progress import say
from .registry import optional
from .run import Run, flat

FILE = "tracker.json"
PROJECT = "suffuse"  # experiment or project where the environment names none
MAX_PARAMETER = 500  # characters of a recipe value


class Tracker(Protocol):
    """What an experiment tracker does for a run."""

    def log(self, values: dict[str, float], step: int | None, group: str) -> None:
        """Values by name; ``group``: the training that counts the steps, "" for values without a step."""
        ...

    def close(self) -> None:
        """The run ended."""
        ...


class MlflowTracker:
    """An MLflow run; where the server is says ``MLFLOW_TRACKING_URI``, the experiment ``MLFLOW_EXPERIMENT_NAME``."""

    def __init__(self, run: Run):
        client: Any = optional("mlflow", "mlflow").MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else client.create_experiment(name)
        self.client, self.id = client, _known(run, "mlflow")
        if self.id is None:
            self.id = client.create_run(
                number, run_name=run.folder.name, tags={"suffuse.run": str(run.folder)}
            ).info.run_id
            for key, value in flat(run.recipe.model_dump(mode="json")).items():
                client.log_param(self.id, key, str(value)[:MAX_PARAMETER])
            write_json(run.path(FILE), {"kind": "mlflow", "id": self.id})

    def log(self, values: dict[str, float], step: int | None, group: str) -> None:
        """Metrics of the run."""
        for name, value in values.items():
            self.client.log_metric(self.id, name, value, step=step)

    def close(self) -> None:
        """Mark it finished."""
        self.client.set_terminated(self.id)


class WandbTracker:
    """A run of Weights & Biases, offline unless ``WANDB_MODE`` says otherwise; the project is ``WANDB_PROJECT``. Its
    files stand where ``WANDB_DIR`` says, by default in ``./wandb``: links in them lead out of their folder, which none
    in a run folder may."""

    def __init__(self, run: Run):
        wandb: Any = optional("wandb", "wandb")
        known = _known(run, "wandb")
        self.groups: set[str] = set()
        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=run.folder.name, id=known, resume="allow",
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=run.recipe.model_dump(mode="json"),
        )  # fmt: skip
        if known is None:
            write_json(run.path(FILE), {"kind": "wandb", "id": self.run.id})

    def log(self, values: dict[str, float], step: int | None, group: str) -> None:
        """History of the run; each training counts its own epochs."""
        if step is None:
            self.run.summary.update(values)
            return
        if group not in self.groups:
            self.groups.add(group)
            self.run.define_metric(f"{group}/*", step_metric=f"{group}/epoch")
        self.run.log({**values, f"{group}/epoch": step})

    def close(self) -> None:
        """Write what is left."""
        self.run.finish()


TRACKERS = {"mlflow": MlflowTracker, "wandb": WandbTracker}


def _known(run: Run, kind: str) -> str | None:
    """The tracked run of this run, where it has one."""
    facts = read_json(run.path(FILE))
    return str(facts["id"]) if isinstance(facts, dict) and facts.get("kind") == kind and facts.get("id") else None


class Tracked:
    """A callback that hands epochs and scores to a tracker, which is opened with the first of them. A tracker that
    fails stops tracking, with a warning, and not the run."""

    def __init__(self, run: Run, kind: str):
        optional(kind, kind)  # a missing library is told before anything is trained
        self.run, self.kind, self.failed = run, kind, False
        self.tracker: Tracker | None = None

    def on_epoch_end(self, epoch: Epoch) -> None:
        """Loss, its terms and the validation scores, under the training's name."""
        values = {"loss": epoch.loss, **{f"losses/{name}": value for name, value in epoch.losses.items()}}
        values |= {f"validation/{name}": value for name, value in epoch.validation.items()}
        self._log({f"{epoch.training}/{name}": value for name, value in values.items()}, epoch.number, epoch.training)

    def finish(self) -> None:
        """The test scores of the run's models, where they are there; then close."""
        scores: dict[str, float] = {}
        for file in sorted(self.run.path("scores").glob("*.json")):
            card = read_json(file)
            if isinstance(card, dict) and isinstance(card.get("metrics"), dict):
                metrics = {
                    name: facts.get("mean") for name, facts in card["metrics"].items() if isinstance(facts, dict)
                }
                scores |= {f"test/{file.stem}/{n}": float(v) for n, v in metrics.items() if isinstance(v, (int, float))}
        if scores:
            self._log(scores, None, "")
        self.close()

    def close(self) -> None:
        """Close the tracker, if it was opened."""
        if self.tracker is not None:
            with self._warning():
                self.tracker.close()

    def _log(self, values: dict[str, float], step: int | None, group: str) -> None:
        if not self.failed:
            with self._warning():
                self.tracker = self.tracker or TRACKERS[self.kind](self.run)
                self.tracker.log(values, step, group)

    @contextlib.contextmanager
    def _warning(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # what a tracker's library raises shares no base class
            self.failed = True
            message = next(iter(str(error).splitlines()), type(error).__name__)
            say(f"WARNING: {self.kind} doesn't track this run any more: {message}")


@contextlib.contextmanager
def told(run: Run, callbacks: Sequence[Callback]) -> Iterator[None]:
    """Inside, callbacks and the recipe's tracker are told of epochs; afterwards the tracker gets the test scores."""
    tracked = [Tracked(run, run.recipe.compute.tracker)] if run.recipe.compute.tracker else []
    with listening([*callbacks, *tracked]):
        try:
            yield
        except BaseException:
            for tracker in tracked:
                tracker.close()
            raise
    for tracker in tracked:
        tracker.finish()
