"""The public face of a package: its names are loaded from their modules on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_face(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package; ``modules`` maps each module to its names.

    For example, a command that only needs the keys of vendor files loads no HTTP client. Ctrl-C is
    delayed until a module is loaded.

    Examples
    --------
    >>> get, names = lazy_face("warehouse", {"errors": "WarehouseError"})
    >>> get("WarehouseError").__name__, names()
    ('WarehouseError', ['WarehouseError'])
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from warehouse.interrupts import held_back  # here, so that importing a face loads nothing

        with held_back():
            return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get, lambda: sorted(homes)
