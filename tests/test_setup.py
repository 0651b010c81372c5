"""The set-up: runbook.py on a machine that has nothing, and the files that say what is installed."""

from __future__ import annotations

import ast
import ensurepip
import importlib.metadata
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import runbook
from runbook_lib.cli import main
from tests.test_architecture import imports, modules

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GROUPS = PROJECT["dependency-groups"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = {name: str(path.relative_to(ROOT)) for name, path in runbook.LOCKS.items()}

# A project that installs without a network: its own build backend, and in its lock the pip that Python brings along.
MINIATURE = {
    "pyproject.toml": """
        [build-system]
        requires = []
        build-backend = "backend"
        backend-path = ["."]
        [project]
        name = "miniature"
        version = "1"
        """,
    "requirements.txt": f"pip=={ensurepip.version()} \\\n    --hash=sha256:{'0' * 64}\n",
    "requirements-extras.txt": "",
    "tests/requirements.txt": "",
    "answer.py": """
        import sys
        def main():
            print("answer", sys.argv[1:])
            raise SystemExit(4)
        """,
    "backend.py": """
        import os, zipfile
        def build_editable(folder, config_settings=None, metadata_directory=None):
            files = {
                "miniature.pth": os.getcwd(),
                "miniature-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: miniature\\nVersion: 1\\n",
                "miniature-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
                "miniature-1.dist-info/entry_points.txt": "[console_scripts]\\nrunbook = answer:main\\n",
                "miniature-1.dist-info/RECORD": "",
            }
            with zipfile.ZipFile(os.path.join(folder, "miniature-1-py3-none-any.whl"), "w") as wheel:
                for name, text in files.items():
                    wheel.writestr(name, text)
            return "miniature-1-py3-none-any.whl"
        """,
}


def miniature(folder: Path) -> Path:
    """Write the project and a copy of runbook.py into a folder."""
    for name, text in MINIATURE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text), "utf-8")
    shutil.copy(ROOT / "runbook.py", folder)
    return folder


