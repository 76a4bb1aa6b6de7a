"""What a model's requests hold, as pydantic types made from its columns. They validate requests and describe them.

A cell becomes bytes, a text, a number or a list of numbers, never a path or an address. Validators that know the reason
raise :class:`Refusal`, which passes through pydantic; its own errors are translated by :func:`refusal_of`.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    model_validator,
)
from typing_extensions import TypedDict

from ..modalities.cell import WEB
from ..predictor import Predictor
from .http_error import Refusal, shorten, suggest, unprocessable
from .limits import CellLimits

MEDIA = ("image", "audio")  # come as bytes, never as a path
MAX_CHARACTERS = 1000  # of a cell that holds a number or a category
MAX_NUMBER = 3e38  # of a series, which becomes 32 bits wide
AS_BYTES = 'send it as {"base64": "..."} or as a file of a multipart form'
BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
JSON_TYPES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}
TAKES = {"text": "a text", "number": "a number", "category": "a category", "series": "numbers"}
OPTIONS = {
    "top_k": ("bad_top_k", "a whole number from 1 on"),
    "threshold": ("bad_threshold", "a number from 0 to 1"),
    "contributions": ("bad_contributions", "true or false"),
    "on_unreadable": ("bad_on_unreadable", "error or absent"),
}
OnUnreadable = Literal["error", "absent"]
Number = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Step = Annotated[list[Number], Field(fail_fast=True)]
Series = Annotated[list[Number | Step], Field(fail_fast=True)]
DataURL = Annotated[str, Field(pattern="^data:[a-z]+/[a-z0-9.+-]+;base64," + BASE64)]


class EncodedFile(BaseModel):
    """A file as JSON holds it."""

    model_config = ConfigDict(extra="forbid")
    base64: Annotated[str, Field(pattern="^" + BASE64)]


class RequestModel(BaseModel):
    """A strict object of a request. Of many unknown keys it keeps one, for pydantic would write an error for each."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def keep_one_unknown_key(cls, value: Any) -> Any:
        """Every known key, and the first unknown one where there are more keys than fields."""
        if isinstance(value, dict) and len(value) > len(cls.model_fields):
            unknown = next(key for key in value if key not in cls.model_fields)
            value = {key: value[key] for key in (*cls.model_fields, unknown) if key in value}
        return value


class PredictionOptions(RequestModel):
    """How the answers are to look."""

    top_k: Annotated[float, Field(ge=1, multiple_of=1, allow_inf_nan=False)] | None = Field(
        None, description="only so many, the most probable ones"
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="an answer less sure abstains")
    contributions: bool | None = Field(None, description="also what each modality brought")
    on_unreadable: OnUnreadable | None = Field(
        None, description="error (the default): refused with 422 and the reason; absent: answered without it"
    )


class PredictRequest(PredictionOptions):
    """A request for predictions; each model has a subclass with records of its own columns."""

    records: list[dict[str, Any]]


@dataclass(frozen=True)
class Column:
    """One key of a record."""

    name: str
    type: str  # image, audio, text, number, category or series
    max_items: int = 1  # pictures in one cell


def model_columns(predictor: Predictor) -> Mapping[str, Column]:
    """By name. A column that is derived where it lacks brings what it is derived from; a modality's name stands for
    its only column."""
    columns: dict[str, Column] = {}
    for modality in predictor.describe()["inputs"]:
        for column in modality["columns"]:
            columns[column["name"]] = Column(column["name"], column["type"], column.get("most", 1))
    for derivation in predictor.derived.values():
        source = derivation.settings.column
        columns.setdefault(source, Column(source, "audio" if derivation.settings.kind == "transcribe" else "text"))
    for modality in predictor.inputs:
        if isinstance(modality.settings.column, str) and modality.field.kind != "tabular":
            columns.setdefault(modality.field.name, columns[modality.settings.column])
    return columns


