"""The cube: canonical fields, lazily, with their channels, time axis and grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.timeaxis import TimeAxis
