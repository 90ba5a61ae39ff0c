"""Loading large libraries, which is most of the time that a process takes for its first answer."""

from __future__ import annotations

import gc
from importlib import import_module
from types import ModuleType

from warehouse.interrupts import held_back


def load(name: str) -> ModuleType:
    """A module, imported whole: without collecting garbage, and Ctrl-C comes when it is done.

    What a module makes stays; looking through all of it again and again is a tenth of the time. Of
    a package whose import was broken off parts stay, and Python cannot import it any more.

    Examples
    --------
    >>> load("json").dumps([1])
    '[1]'
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        with held_back():
            return import_module(name)
    finally:
        if is_collecting:
            gc.enable()
