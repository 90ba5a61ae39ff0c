"""Finds the line of a file to which an error of dbt or DuckDB refers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from warehouse.errors import TICKS

_MOST_LINES = 20
_LONGEST_LINE = 300
_LIKE = 0.6
_COUNTED = re.compile(r"^ *LINE \d+:", re.MULTILINE)
_OF_TICKS = re.compile(
    r'(Table Function with name ticks(?:_\w+)? does not exist)!(\s*Did you mean "[^"]*"\?)?'
)
_STACK = re.compile(r"\s*> (?:in|called by) (?:macro|model) ")


def at_line(place: str, text: str, reason: str) -> str:
    """The place and line as ``models/mine.sql:3``, then the message, line by line.

    DuckDB counts lines of the compiled statement: its ``LINE 9:`` becomes the line of the text.
    """
    line = _line_of(text.splitlines(), reason)
    reason = _COUNTED.sub(lambda match: " " * len(match[0]), reason)
    reason = _OF_TICKS.sub(
        rf"\1: only a catalog with ticks has such functions\n  next: {TICKS}", reason
    )
    texts = [text.rstrip() for text in reason.strip().splitlines() if text.strip()]
    texts = [text for text in texts if not _STACK.match(text)]
    head = place + (f":{line}" if line else "")
    return "\n".join([head, *(text[:_LONGEST_LINE] for text in texts[:_MOST_LINES])])


def _line_of(lines: Sequence[str], reason: str) -> int | None:
    """The line to which a message refers, counted from 1; None if it cannot be found.

    Jinja counts lines of the file, or of a text in a yml. DuckDB counts those of the compiled
    statement, but shows the text: the most similar line is used, because parts of it may be Jinja
    in the file. Else the first quoted name is searched.
    """
    counted = re.search(r"^\s*line (\d+)\s*\n\s*(\S.*?)\s*$", reason, re.MULTILINE)
    shown = re.search(r"^\s*LINE \d+: (.*)$", reason, re.MULTILINE)
    wanted = [shown[1].strip().removeprefix("...").removesuffix("...").strip()] if shown else []
    if counted:
        number = int(counted[1])
        if number <= len(lines) and counted[2] in lines[number - 1]:
            return number
        wanted = [counted[2]]
    quoted = re.findall(r"node named '([^']+)'", reason) + re.findall(r'"([^"\n]+)"', reason)
    for text in filter(None, wanted + quoted):
        found = next((i for i, line in enumerate(lines, 1) if text in line), None)
        if found is None and text in wanted:
            found = _nearest(lines, text)
        if found is not None:
            return found
    return None


def _nearest(lines: Sequence[str], text: str) -> int | None:
    stripped = [line.strip() for line in lines]
    near = get_close_matches(text, stripped, n=1, cutoff=_LIKE)
    return stripped.index(near[0]) + 1 if near else None
