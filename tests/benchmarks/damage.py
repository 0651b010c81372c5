"""How verdicts stand damage: every answer of every sandbox tenant, one thing damaged at a time, some thousand times.

    python tests/benchmarks/damage.py [examples] [seed]

Prints how many damages ended in an error that is not in words, how many made a check come out better, and which.
"""

from __future__ import annotations

import random
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from runbook_lib.sandbox.server import serving
from tests.steps import damage


def main() -> int:
    """Damage as often as asked, and return the exit code."""
    examples, seed = (
        (int(one) for one in [*sys.argv[1:], "4000", "1"][:2]) if len(sys.argv) < 3 else map(int, sys.argv[1:3])
    )
    chance = random.Random(seed)
    crashes: Counter[str] = Counter()
    better: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as sandbox:
        found = damage.collect(sandbox, Path(folder))
        done: Counter[str] = Counter()
        for _ in range(examples):
            answers = chance.choice(found)
            name = chance.choice(sorted(answers.places))
            path = chance.choice(answers.places[name])
            how = chance.choice(damage.DAMAGES)
            done[answers.step] += 1
            where = f"{answers}: {name} {'.'.join(map(str, path))} {how}"
            try:
                for check, (was, became) in damage.better(answers, name, path, how).items():
                    better[f"{answers.step} {check} {was}->{became}: {where}"] += 1
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                crashes[f"{answers.step} {type(error).__name__} {Path(last.filename).name}:{last.lineno}: {where}"] += 1
    lines = [f"damages by step: {dict(done)}"]
    for title, counted in (("not in words", crashes), ("came out better", better)):
        by_step = Counter(where.split()[0] for where in counted)
        lines += [f"{title}: {sum(counted.values())} of {examples}, by step {dict(by_step)}"]
        lines += [f"  {where[:200]}" for where in sorted(counted)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if crashes or better else 0


if __name__ == "__main__":
    sys.exit(main())
