"""The warm parent: whoever imports this has loaded, without starting a thread, what a tenant's notebooks will use.

The process that the tenants' processes are forked from imports it once (processes.py), so that none of them has to.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import os
import sys
from contextlib import suppress
from types import SimpleNamespace

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy starts threads otherwise, and forking with threads is a hazard
ABSENT = ("azure.storage.blob", "boto3", "debugpy", "isoduration", "rfc3987_syntax")
"""What papermill, ipykernel and jsonschema import if it is there, which takes two seconds, and no tenant needs."""
LATE = (
    "IPython.core.application",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.magics",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "encodings.idna",
    "encodings.utf_8_sig",
    "ipykernel.debugger",
    "ipykernel.kernelspec",
    "msal_extensions",
    "nbformat.v4",
    "pandas.core.methods.to_dict",
    "pandas.io.formats.csvs",
    "pandas.io.formats.html",
    "pandas.io.formats.string",
    "papermill.parameterize",
    "typer",
)
"""What is imported only when it is first used."""
OURS = (
    "batch.engine.kernel",
    "batch.tenant",
    "clients.entra.sign_in",
    "clients.graph.client",
    "evidence.verify",
    "notebook.earlier",
    "notebook.private_window",
    "notebook.run",
    "report.page",
    "report.portfolio",
)
"""What of ours the notebooks, and what runs them, begin with."""


def load() -> None:
    """Import it all, and take it out of the garbage collector's sight, which would unshare its memory."""
    absent = {name: None for name in ABSENT if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]  # how Python notes that a module cannot be imported
    from runbook_lib import steps
    from runbook_lib.batch.engine.fast_validation import replaced

    notebook = SimpleNamespace(kernel=True)  # pandas asks while it is imported whether it shows tables to a terminal
    with replaced(builtins, "get_ipython", lambda: notebook):
        importlib.import_module("runbook_lib.steps.tables")
    for name in (*(f"runbook_lib.{name}" for name in OURS), *LATE):
        importlib.import_module(name)
    steps.load()
    importlib.import_module("nbformat").validate({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []})
    importlib.import_module("runbook_lib.vendors").calls()
    importlib.import_module("runbook_lib.report.controls").supports()
    importlib.import_module("runbook_lib.batch.engine.kernel")._is_this_python("python3")
    records = importlib.import_module("runbook_lib.runs.record")
    records.forms.adapter(records.Record)
    records.forms.adapter(records.Filed)
    importlib.import_module("runbook_lib.evidence.secrets").known_forms()
    with suppress(OSError):  # a tenant that needs the bundle says in words what is wrong with it
        importlib.import_module("runbook_lib.clients.http").system_trust()
    pages = importlib.import_module("runbook_lib.report.page")._environment()
    for name in pages.list_templates():
        pages.get_template(name)
    for name in absent:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


load()
