"""Memory of embedding is bounded by a batch of windows, whatever the record's length."""

import os
import subprocess
import sys

from faconv_cli.checkpoint import write_checkpoint
from faconv_cli.cube.join.source import open_cube
from faconv_cli.sample.config import PlantedConfig
from faconv_cli.sample.netcdf import write_planted

STEPS = 3400  # longer than what the library caches of one file (64 MiB), so that the cache is full in both
ALLOWED_SHARE = 0.125  # of what the longer cube is larger; measured: -0.04 to 0.01
LIGHT = {
    "hidden": 2,
    "bottleneck": 2,
    "attention_heads": 1,
    "embedding": 2,
    "patch": 4,
    "without": ("axial", "temporal"),
    "window": 72,
    "burn_in": 8,
    "batch": 2,
    "updates": 0,
}
EMBED = """
import resource, sys
from faconv_cli.app import main
try:
    main(["embed", "--threads", "1", "--batch", "2", *sys.argv[1:]])
except SystemExit as done:
    assert not done.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _start_embedding(*arguments):
    """Run `faconv embed` in a process of its own, which prints the most memory it had, in kB."""
    return subprocess.Popen(
        [sys.executable, "-c", EMBED, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_memory_does_not_grow_with_the_record(trained, tmp_path):
    cubes = [tmp_path / "short.nc", tmp_path / "long.nc"]
    for steps, path in zip((STEPS, 4 * STEPS), cubes, strict=True):
        list(write_planted(PlantedConfig(steps=steps, lat=48, lon=96, variables=1), path))
    checkpoint = tmp_path / "m.pt"
    write_checkpoint(checkpoint, trained(open_cube(cubes[:1]).slice(0, 300), **LIGHT), overwrite=False)
    running = [_start_embedding("-c", checkpoint, path, path.with_suffix(".e.nc")) for path in cubes]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    short, long = (int(text.splitlines()[-1]) * 1024 for text in printed)
    assert long - short < ALLOWED_SHARE * (cubes[1].stat().st_size - cubes[0].stat().st_size)
