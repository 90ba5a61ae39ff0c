"""Loads the public names of a package from their modules on first use."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

_IMPORT = re.compile(r"^    from (\S+) import (\([^)]*\)|.*)", re.MULTILINE)


def lazy_names(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package, from its ``__name__`` and ``__file__``.

    Its names are those that it imports under ``if TYPE_CHECKING``; the ``lazy_loader`` of
    scientific Python reads a stub in the same way. For example, a command that only needs the
    keys of vendor files loads no HTTP client. Ctrl-C is delayed until a module is loaded.

    Examples
    --------
    >>> import warehouse
    >>> get, names = lazy_names("warehouse", warehouse.__file__)
    >>> get("WarehouseError").__name__, names()[:2]
    ('WarehouseError', ['Gap', 'IncompleteError'])
    """

    @cache
    def modules() -> dict[str, str]:
        from pathlib import Path  # imported here, so that `import warehouse` loads less

        text = Path(file).read_text(encoding="utf-8")
        return {
            name: module
            for module, names in _IMPORT.findall(text)
            for name in re.findall(r"\w+", names)
        }

    def get(name: str) -> Any:
        if name not in modules():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from warehouse.interrupts import (
            delay_interrupts,  # local: importing a package loads nothing
        )

        with delay_interrupts():
            return getattr(import_module(modules()[name]), name)

    return get, lambda: sorted(modules())