def start(project: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start runbook.py there as a bare machine would: no network, no settings of pip but the given ones."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "VIRTUAL_ENV"))}
    return subprocess.Popen(
        [sys.executable, project / "runbook.py", *words],
        env={**bare, "HOME": str(project), **(environment or {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a start and return its exit code, standard output and standard error."""
    output, errors = process.communicate(timeout=100)
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a miniature project; each test leaves it ready, or changes the lock to make it unready."""
    return miniature(tmp_path_factory.mktemp("with space") / "the runbook")


def change_lock(project: Path) -> None:
    """Make the next start set up anew, for the same packages."""
    with (project / "requirements.txt").open("a") as file:
        file.write("# changed\n")


ANSWER = (4, "answer ['status', '--json']\n")


def test_the_first_start_sets_up_and_hands_over_and_the_second_only_hands_over(project: Path) -> None:
    change_lock(project)
    code, output, errors = finish(start(project, "status", "--json"))
    assert (code, output) == ANSWER, errors
    assert "Setting up .venv" in errors
    assert finish(start(project, "status", "--json")) == (*ANSWER, "")


def test_a_set_up_that_was_killed_halfway_is_repaired_by_the_next_start(project: Path) -> None:
    change_lock(project)
    halfway = project / ".venv" / "pip.txt"
    halfway.unlink(missing_ok=True)
    process = start(project, "status", "--json")
    while process.poll() is None and not halfway.exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert finish(process)[:2] == (-signal.SIGKILL, "")
    code, output, errors = finish(start(project, "status", "--json"))
    assert (code, output) == ANSWER, errors
    assert "Setting up .venv" in errors


def test_of_two_starts_at_once_one_sets_up_and_the_other_waits_for_it(project: Path) -> None:
    change_lock(project)
    ends = [finish(process) for process in [start(project, "status", "--json") for _ in range(2)]]
    assert [end[:2] for end in ends] == [ANSWER, ANSWER], ends
    assert sorted("Setting up .venv" in errors for _, _, errors in ends) == [False, True]
    assert sum("waiting for it" in errors for _, _, errors in ends) == 1


def test_without_a_network_the_start_says_what_to_do_and_leaves_nothing_that_looks_ready(project: Path) -> None:
    (project / "tests" / "requirements.txt").write_text(f"absent==1 --hash=sha256:{'0' * 64}\n")
    code, output, errors = finish(start(project, "test"))
    assert (code, output) == (1, "")
    assert "No matching distribution found for absent==1" in errors
    assert "What to do: Most often the package index was not reached." in errors
    assert not (project / ".venv" / "runbook-tests.stamp").exists()


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("/usr/bin/python3: No module named pip", "python3-venv"),
        ("/usr/bin/python3: No module named venv", "python3-venv"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "Do not go on"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for msal==1.39.0", "PIP_INDEX_URL"),
    ],
)
def test_a_failed_installation_gets_the_advice_that_fits(words: str, advice: str) -> None:
    assert advice in runbook.remedy(words)


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose .venv looks installed to its end; runbook's own functions work there."""
    project = miniature(tmp_path / "ready")
    monkeypatch.setattr(runbook, "ROOT", project)
    monkeypatch.setattr(runbook, "VENV", project / ".venv")
    for name in ("python", "pip", "runbook"):
        monkeypatch.setattr(runbook, name.upper(), project / ".venv" / "bin" / name)
    monkeypatch.setattr(runbook, "LOCKS", {name: project / path for name, path in LOCKS.items()})
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (project / ".venv" / "bin" / "runbook").touch()
    runbook.stamp("runtime").write_text(runbook.fingerprint("runtime"))
    assert runbook.is_ready("runtime")
    return project


def commands_of_a_set_up(failing: Callable[[list[str]], bool], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commands that a set-up runs, on a machine on which some of them fail."""
    ran: list[list[str]] = []

    def quietly(*command: str | Path) -> None:
        ran.append([str(word) for word in command])
        if failing(ran[-1]):
            raise subprocess.CalledProcessError(1, ran[-1], b"no")

    monkeypatch.setattr(runbook, "quietly", quietly)
    runbook.make_environment()
    assert runbook.is_ready("runtime")
    return ran


def test_a_set_up_that_ends_early_leaves_nothing_that_looks_ready(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        commands_of_a_set_up(lambda _: True, monkeypatch)
    assert (ready / ".venv" / "bin" / "runbook").exists()
    assert not runbook.is_ready("runtime")


@pytest.mark.parametrize(("word", "added"), [("extras", ["extras"]), ("test", ["extras", "tests"])])
def test_further_packages_are_added_once(
    word: str, added: list[str], ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str | Path] = []
    monkeypatch.setattr(runbook, "quietly", lambda *command: installed.append(command[-1]))
    monkeypatch.setattr(runbook, "check", lambda *_: None)
    runbook.main([word])
    runbook.main([word])
    assert installed == [ready / LOCKS[part] for part in added]
    change_lock(ready)
    runbook.main([word])
    assert ready / "requirements.txt" in installed[len(added) :]


def test_where_python_cannot_put_pip_into_an_environment_the_pip_beside_it_does(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    whole = ["-m", "venv", "--clear", str(ready / ".venv")]
    first, second, *installs = commands_of_a_set_up(lambda command: command[1:] == whole, monkeypatch)
    assert (first[1:], second[1:-1]) == (whole, ["-m", "venv", "--clear", "--without-pip"])
    assert {tuple(command[:5]) for command in installs} == {
        (runbook.BASE, "-m", "pip", "--python", str(runbook.PYTHON))
    }


@pytest.mark.parametrize(
    ("settings", "uv_works", "installers"),
    [
        ({}, True, ["uv", "uv", "uv"]),
        ({}, False, ["uv", "pip", "uv", "pip", "uv", "pip"]),
        ({"PIP_INDEX_URL": "file:///mirror"}, True, ["pip", "pip", "pip"]),
    ],
)
def test_uv_installs_where_there_is_one_unless_it_fails_or_pip_is_set_up(
    settings: Mapping[str, str], uv_works: bool, installers: list[str], ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ready / ".venv" / "bin" / "pip").touch()
    monkeypatch.setattr(shutil, "which", str)
    monkeypatch.setattr(os, "environ", settings)
    _, *installs = commands_of_a_set_up(lambda command: command[0] == "uv" and not uv_works, monkeypatch)
    assert ["uv" if command[0] == "uv" else command[2] for command in installs] == installers
    assert all("--no-deps" in command and "--no-build-isolation" in command for command in installs)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("requirements.txt", "another lock"),
        ("pyproject.toml", "[build-system]\nrequires = []\n[project]\nname = 'another'"),
        (".venv/runbook-runtime.stamp", ""),
    ],
)
def test_a_change_of_what_is_installed_asks_for_a_new_environment(ready: Path, file: str, text: str) -> None:
    (ready / file).write_text(text)
    assert not runbook.is_ready("runtime")


@pytest.mark.parametrize("file", [".venv/runbook-runtime.stamp", ".venv/bin/python", ".venv/bin/runbook"])
def test_a_loss_asks_for_a_new_environment(ready: Path, file: str) -> None:
    (ready / file).unlink()
    assert not runbook.is_ready("runtime")


def test_another_interpreter_or_place_asks_for_a_new_environment(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = runbook.fingerprint("runtime")
    with monkeypatch.context() as other:
        other.setattr(sys.implementation, "cache_tag", "cpython-399")
        assert runbook.fingerprint("runtime") != here
    ready.rename(ready.with_name("moved"))
    monkeypatch.setattr(runbook, "ROOT", ready.with_name("moved"))
    monkeypatch.setattr(runbook, "LOCKS", {"runtime": ready.with_name("moved") / "requirements.txt"})
    assert runbook.fingerprint("runtime") != here


def test_a_change_of_a_tool_s_settings_keeps_the_environment(ready: Path) -> None:
    with (ready / "pyproject.toml").open("a") as project:
        project.write("[tool.ruff]\nline-length = 1\n")
    assert runbook.is_ready("runtime")


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 10, 13), (3, 15, 0)])
def test_a_python_that_will_not_do_is_told_which_will(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (ROOT / "runbook.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 6))
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=rf"Python 3.11 to 3.14; this is {version[0]}\.{version[1]}\."):
        exec(compile(source, "runbook.py", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize(
    ("commands", "end"),
    [([("this",)], 0), ([("absent",), ("this",)], "Failed: absent"), ([("this",), ("absent",)], "Failed: absent")],
)
def test_every_check_is_run_and_one_that_fails_fails_all(
    commands: list[tuple[str, ...]], end: object, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runbook, "PYTHON", sys.executable)
    with pytest.raises(SystemExit) as exit_:
        runbook.check(*commands)
    assert exit_.value.code == end
    assert "Beautiful is better than ugly" in capfd.readouterr().out


def lock(path: str) -> Mapping[str, list[Requirement]]:
    """Return the requirements of a lock by package name."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / path).read_text("utf-8").splitlines():
        if not line.startswith(" "):
            requirement = Requirement(line.removesuffix("\\"))
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


LOCKED = [
    *(("requirements.txt", wish) for wish in (*PROJECT["project"]["dependencies"], *GROUPS["build"])),
    *(("requirements-extras.txt", wish) for wishes in EXTRAS.values() for wish in wishes),
    *(("tests/requirements.txt", wish) for wish in GROUPS["test"]),
]


@pytest.mark.parametrize(("path", "wish"), LOCKED)
def test_every_dependency_is_locked_within_its_bounds(path: str, wish: str) -> None:
    wanted = Requirement(wish)
    assert re.search(">=.*<|<.*>=", str(wanted.specifier)), "a lower and an upper bound"
    for locked in lock(path)[canonicalize_name(wanted.name)]:
        (pin,) = locked.specifier
        assert wanted.specifier.contains(pin.version), f"lock again: {locked}"


@pytest.mark.parametrize("path", LOCKS.values())
def test_a_lock_pins_and_hashes_everything_and_names_no_host(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    assert "://" not in text
    for section in re.split(r"\n(?! )", text.strip()):
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^\\]+)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\\n)?)+", section), (
            section
        )


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(LOCKS.values(), 2)))
def test_the_locks_agree(one: str, other: str) -> None:
    mine, theirs = lock(one), lock(other)
    both = mine.keys() & theirs.keys()
    assert "requests" in both
    for name in both:
        assert {str(found.specifier) for found in mine[name]} == {str(found.specifier) for found in theirs[name]}


