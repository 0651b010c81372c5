"""Read, write and check records as the library does, and as plain json alone would read them.

runbook demo && python -m tests.benchmarks.records outputs
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from runbook_lib import forms
from runbook_lib.runs import record as records
from runbook_lib.runs.record import Filed, Record


def milliseconds(work: Callable[[], object]) -> float:
    """Return the best of five rounds of CPU time."""
    took = []
    for _ in range(5):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return round(min(took) * 1000, 1)


def main(outputs: Path) -> None:
    """Print what the records below a folder of outputs cost."""
    paths = [path for path in outputs.glob("*/*/data/??_*.json") if not path.name.endswith(".raw.json")]
    contents = [path.read_bytes() for path in paths]
    read, filed = forms.adapter(Record), [forms.adapter(Filed).validate_json(one, strict=True) for one in contents]
    assert all(getattr(one, each.name) is not None for one in filed for each in fields(Record))
    found = {
        "records": len(paths),
        "KiB": sum(map(len, contents)) // 1024,
        "read and check, ms": milliseconds(lambda: [read.validate_json(one, strict=True) for one in contents]),
        "write, ms": milliseconds(lambda: [records.to_bytes(one) for one in filed]),
        "check whole, ms": milliseconds(lambda: [records.faults(one) for one in contents]),
        "json alone, ms": milliseconds(lambda: [json.loads(one) for one in contents]),
    }
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
