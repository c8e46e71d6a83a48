"""The documentation does what it says: its commands run, its links lead somewhere, what it names exists."""

import ast
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from faconv_cli.app import main

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
RUN_BY_HAND = {"console", "slurm", "crontab", "text"}  # make, pip, job scripts; what a command prints
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md")), REPOSITORY / "sample_data" / "README.md"]


def blocks(page):
    """(language, text) of each fenced block, in order."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def environment(tools):
    """An environment where ``faconv`` is the command line of this checkout, and no warning is let pass."""
    tools.mkdir()
    command = tools / "faconv"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m faconv_cli "$@"\n')
    command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "error",
        "OMP_NUM_THREADS": "1",
        "SLURM_CPUS_PER_TASK": "1",
    }


def clone(folder):
    """Make a folder look like a clone from which the commands of a page are run."""
    folder.mkdir(exist_ok=True)
    (folder / "sample_data").symlink_to(REPOSITORY / "sample_data")
    return folder


@pytest.mark.training
def test_every_command_of_the_readme_runs_in_a_shell(tmp_path):
    env, folder = environment(tmp_path / "tools"), clone(tmp_path / "clone")
    runners = {"sh": ["sh", "-eux"], "python": [sys.executable, "-"]}
    to_run = [(runners[kind], text) for kind, text in blocks(REPOSITORY / "README.md") if kind in runners]
    assert len(to_run) > 1
    for command, text in to_run:
        done = subprocess.run(
            command, input=text, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


FILE = re.compile(r"\b\w+\.(?:nc|pt|zarr|toml)\b")


def walks(page):
    """Blocks of a page that are run, in order, apart where no file leads from one to the other."""
    found = []  # (names of files, blocks)
    for number, (language, text) in enumerate(blocks(page)):
        if language not in {"sh", "python"}:
            continue
        names, walk = set(FILE.findall(re.sub(r"sample_data/\S+", "", text))), [(number, language, text)]
        for other in [one for one in found if one[0] & names]:
            found.remove(other)
            names, walk = names | other[0], other[1] + walk
        found.append((names, sorted(walk)))
    return [[(language, text) for _, language, text in walk] for _, walk in found]


def commands_of(text):
    """The commands of a shell block as lists of words; none where it holds more than commands of faconv."""
    lines = [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]
    plain = all(line and line[0] == "faconv" and not {"||", "<<", ">"} & set(line) for line in lines)
    return [line[1:] for line in lines] if plain else []


def name_of(walk):
    return " ".join(walk[0][1].split()[:4])


@pytest.mark.training
@pytest.mark.parametrize("walk", walks(DOCS / "guide.md"), ids=name_of)
def test_the_commands_of_the_guide_run_in_the_order_they_are_told(walk, tmp_path, monkeypatch):
    """In this process, as most of the time would be start-up; what is more than faconv goes to a shell."""
    monkeypatch.chdir(clone(tmp_path / "clone"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for language, text in walk:
        if language == "python":
            exec(compile(text, "guide.md", "exec"), {"__name__": "guide"})
        elif commands := commands_of(text):
            for arguments in commands:
                with pytest.raises(SystemExit) as stopped:
                    main(arguments)
                assert not stopped.value.code, arguments
        else:
            env = environment(tmp_path / f"tools{walk.index((language, text))}")
            subprocess.run(["sh", "-eux"], input=text, env=env, text=True, check=True)


def test_the_guide_is_run_whole():
    apart = [block for walk in walks(DOCS / "guide.md") for block in walk]
    whole = [block for block in blocks(DOCS / "guide.md") if block[0] in {"sh", "python"}]
    assert sorted(apart) == sorted(whole)
    assert len(whole) > 30


def test_no_command_of_faconv_hides_in_a_block_that_is_not_run():
    for page in ("README.md", "docs/guide.md"):
        for language, text in blocks(REPOSITORY / page):
            assert language in {"sh", "python", "slurm", "crontab"} or not re.search(
                r"^(\$ )?faconv ", text, re.M
            ), text


def test_every_block_says_what_it_is():
    for page in PAGES:
        for language, text in blocks(page):
            assert language in {"sh", "python", *RUN_BY_HAND}, f"{page}: {language}: {text}"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_that_of_the_commands(maker):
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == maker.reference(), "stale: run make docs"


def test_every_command_and_option_is_documented(maker):
    import typer

    from faconv_cli.app import app

    reference = maker.reference()
    commands = dict(maker.commands(typer.main.get_command(app), "faconv"))
    assert {"faconv inspect", "faconv train", "faconv embed", "faconv cluster"} < set(commands)
    for name, command in commands.items():
        assert f"## {name}\n" in reference
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"
        assert name in (REPOSITORY / "README.md").read_text(encoding="utf-8"), name


def test_every_option_named_in_the_documentation_exists(maker):
    known = set(re.findall(r"--[a-z][a-z-]*", maker.reference())) | {"--help"}
    for page in (DOCS / "guide.md", DOCS / "output.md", DOCS / "fidelity.md"):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text(encoding="utf-8")))
        assert not named - known, f"{page.name}: {named - known}"


def anchors(page):
    """The anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(found), f"{target} has no such heading"


def definitions(path):
    """``name`` and ``Class.method`` of all functions and classes of a source file."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def test_fidelity_names_what_exists():
    text = (DOCS / "fidelity.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", text)
    assert len(named) > 30
    for file, name in named:
        path = REPOSITORY / (file if file.startswith("tests/") else f"faconv_cli/{file}")
        assert path.is_file(), file
        assert name in definitions(path), f"{file} has no {name}"


CUBE = ["", "/open", "/time", "/sphere", "/read", "/units", "/axes", "/join", "/shape"]


@pytest.mark.parametrize("room", [*(f"cube{name}" for name in CUBE), "nn/cells", "nn/mechanisms", "nn/scans"])
def test_a_room_lists_each_of_its_files_and_rooms(room):
    folder = REPOSITORY / "faconv_cli" / room
    told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    lists = re.findall(r"(?:^- |; |\. )([\w, ]+):", told, re.MULTILINE)
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(", ".join(lists).split(", "))
    for inner in folder.glob("*/__init__.py"):
        assert re.search(rf"^    {inner.parent.name} |`{inner.parent.name}`", told, re.MULTILINE)


def test_output_names_every_variable_of_the_schema():
    from faconv_cli import schema

    text = (DOCS / "output.md").read_text(encoding="utf-8")
    for constant, name in vars(schema).items():
        if constant.isupper() and isinstance(name, str):
            assert name in text, name


def test_lines_are_wrapped():
    for page in (REPOSITORY / "README.md", *DOCS.glob("*.md")):
        if page.name == "cli.md":
            continue
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            assert len(line) <= 132 or line.startswith("|"), f"{page.name}:{number}"