def test_the_package_names_the_backend_that_the_lock_brings() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(GROUPS["build"])


def test_pyproject_runbook_and_conda_want_the_same_python() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, pip, packages = conda["dependencies"]
    wanted = SpecifierSet(PROJECT["project"]["requires-python"])
    assert (python.split()[0], SpecifierSet(python.split()[1])) == ("python", wanted)
    assert (pip, packages, conda["name"]) == ("pip", {"pip": ["-r requirements.txt"]}, PROJECT["project"]["name"])
    (oldest, before_oldest), (newest, after_newest) = (
        (runbook.OLDEST, (3, runbook.OLDEST[1] - 1)),
        (runbook.NEWEST, (3, runbook.NEWEST[1] + 1)),
    )
    accepted = [wanted.contains("{}.{}".format(*version)) for version in (before_oldest, oldest, newest, after_newest)]
    assert accepted == [False, True, True, False]


def test_the_installed_project_has_the_command_and_its_data() -> None:
    project = importlib.metadata.distribution(PROJECT["project"]["name"])
    scripts = [(script.name, script.value) for script in project.entry_points.select(group="console_scripts")]
    assert scripts == [("runbook", "runbook_lib.cli.main:main")]
    files = [path.relative_to(ROOT) for path in (ROOT / "runbook_lib").rglob("*.*") if path.is_file()]
    seen = {path.suffix for path in files if not any(part.startswith((".", "__")) for part in path.parts[:-1])}
    packed = {Path(pattern).suffix for pattern in PROJECT["tool"]["setuptools"]["package-data"]["*"]}
    assert seen - {".py"} <= packed


