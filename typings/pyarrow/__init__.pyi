# pyarrow ships no types. Its names are Any for the type checker, in annotations too.
from typing import Any

def __getattr__(name: str) -> Any: ...
