"""The server: exported students over HTTP (docs/serve.md). FastAPI and uvicorn, the extra `serve`; no torch.

A request passes :mod:`admission`; :mod:`request_handler` reads its body within the limits. The rest is a job of
:mod:`batcher`, whose threads parse the body (:mod:`body_parsing`), validate it (:mod:`request_schema`), encode its rows
(:mod:`row_batches`), run the network on rows of several requests at once, and write the response (:mod:`routes_v1`,
:mod:`routes_v2`). The event loop only moves bytes.
"""
