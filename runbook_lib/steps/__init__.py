"""The steps of the how-to: what each asks the tenant, how it reads the answers, and its checks."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def load() -> tuple[ModuleType, ...]:
    """Import and return every module of every step, so that each check is registered."""
    return tuple(import_module(found.name) for found in pkgutil.walk_packages(__path__, f"{__name__}."))
