"""YAML as recipes use it: plain values, each key once, and bounded in every direction before anything is built.

The limits are far above any recipe's needs. They keep a hostile file from taking the machine's time or memory: aliases
expand exponentially, nesting exhausts the stack, and an integer's digits take quadratic time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..errors import UsageError
from ..files import plain_file

MAX_BYTES = 2**20
MAX_LEVELS = 32  # mappings and lists inside each other; the deepest recipe has about ten
LONGEST_NUMBER = 64  # characters


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that a recipe may not contain."""

    def __init__(self, message: str, mark: Any, facts: dict[str, str]):
        super().__init__(problem=message, problem_mark=mark)
        self.message, self.facts = message, facts


class _Loader(yaml.SafeLoader):
    """Plain values only, each key once, no anchors, and at most ``MAX_LEVELS`` levels."""

    def __init__(self, text: str):
        super().__init__(text)
        self.level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As the base does, after checks of the next node. Nothing behind it has been read yet."""
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            got, hint = f"{sign}{event.anchor}"[:40], "write the value out in every place"
            _refuse("a recipe has no anchors and aliases", event.start_mark, got=got, hint=hint)
        if self.level == MAX_LEVELS:
            _refuse("the recipe is nested too deep", event.start_mark, expected=f"at most {MAX_LEVELS} levels")
        self.level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.level -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the base does; what Python refuses (13 for a month, a tag that doesn't fit) is an error in the recipe."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            _refuse("can't read this value in the recipe", node.start_mark, got=str(node.value)[:40])

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """An integer or a float of a sane length."""
        if len(str(node.value)) > LONGEST_NUMBER:
            got, expected = f"{len(node.value):,} characters", f"at most {LONGEST_NUMBER}"
            _refuse("a number in the recipe is too long", node.start_mark, got=got, expected=expected)
        base = self.construct_yaml_int if node.tag.endswith(":int") else self.construct_yaml_float
        return base(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """As the base does, after a check of the keys that are written in this mapping itself."""
        lines: dict[Any, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in lines:
                got = f"'{name}', in line {lines[name]} too"
                _refuse("a key stands twice in the recipe", key.start_mark, got=got)
            if name is not None:
                lines[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, which the loader refuses."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a list out in both places."""
        return True


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)


def _refuse(message: str, mark: Any, **facts: str) -> NoReturn:
    raise _Refused(message, mark, facts)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds.

    Raises FileNotFoundError where there is none; UsageError, naming file and line, where it isn't a regular file, is
    too large, isn't YAML or contains what recipes may not.
    """
    try:
        with plain_file(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            got = f"{path.stat().st_size:,} bytes"
            raise UsageError("the recipe is too large", where=path, got=got, expected=f"at most {MAX_BYTES:,}")
        return parse_yaml(content.decode("utf-8-sig"), str(path))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("can't read the recipe", where=path, got=error) from None


def parse_yaml(text: str, where: str = "recipe") -> Any:
    """A YAML text -> plain values. Raises UsageError, naming ``where`` and the line, as :func:`read_yaml` does."""
    if len(text) > MAX_BYTES:
        raise UsageError("the recipe is too large", where=where, expected=f"at most {MAX_BYTES:,} bytes")
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        if isinstance(error, _Refused):
            raise UsageError(error.message, where=place, **error.facts) from None
        raise UsageError("the recipe is not YAML", where=place, got=getattr(error, "problem", error)) from None
    finally:
        if loader is not None:
            loader.dispose()


def yaml_text(value: Any, **style: Any) -> str:
    """Plain values as YAML that :func:`parse_yaml` reads; ``style`` is passed on to PyYAML."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, **style)