# Dependencies that the library never imports.
RUN_NOT_IMPORTED = {
    "ipykernel",  # what notebooks run in; the two-cell prompt needs 7.4
    "jupyterlab",  # what people work in
    "nbclient",  # what papermill runs notebooks with: its behaviour is ours
    "openpyxl",  # what pandas writes Excel workbooks with
    "nbformat",  # what notebooks are read and written with, likewise
}


WITH_PYDANTIC = ("pydantic_core", "typing_extensions")
"""Its own parts, which come with it."""
AZURE = {"core": "azure-storage-blob", "identity": "azure-identity", "storage": "azure-storage-blob"}
"""Which distribution brings a part of the namespace `azure`; azure-core comes with each."""


def test_the_dependencies_are_what_the_library_imports() -> None:
    packages = importlib.metadata.packages_distributions()
    found = set()
    for name in {name for tree in modules().values() for name in imports(tree)}:
        top, _, inner = name.partition(".")
        top = "pydantic" if top in WITH_PYDANTIC else top
        if top not in {*sys.stdlib_module_names, "runbook_lib"}:
            found.add(AZURE[inner.split(".")[0]] if top == "azure" else canonicalize_name(packages[top][0]))
    wishes = [*PROJECT["project"]["dependencies"], *itertools.chain.from_iterable(EXTRAS.values())]
    assert found | RUN_NOT_IMPORTED == {Requirement(wish).name for wish in wishes}


def test_ci_runs_the_second_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.search(r"^python3 runbook\.py test$", script, re.MULTILINE)
    assert "python runbook.py test" in (ROOT / "README.md").read_text("utf-8")
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_the_commit_hook_runs_what_ci_runs() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == ["python runbook.py lint"]


def test_every_command_in_the_documents_exists() -> None:
    text = "\n".join((ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md", "outputs/README.md"))
    words = set(re.findall(r"(?:python3? runbook\.py|^\$? ?runbook|`runbook) ([a-z]+)", text, re.MULTILINE))
    assert {"demo", "test", "seal", "verify"} <= words
    assert words <= {"extras", "lint", "test", *typer.main.get_group(main.app).commands}
