"""How many small bugs the tests see: cosmic-ray plants them one at a time in a room, and the room's own tests run.

    pip install cosmic-ray; python tests/benchmarks/mutations.py rooms 60 1

takes a room of the table below, how many bugs at most, and a seed. It works in a copy of the tree, prints the share
that was caught, and each bug that was not, as a difference. docs/mutations.md says what became of those.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = {
    "rooms": (
        ["runbook_lib/steps/sync"],
        ["tests/steps/test_sync.py", "tests/steps/test_room_answers.py", "tests/steps/test_room_properties.py"],
    ),
    "access": (
        ["runbook_lib/steps/access", "runbook_lib/steps/permissions.py"],
        [f"tests/steps/test_{name}.py" for name in ("grants", "trail", "limit", "revoke")],
    ),
    "checks": (["runbook_lib/checks.py", "runbook_lib/forms.py"], ["tests/test_model.py", "tests/test_forms.py"]),
    "spaceiq": (["runbook_lib/clients/spaceiq"], ["tests/clients/test_spaceiq.py"]),
}
NO_BUGS = ("ReplaceBinaryOperator_BitOr",)
"""What stands between the types of an annotation is no decision."""
NOT_HERE = ("booking_test.py", "pictures.py")
"""Modules that the tests of the table do not reach: they have tests of their own, against the sandbox."""
SECONDS = 120


def main() -> int:
    """Plant bugs in a room and return how many were not caught, as the exit code."""
    room, most, seed = [*sys.argv[1:], *("rooms", "60", "1")[len(sys.argv) - 1 :]]
    cosmic = shutil.which("cosmic-ray")
    if cosmic is None:
        sys.stderr.write("cosmic-ray is not there: pip install cosmic-ray\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        kept = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
        for name in filter(None, kept.decode().split("\0")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
        survivors, planted = _plant(cosmic, tree, room, int(most), int(seed))
    for survivor in survivors:
        sys.stdout.write(f"{survivor}\n")
    share = 100 * (planted - len(survivors)) // max(planted, 1)
    sys.stdout.write(f"{room}: {planted - len(survivors)} of {planted} caught ({share} %)\n")
    return min(len(survivors), 100)


def _plant(cosmic: str, tree: Path, room: str, most: int, seed: int) -> tuple[list[str], int]:
    modules, tests = ROOMS[room]
    command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {' '.join(tests)}"
    settings = {"module-path": modules, "timeout": SECONDS, "excluded-modules": [], "test-command": command}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (tree / "mutations.toml").write_text(
        "[cosmic-ray]\n" + "\n".join(lines) + '\n[cosmic-ray.distributor]\nname = "local"\n', encoding="utf-8"
    )
    for step in ("baseline", "init"):
        words = [cosmic, step, "mutations.toml", *(["session.sqlite"] if step == "init" else [])]
        subprocess.run(words, cwd=tree, check=True, stdout=subprocess.DEVNULL)
    _sample(tree, most, seed)
    subprocess.run([cosmic, "exec", "mutations.toml", "session.sqlite"], cwd=tree, check=True)
    dumped = subprocess.run([cosmic, "dump", "session.sqlite"], cwd=tree, check=True, capture_output=True, text=True)
    done = [json.loads(line) for line in dumped.stdout.splitlines()]
    survivors = [result["diff"] for _, result in done if result and result["test_outcome"] == "survived"]
    return survivors, len(done)


def _sample(tree: Path, most: int, seed: int) -> None:
    """Leave at most so many bugs in the session, chosen by the seed."""
    with sqlite3.connect(tree / "session.sqlite") as database:
        found = "SELECT job_id, operator_name, module_path, start_pos_row FROM mutation_specs"
        rows = database.execute(found).fetchall()
        bugs = sorted(job for job, operator, module, line in rows if _decides(tree / module, operator, line))
        chosen = set(random.Random(seed).sample(bugs, min(most, len(bugs))))
        for job in {row[0] for row in rows} - chosen:
            database.execute("DELETE FROM mutation_specs WHERE job_id = ?", (job,))
            database.execute("DELETE FROM work_items WHERE job_id = ?", (job,))


def _decides(module: Path, operator: str, line: int) -> bool:
    """Tell whether a bug can change what the program decides, and whether the tests of the table are about it."""
    text = module.read_text(encoding="utf-8").splitlines()[line - 1]
    shape = text.lstrip().startswith("@dataclass") or any(one in operator for one in NO_BUGS)
    return not shape and module.name not in NOT_HERE


if __name__ == "__main__":
    sys.exit(main())
