"""What came of the demo: what the network adds, and sea surface temperature of 170°W-120°W in each regime.

Usage: python sample_data/enso.py FOLDER_OF_THE_DEMO
"""

import sys
from pathlib import Path

import numpy as np
import xarray as xr

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.cube.climatology import fit_climatology
from faconv_cli.cube.join.source import open_cube
from faconv_cli.regimes.statistics import regime_means

WEST_DEG, EAST_DEG = 190.0, 240.0  # 170°W to 120°W: the longitudes of Niño 3.4


def nino_index() -> np.ndarray:
    """Give the area mean of the deseasonalised temperature of the region (K) at each time step."""
    cube = open_cube([Path(__file__).with_name("ostia_monthly.nc")])
    anomalies = fit_climatology(cube, "monthly", False).subtract(cube.read(0, cube.shape[0]), cube.time)
    inside = (cube.grid.lon >= WEST_DEG) & (cube.grid.lon <= EAST_DEG)
    region = np.where(np.isfinite(anomalies[:, 0]) & inside, anomalies[:, 0], np.nan)
    weights = np.where(np.isfinite(region), cube.grid.area, 0.0)
    index: np.ndarray = (np.nan_to_num(region) * weights).sum((1, 2)) / weights.sum((1, 2))
    return index


def network_adds(checkpoint: Path) -> str:
    """Say what the network adds to the EOFs and the forecasts that are fitted to them."""
    record = read_checkpoint(checkpoint).record
    start, *later = record["validation_losses"]
    first, last = record["training"]["validation period"]
    if not record["best_update"]:
        return (
            f"What the network adds: nothing. In the months held out, {first[:7]} to {last[:7]}, no update "
            "forecast better than the inverse model in the space of the EOFs; this record carries no more."
        )
    return (
        f"What the network adds: in the months held out, {first[:7]} to {last[:7]}, the squared error of its "
        f"forecasts is {min(later) / start:.0%} of that of the inverse model in the space of the EOFs. "
        "So few months are weak evidence."
    )


def main(folder: Path) -> None:
    """Print that and the table, and how far apart the embeddings of the NetCDF and the GRIB file are."""
    print(network_adds(folder / "sst.pt"))
    with xr.open_dataset(folder / "sst_regimes.nc") as regimes:
        found = regime_means(regimes.regime.fillna(-1).values.astype(int), nino_index())
    print("Deseasonalised sea surface temperature of 170°W-120°W, 5°S-4.4°N, in each regime:")
    for number, (mean, error, count) in enumerate(
        zip(found.mean, found.standard_error, found.count, strict=True), start=1
    ):
        print(f"  regime {number}: {mean:+.2f} ± {error:.2f} K ({count} months)")
    print(f"  the regimes explain {found.explained:.0%} of its variance")
    with (
        xr.open_dataset(folder / "sst_embedding.nc") as netcdf,
        xr.open_dataset(folder / "sst_embedding_grib.nc") as grib,
    ):
        difference = float(np.abs(netcdf.embedding - grib.embedding.values).max())
        spread = float(netcdf.embedding.std())
    print(f"Largest difference between the embeddings of the NetCDF and the GRIB file: {difference:.1e}")
    if difference > 1e-3 * spread:
        sys.exit(f"the two embeddings differ by more than a thousandth of their spread ({spread:.2f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
