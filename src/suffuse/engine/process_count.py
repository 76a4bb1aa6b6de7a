"""How much trainings are: whether processes of their own, which take seconds to start, would pay."""

from __future__ import annotations

from ..data.columns import Columns
from ..model import FusionModel
from ..recipe import Network, Training

STEPS = 800  # of small networks: some milliseconds each
PARAMETERS = 2e8  # times rows that are learned from, each epoch's: a second or two
NUMBERS = 2e7  # of those rows' entries: a convolution's first layer needs seconds for as many


def brief(network: Network, columns: Columns, trainings: list[Training]) -> bool:
    """Whether all of these ``trainings`` of ``network``, one after the other, take less time than starting a process.

    A forecast from sizes alone, so it is the same wherever a run goes on. It decides nothing but who trains: one thread
    has the same bits in any process.
    """
    rows, own = len(columns.rows("train")), columns.of(network.encoders)
    if sum(how.epochs * -(-rows // how.batch) for how in trainings) > STEPS:
        return False
    learned = rows * sum(how.epochs for how in trainings)
    return learned * own.numbers() <= NUMBERS and learned * FusionModel(network, own.spec).size() <= PARAMETERS
