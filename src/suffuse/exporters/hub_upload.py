"""Uploads an export to a repository on the Hugging Face Hub, or on another server that speaks its protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import export_integrity
from ..errors import SuffuseError
from ..progress import say
from ..registry import optional


def push(folder: Path, repo: str, public: bool = False, endpoint: str | None = None) -> str:
    """Upload the files of an export folder, or of the export of a run, and no others; returns the commit's address.

    A repository that isn't there is made: private, unless ``public``. ``endpoint``: the server; by default
    ``HF_ENDPOINT``, or the Hub. The token is that of ``huggingface_hub``: ``HF_TOKEN``, or its login.
    Raises SuffuseError where the folder is no whole export, or the server refuses it.
    """
    place, files, signature = export_integrity.checked_files(folder)
    if rows := signature.get("examples", 0):
        say(f"WARNING: {rows} rows of the table are uploaded too, in examples.json (export.examples)")
    hub: Any = optional("huggingface_hub", "hub")
    try:
        api = hub.HfApi(endpoint=endpoint)
        api.create_repo(repo, private=not public, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=place, allow_patterns=[*files, export_integrity.SIGNATURE],
            commit_message=f"suffuse export {signature['digest'][:12]}",
        )  # fmt: skip
    except Exception as error:  # of the library, and of the HTTP client that it uses
        message = next(iter(str(error).splitlines()), type(error).__name__)
        raise SuffuseError("can't push the export", where=repo, got=message, hint="HF_TOKEN is the token") from None
    return str(commit.commit_url)
