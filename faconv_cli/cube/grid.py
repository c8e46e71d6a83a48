"""The grid: where the points are, how much area each stands for, and which are ever valid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
