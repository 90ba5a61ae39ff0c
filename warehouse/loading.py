"""Loading large libraries, which is most of the time that a process takes for its first answer."""

from __future__ import annotations

import gc
from importlib import import_module
from types import ModuleType

from warehouse.interrupts import interruptible


def load(name: str) -> ModuleType:
    """A module, imported without collecting garbage meanwhile.

    What a module makes stays; looking through all of it again and again is a tenth of the time.

    Examples
    --------
    >>> load("json").dumps([1])
    '[1]'
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        with interruptible():
            return import_module(name)
    finally:
        if is_collecting:
            gc.enable()
