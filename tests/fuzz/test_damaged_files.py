"""Damaged files get a clear error or a right result: never a crash, a hang, a traceback or half an output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.good_files import write_good_files
from tests.fuzz.run import TINY

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(quick_folder):
    folder = quick_folder / "good"
    folder.mkdir()
    write_good_files(folder)
    return folder


def fuzz(command, folder, work, seeds, pattern="*", **environment):
    """Run the cases in a process of their own; what went wrong, and how often what happened."""
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tests.fuzz.run",
                command,
                work,
                f"{seeds[0]}:{seeds[1]}",
            ),
            *sorted(folder.glob(f"{pattern}.nc")),
            *sorted(folder.glob(f"{pattern}.grib")),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "XDG_CACHE_HOME": str(work / "cache"), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *wrong, counts = map(json.loads, done.stdout.splitlines())
    return wrong, counts


@pytest.mark.slow
def test_inspect_never_breaks(folder, quick_folder):
    wrong, counts = fuzz("inspect", folder, quick_folder, (0, 300))
    assert wrong == []
    assert counts["result"] + counts["error"] + counts.get("guarded", 0) == 2400
    assert min(counts["result"], counts["error"]) > 400


def test_train_and_embed_leave_whole_outputs_or_none(folder, tmp_path):
    checkpoint = tmp_path / "good.pt"
    command = [sys.executable, "-m", "faconv_cli", "train", folder / "deflated.nc", "-o", checkpoint, *TINY]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    for name in ("train", "embed"):
        wrong, counts = fuzz(name, folder, tmp_path, (300, 310), FUZZ_CHECKPOINT=str(checkpoint))
        assert wrong == []
        assert min(counts["result"], counts["error"]) > 10
    (tmp_path / "embeddings").mkdir()
    embedding = tmp_path / "embeddings" / "e.nc"
    command = ["embed", "-c", checkpoint, folder / "deflated.nc", embedding, "--threads", "1"]
    subprocess.run(
        [sys.executable, "-m", "faconv_cli", *command], check=True, cwd=REPOSITORY, capture_output=True
    )
    wrong, counts = fuzz("cluster", embedding.parent, tmp_path, (0, 150))
    assert wrong == []
    assert min(counts["result"], counts["error"]) > 10
