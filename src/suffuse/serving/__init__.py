"""The server: exported students behind HTTP (docs/serve.md). FastAPI and uvicorn, the extra `serve`; no torch.

A request's way: :mod:`gate` lets it in, :mod:`body` reads it within its limits, and all that follows is a job of
:mod:`batcher`, whose threads parse it (:mod:`asked`, :mod:`cells`), prepare its rows, run the network on the rows of
several requests at once, and write the answer (:mod:`reply`). The loop itself only moves bytes.
"""
