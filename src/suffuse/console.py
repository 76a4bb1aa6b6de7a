"""The process around a command: what its terminal and its locale can hold, and which packages are installed."""

from __future__ import annotations

import codecs
import os
import sys

from .errors import SuffuseError

ESCAPE = "suffuse-escape"  # the name of the handler of characters that can't be encoded
TRAINING = ("torch", "safetensors", "sklearn", "scipy", "onnx", "onnxscript", "jinja2", "markupsafe", "matplotlib")
EXTRAS = {  # top-level module -> the extra that installs it
    **dict.fromkeys(TRAINING, "train"),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "python_multipart", "prometheus_client"), "serve"),
    "optuna": "tune",
    "captum": "explain",
    "datasets": "datasets",
    "urllib3": "fetch",
}


def settle_encodings() -> None:
    """Make every text printable, and every argument and file name readable, whatever the locale is.

    A character that stdout or stderr can't encode is written as JSON escapes it, ``\\u7b54``, so that JSON on stdout
    holds the same data in every encoding. Where the locale's encoding is ASCII, arguments and file names beyond it
    couldn't be used: the command is started again in Python's UTF-8 mode (PEP 540), of which ASCII is a part.
    """
    codecs.register_error(ESCAPE, _escape)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ESCAPE)  # pyright: ignore[reportAttributeAccessIssue]
    arguments = sys.argv[1:]
    is_program = sys.orig_argv[len(sys.orig_argv) - len(arguments) :] == arguments  # and no function in another one
    if _is_ascii(sys.getfilesystemencoding()) and not sys.flags.utf8_mode and sys.executable and is_program:
        os.environ["PYTHONUTF8"] = "1"  # for the processes that the command starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def missing_package(error: ModuleNotFoundError) -> SuffuseError | None:
    """How a package is installed that a command needs; None where it is a module of Python's or of suffuse's own."""
    name = (error.name or "").partition(".")[0]
    if name in ("", "suffuse") or name in sys.stdlib_module_names:
        return None
    package = f"'suffuse[{EXTRAS[name]}]'" if name in EXTRAS else name
    return SuffuseError(f"{name} isn't installed, which this verb needs", hint=f"pip install {package}")


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Two escapes of a character beyond 16 bits, as in JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(f"\\u{code:04x}" for code in codes), error.end


def _is_ascii(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "ascii"
