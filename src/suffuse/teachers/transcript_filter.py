"""Keys of teachers whose answers are transcripts: which ones a student learns from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MinConfidence = Annotated[
    float, Field(ge=0, le=1, description="Transcripts with a lower confidence, or none, are left out.")
]
MaxWordError = Annotated[
    float | None,
    Field(ge=0, description="Transcripts with more word errors for each word of the second recogniser's are left out."),
]
