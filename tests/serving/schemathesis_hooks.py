"""What schemathesis is told beside the description of the routes."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: Any) -> bool:
    """A list of nothing, or nothing, in a field leaves no field in a form: what would be sent keeps to the schema."""
    form = case.media_type == "multipart/form-data" and isinstance(case.body, dict)
    return not (form and any(value in ([], {}, None) for value in case.body.values()))
