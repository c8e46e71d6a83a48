"""Apply a checkpoint to a cube: a stream of rows, one batch of windows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faconv_cli import schema
from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.cube import Cube
from faconv_cli.errors import CheckpointError, InputError
from faconv_cli.network import build_domain, has_axial_attention, load_encoder
from faconv_cli.nn.encoder import Encoding
from faconv_cli.windows.dataset import Batch, WindowReader
from faconv_cli.windows.fingerprint import fingerprints
from faconv_cli.windows.layout import tiles_of
from faconv_cli.windows.memory import embedding_batch
from faconv_cli.windows.plan import Window, plan_windows

LEAST_VALID_SHARE = 0.5  # of the area that was valid in training, in each channel


@dataclass(frozen=True, eq=False)
class Rows:
    """Consecutive rows of an embedding.

    Attributes:
        start: step of the first row.
        embedding: (n, d), NaN where it could not be computed.
        flag: (n,) of `schema.FLAG_MEANINGS`.
        fingerprint: (n,) of the input; see `fingerprint`.
        temporal: (n, lag) weights of the temporal attention, or None.
        tiles: (n, tile, d) share of each tile, or None for one tile.
        attended: (k,) steps the maps belong to.
        attention: (k, h, w) in canonical order, or None.
        teleconnection: (k, q, h, w), or None.
    """

    start: int
    embedding: np.ndarray
    flag: np.ndarray
    fingerprint: np.ndarray
    temporal: np.ndarray | None
    tiles: np.ndarray | None
    attended: np.ndarray
    attention: np.ndarray | None
    teleconnection: np.ndarray | None


class Embedder:
    """Applies a checkpoint to a cube that `match_cube` has accepted; memory is bounded by one batch.

    Args:
        checkpoint: what to run.
        cube: what to run it on.
        device: where to compute.
        batch: windows at a time, None to choose; rows agree between batch sizes to float tolerance, and
            bit for bit for one size.
        attention: also return maps and weights of the attention that is in use.
        queries: points (y, x) of the canonical grid for teleconnection maps.

    Raises:
        CheckpointError: query points, but an encoder without axial attention.
        InputError: a query point that never held a value in training.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        cube: Cube,
        device: torch.device,
        *,
        batch: int | None,
        attention: bool,
        queries: Sequence[tuple[int, int]] = (),
    ) -> None:
        config, grid = checkpoint.config, cube.grid
        self._checkpoint, self._cube, self._device = checkpoint, cube, device
        self._attention = attention
        self.queries = tuple(queries)
        self._queries = torch.tensor(queries, device=device) if queries else None
        self._encoder = load_encoder(checkpoint).to(device)
        self._domain = build_domain(
            config, grid, checkpoint.normalizer.valid, checkpoint.constants.statics
        ).to(device)
        self._tiling = config.tiling
        tiles = tiles_of(config, grid.shape, periodic=grid.periodic)
        maps = 1 + len(self.queries) if self.has_maps else 0
        self._reader = WindowReader(
            cube,
            checkpoint.climatology,
            checkpoint.normalizer,
            tiles.shape,
            config.tiling.window,
            batch or embedding_batch(config, len(cube.channels), tiles, config.tiling.window, maps),
            pinned=device.type == "cuda",
        )
        self._expected = (checkpoint.normalizer.valid * grid.area).sum((-2, -1))
        self._check_queries()

    @property
    def checkpoint(self) -> Checkpoint:
        """What is run."""
        return self._checkpoint

    @property
    def cube(self) -> Cube:
        """What it is run on."""
        return self._cube

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self._domain.tiles

    @property
    def has_maps(self) -> bool:
        """Whether maps of the axial attention are asked for, and z depends on it."""
        return self._attention and self._encoder.uses_axial_attention

    @property
    def lags(self) -> tuple[int, ...]:
        """Lags of the temporal attention in steps back, where weights are asked for and z depends on it."""
        temporal = self._encoder.temporal
        wanted = self._attention and self._encoder.uses_temporal_attention
        return tuple(temporal.lags) if wanted and temporal is not None else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was asked for but is not written, and why."""
        if not self._attention:
            return ()
        axial = has_axial_attention(self._checkpoint.config.encoder) and not self.has_maps
        temporal = self._encoder.temporal is not None and not self.lags
        unused = [name for name, left in (("axial", axial), ("temporal", temporal)) if left]
        if not unused:
            return ()
        shown = " and ".join(
            {"axial": "attention maps", "temporal": "weights of the past"}[one] for one in unused
        )
        return (
            f"{shown} are not written: the embedding does not depend on the {' and the '.join(unused)} "
            "attention, as training did not find that it improves a forecast",
        )

    def tile_centres(self) -> list[tuple[int, int]]:
        """Return the grid point (y, x) in the middle of each tile; none for one tile."""
        if self.tiles == 1:
            return []
        h, w = self._cube.grid.shape
        middle = self._domain.tile_rows.shape[1] // 2, self._domain.tile_columns.shape[1] // 2
        return [
            (min(int(rows[middle[0]]), h - 1), min(int(columns[middle[1]]), w - 1))
            for rows, columns in zip(self._domain.tile_rows, self._domain.tile_columns, strict=True)
        ]

    @property
    def windows(self) -> list[Window]:
        """Windows that cover the record."""
        tiling = self._tiling
        return plan_windows(
            self._cube.time.segments,
            window=tiling.window,
            stride=tiling.stride or tiling.window,
            burn_in=tiling.burn_in,
        )

    def batches(self, start: int, stop: int) -> list[list[Window]]:
        """Group the windows that give rows in [start, stop); a window keeps its place in its batch.

        Rows then do not depend on which part of a record is asked for.
        """
        windows, size = self.windows, self._reader.batch
        groups = [windows[i : i + size] for i in range(0, len(windows), size)]
        return [group for group in groups if group[0].first_row < stop and group[-1].stop > start]

    @torch.inference_mode()
    def run(self, start: int, stop: int) -> Iterator[Rows]:
        """Yield the rows of steps [start, stop), one `Rows` for each window, in order."""
        for batch in self._reader.grouped(self.batches(start, stop)):
            moved = batch.to(self._device)
            encoding = self._encoder(
                moved.x,
                moved.valid,
                moved.year_fraction,
                moved.day_fraction,
                self._domain,
                attention=self.has_maps or bool(self.lags),
                queries=self._queries,
            )
            missing = self._missing(batch)
            marks = fingerprints(batch.x.flatten(0, 1).numpy()).reshape(missing.shape)
            for number, window in enumerate(batch.windows):
                first, last = max(window.first_row, start), min(window.stop, stop)
                if first < last:
                    rows = slice(first - window.start, last - window.start)
                    yield self._rows(
                        encoding, missing[number, rows], marks[number, rows], number, window, first, last
                    )

    def fingerprints(self, start: int, stop: int) -> np.ndarray:
        """(n,) of the input of steps [start, stop), without embedding them."""
        return fingerprints(self._reader.fields(start, stop))

    def _check_queries(self) -> None:
        encoder = self._checkpoint.config.encoder
        if self.queries and not has_axial_attention(encoder):
            raise CheckpointError(
                f"the checkpoint's {encoder.encoder} has no axial attention",
                wanted="teleconnection maps are maps of that attention",
                do="leave out --query, or train another --encoder",
            )
        for y, x in self.queries:
            if self._domain.area[y, x] == 0:
                lat, lon = self._cube.grid.position(y, x)
                raise InputError(
                    f"the query point {lat:g},{lon:g} never holds a value (land, perhaps)",
                    wanted="a query point needs values",
                    do="choose another --query",
                )

    def _missing(self, batch: Batch) -> np.ndarray:
        """Mark the steps (b, t) with too few values in some channel."""
        h, w = self._cube.grid.shape
        area = torch.from_numpy(self._cube.grid.area).float()
        share = (batch.valid[..., :h, :w] * area).sum((-2, -1)).numpy()
        missing: np.ndarray = (share < LEAST_VALID_SHARE * self._expected).any(-1)
        return missing

    def _rows(
        self,
        encoding: Encoding,
        missing: np.ndarray,
        marks: np.ndarray,
        number: int,
        window: Window,
        first: int,
        last: int,
    ) -> Rows:
        rows = slice(first - window.start, last - window.start)
        flag = np.where(np.arange(first, last) < window.warm_from, schema.COLD_START, schema.OK)
        flag[missing] = schema.MISSING_INPUT
        embedding = _numpy(encoding.z[number, rows])
        astray = np.flatnonzero(~np.isfinite(embedding).all(-1) & ~missing)
        if len(astray):
            raise _not_finite(self._cube, first + int(astray[0]))
        embedding[missing] = np.nan
        temporal = (
            _numpy(encoding.temporal[number, rows]) if encoding.temporal is not None and self.lags else None
        )
        if temporal is not None:
            temporal[missing] = np.nan
        tiles = _numpy(encoding.tiles[number, rows]) if self.tiles > 1 else None
        if tiles is not None:
            tiles[missing] = np.nan
        every = self._checkpoint.config.encoder.attention_every
        steps = np.arange(window.start, window.start + encoding.z.shape[1], every)
        kept = (steps >= first) & (steps < last)
        return Rows(
            first,
            embedding,
            flag.astype(np.int8),
            marks,
            temporal,
            tiles,
            steps[kept],
            self._maps(encoding.received, number, kept),
            self._maps(encoding.teleconnection, number, kept),
        )

    def _maps(self, maps: Tensor | None, number: int, kept: np.ndarray) -> np.ndarray | None:
        """Return the maps of a window that are kept, cropped to the grid, NaN where it is never valid."""
        if maps is None or not self.has_maps:
            return None
        h, w = self._cube.grid.shape
        fields = _numpy(maps[number][torch.from_numpy(kept)][..., :h, :w])
        fields[..., self._domain.area[:h, :w].cpu().numpy() == 0] = np.nan
        return fields


def _not_finite(cube: Cube, step: int) -> InputError:
    return InputError(
        f"{', '.join(cube.sources)}: the embedding of {cube.time.labels[step]} is not finite",
        wanted="fields must have the magnitude of the training data",
        do="look at the values of that step with faconv inspect --time-range",
    )


def _numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.float().cpu().numpy().copy()
    return array
