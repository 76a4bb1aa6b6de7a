"""What a proposed recipe says besides the columns' roles: sizes and trainings, of which its text is written."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..sources.table_format import MISSING_VALUES
from ..sources.text_format import TextFormat


@dataclass(frozen=True)
class TeacherTraining:
    """The teacher's training, on the rows that have a label."""

    batch: int
    epochs: int
    seeds: int


@dataclass(frozen=True)
class Draft:
    """What the recipe says besides the columns' roles."""

    source: str
    rows: int
    modalities: dict[str, dict]  # name -> kind, column and settings
    batch: int
    epochs: int
    students: int  # seeds
    folds: int  # of the portfolio; 0: there is none
    unimodal_baselines: bool
    few_rows: bool  # too few for a hidden layer in the networks' heads
    teacher_training: TeacherTraining
    sentences: dict[str, dict] = field(default_factory=dict)  # modalities that the teacher alone reads, with MiniLM
    suggests_sentences: bool = False  # MiniLM would read some, and isn't installed
    pretrained: bool = False  # ImageNet weights are installed
    text_format: TextFormat | None = None  # of a text table
    missing_values: tuple[str, ...] = MISSING_VALUES
    root: str | None = None
    allowed_dir: str | None = None
    longer_baselines: bool = True  # where a comparison isn't settled
    compared_exports: bool = True  # also the teacher's export and an int8 form, where they are worth it
    member_seconds: float | None = None  # estimated, that the portfolio's models may take
    transcript: bool = False  # the target is a sequence, along the first recording
    candidates: bool = False  # each modality alone, from which the student is selected too
    student_budget: tuple[tuple[str, float | str], ...] = ()  # limits of its cost: key of ``student.budget``, value
    minutes: float | None = None  # the time budget that the trainings were chosen for
    shortened: tuple[str, ...] = ()  # what the budget left out of the proposal
