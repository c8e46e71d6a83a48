"""What k-means and a Markov-switching autoregression make of regimes that differ in motion alone.

Prints how both agree with the truth, and draws them to FOLDER/motion.png.

Usage: python sample_data/motion.py FOLDER_OF_THE_DEMO
"""

import sys
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from sklearn.metrics import adjusted_rand_score

METHODS = {"kmeans": "k-means", "hmm-ar": "hmm-ar"}
SHOWN = 200  # steps of the picture
COLOURS = np.array(["C0", "C1"])


def main(folder: Path) -> None:
    """Print the table and draw the picture."""
    with xr.open_dataset(folder / "motion.nc") as file:
        truth = file["regime_true"].values.astype(int)
    with xr.open_dataset(folder / "motion_embedding.nc") as file:
        modes = file["embedding"].values[:, :2]
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots(2, len(METHODS), height_ratios=[3, 1])
    print("Regimes of the same wave going east or west, adjusted Rand index with the truth:")
    for (name, title), (plane, timeline) in zip(METHODS.items(), axes.T, strict=True):
        with xr.open_dataset(folder / f"motion_{name}.nc") as file:
            found = file["regime"].values.astype(int)
        found = np.where((found == truth).mean() < 0.5, 3 - found, found)  # the numbers are by frequency
        index = adjusted_rand_score(truth, found)
        print(f"  {title}: {index:z.2f}")
        plane.quiver(
            *modes[: SHOWN - 1].T,
            *np.diff(modes[:SHOWN], axis=0).T,
            color=COLOURS[found[: SHOWN - 1] - 1],
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.004,
        )
        plane.set(xlabel="mode 1", ylabel="mode 2", title=f"{title}: from step to step (index {index:z.2f})")
        for row, labels in enumerate((truth, found)):
            steps = np.arange(SHOWN)
            timeline.scatter(steps, np.full(SHOWN, row), c=COLOURS[labels[:SHOWN] - 1], marker="|")
        timeline.set(xlabel="day", yticks=[0, 1], yticklabels=["truth", "found"], ylim=(-0.5, 1.5))
    figure.savefig(folder / "motion.png", dpi=120)
    print(f"{folder / 'motion.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
