"""Times of forms against fp32, measured once in a run.

No two measurings agree to the last digit, and what is chosen by them must not change when a stage is done again. So the
ratios are kept beside the stages' results, by the contents that they are of, and are looked up the next time.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from ..checked_json import read_checked, write_checked
from .onnx_session import Feed, Ratio, Session, ratio

AGAIN = "remove it: the times are measured again, and another form may be chosen by them"


@dataclass(frozen=True)
class Times:
    """The ratios of a run."""

    file: Path
    given: Feed  # one row, as the model takes it

    def ratio(self, ours: bytes, theirs: bytes, name: str) -> Ratio:
        """Time of one model / time of another, on one row and one thread; ``name`` is for who reads the file."""
        known = read_checked(self.file, AGAIN) or {}
        key = hashlib.sha256(hashlib.sha256(ours).digest() + hashlib.sha256(theirs).digest()).hexdigest()
        if key in known:
            return Ratio(**known[key]["ratio"])
        found = ratio(Session(ours), Session(theirs), self.given)
        write_checked(self.file, {**known, key: {"of": name, "ratio": asdict(found)}})
        return found