def request_model(name: str, columns: Mapping[str, Column], limits: CellLimits) -> type[PredictRequest]:
    """The request of the model of this name. Validate with a
    :class:`~suffuse.serving.decoding_budget.DecodingBudget` as context."""
    cells: Any = {column.name: cell_type(column, limits) for column in columns.values()}
    record: Any = TypedDict(f"Record_{name}", cells, total=False)  # pyright: ignore[reportArgumentType]
    record.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", json_schema_extra={"minProperties": 1})
    records: Any = Annotated[
        list[Annotated[record, BeforeValidator(partial(rename_columns, columns))]],
        Field(min_length=1, max_length=limits.records),
        BeforeValidator(partial(check_records, limits)),
    ]
    return create_model(f"PredictRequest_{name}", __base__=PredictRequest, records=(records, ...))


def form_model(name: str, columns: Mapping[str, Column], limits: CellLimits) -> Any:
    """The same as a form: one record. It only describes."""
    text, short = (Annotated[str, Field(max_length=n)] for n in (limits.characters, MAX_CHARACTERS))
    fields: dict[str, Any] = {f"_{key}": field.annotation for key, field in PredictionOptions.model_fields.items()}
    for column in columns.values():
        if column.type in MEDIA:
            files = Annotated[list[bytes], Field(max_length=column.max_items)]
            fields[column.name] = bytes if column.max_items == 1 else files
        elif column.type != "series":
            fields[column.name] = text if column.type == "text" else short
    form: Any = TypedDict(f"PredictForm_{name}", fields, total=False)  # pyright: ignore[reportArgumentType]
    form.__pydantic_config__ = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})
    return form


def cell_type(column: Column, limits: CellLimits) -> Any:
    """The pydantic type of a column's cells."""
    if column.type in MEDIA:
        schema: Any = EncodedFile | DataURL | None  # pyright: ignore[reportOperatorIssue]
        if column.max_items > 1:
            schema = Annotated[list[schema], Field(max_length=column.max_items)] | schema
        return Annotated[Any, BeforeValidator(partial(read_media, column), json_schema_input_type=schema)]
    if column.type == "series":
        schema = EncodedFile | Number | Series | None  # pyright: ignore[reportOperatorIssue]
        return Annotated[
            bytes | Number | Series | None,
            BeforeValidator(partial(read_series, column), json_schema_input_type=schema),
        ]
    limit = limits.characters if column.type == "text" else MAX_CHARACTERS
    text: Any = Annotated[str, Field(max_length=limit), BeforeValidator(replace_surrogates)]
    text = text | None
    return text if column.type == "text" else bool | int | Finite | text


def check_records(limits: CellLimits, records: Any) -> list[dict[str, Any]]:
    """Raises Refusal where they aren't a list of objects, or there are none or too many."""
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise unprocessable("no_records", "'records' isn't a list of objects", 'send {"records": [{...}]}')
    check_count(len(records), limits)
    return records


def check_count(count: int, limits: CellLimits) -> None:
    """Raises Refusal where a request has no records, or too many."""
    if not count:
        raise unprocessable("no_records", "there are no records")
    if count > limits.records:
        raise unprocessable("too_many_records", f"{count:,} records at once", f"at most {limits.records:,}")


def rename_columns(columns: Mapping[str, Column], record: dict[str, Any]) -> dict[str, Any]:
    """A record by its columns' own names. Raises Refusal where a key is unknown, or two keys are one column."""
    renamed: dict[str, Any] = {}
    for key, value in record.items():
        if key not in columns:
            raise unprocessable("unknown_column", f"this model has no column '{shorten(key)}'", suggest(key, columns))
        name = columns[key].name
        if name in renamed:
            raise unprocessable("column_twice", f"the column '{name}' is there twice")
        renamed[name] = value
    return renamed


def read_media(column: Column, value: Any, info: ValidationInfo) -> Any:
    """One file, or several where the column takes several. Raises Refusal."""
    if column.max_items == 1 or not isinstance(value, list):
        return read_file(column, value, info)
    if len(value) > column.max_items:
        message = f"'{column.name}' has {len(value)} pictures"
        raise unprocessable("too_many_pictures", message, f"at most {column.max_items}")
    return [read_file(column, item, info) for item in value]


def read_series(column: Column, value: Any, info: ValidationInfo) -> Any:
    """A file's bytes; numbers unchanged. Raises Refusal."""
    return read_file(column, value, info) if isinstance(value, dict) else value


def read_file(column: Column, value: Any, info: ValidationInfo) -> bytes | None:
    """{"base64": ...}, a data: URL or the bytes of a form's file -> bytes; None where there are none. It is counted
    against the decoding budget, not decoded. Raises Refusal."""
    budget: Any = info.context
    if value is None or value == b"":
        return None
    content = value if isinstance(value, bytes) else decode_base64(column, value, budget.cells.cell_bytes)
    if len(content) > budget.cells.cell_bytes:
        raise file_too_large(column, budget.cells.cell_bytes)
    if column.type == "image":
        budget.add_picture(column.name, content)
    elif column.type == "audio":
        budget.add_sound(column.name, content)
    return content or None


def decode_base64(column: Column, value: Any, max_bytes: int) -> bytes:
    """Raises Refusal; a server that opened what a client names would read files that aren't the client's."""
    if isinstance(value, dict):
        value = value["base64"] if value.keys() == {"base64"} else value
    elif isinstance(value, str) and not value.startswith("data:"):
        if value.lower().lstrip().startswith((*WEB, "//", "file:")) or "://" in value[:32]:
            raise unprocessable("url_refused", f"'{column.name}' is an address: nothing is fetched", AS_BYTES)
        raise unprocessable("path_refused", f"'{column.name}' is a text: no file is opened by its name", AS_BYTES)
    if not isinstance(value, str):
        raise unprocessable("wrong_type", f"'{column.name}' takes a file, not {json_type(value)}", AS_BYTES)
    if value.startswith("data:"):
        head, _, value = value.partition(",")
        if not head.endswith(";base64"):
            raise unprocessable("bad_base64", f"'{column.name}': a data: URL whose data isn't base64", AS_BYTES)
    if len(value) > 4 * (max_bytes // 3 + 1):
        raise file_too_large(column, max_bytes)
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        message = f"'{column.name}' isn't base64: {error}"
        raise unprocessable("bad_base64", message, "the alphabet is A-Z a-z 0-9 + / =") from None


def replace_surrogates(value: Any) -> Any:
    """A text without lone surrogates, which JSON may hold as escapes: each becomes a question mark."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) and not value.isascii() else value


def file_too_large(column: Column, max_bytes: int) -> Refusal:
    """413."""
    return Refusal(413, "file_too_large", f"'{column.name}' is too large", f"at most {max_bytes:,} bytes")


def refusal_of(error: ValidationError, columns: Mapping[str, Column]) -> Refusal:
    """pydantic's errors of a request -> the most telling one: an unknown key, else a value of the right type that is
    out of range, else the innermost wrong type."""

    def rank(detail: Any) -> tuple[bool, bool, int]:
        return detail["type"] != "extra_forbidden", detail["type"].endswith("_type"), -len(detail["loc"])

    detail = min(error.errors(include_url=False), key=rank)
    location = detail["loc"]
    if not location:
        return unprocessable("wrong_type", "the body isn't an object", 'send {"records": [{...}]}')
    key = str(location[0])
    if detail["type"] == "extra_forbidden":
        keys = PredictRequest.model_fields
        return unprocessable("unknown_key", f"there is no key '{shorten(key)}'", suggest(key, keys))
    if key in OPTIONS:
        code, expected = OPTIONS[key]
        return unprocessable(code, f"'{key}' isn't {expected}")
    if len(location) < 3:
        return unprocessable("no_records", "'records' isn't a list of objects", 'send {"records": [{...}]}')
    return _cell_refusal(columns[str(location[2])], detail)


def _cell_refusal(column: Column, detail: Any) -> Refusal:
    name, value = column.name, detail["input"]
    if detail["type"] == "string_too_long":
        limit = detail["ctx"]["max_length"]
        return unprocessable("text_too_long", f"'{name}' has {len(value):,} characters", f"at most {limit:,}")
    if not detail["type"].endswith("_type"):
        return unprocessable("not_finite", f"'{name}' has a number that is too large")
    return unprocessable("wrong_type", f"'{name}' takes {TAKES[column.type]}, not {json_type(value)}")


def json_type(value: Any) -> str:
    """A value's JSON type with its article."""
    return JSON_TYPES.get(type(value), "null")
