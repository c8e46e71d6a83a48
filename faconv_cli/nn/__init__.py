"""3. Tensors to states and embeddings; torch only.

The recurrent layers share one signature, so one can be swapped for another: see `layer`. The rooms:

    cells        the recurrent cells, each with its equations as a plain loop and its fast path
    scans        recurrences along time that run without a step loop
    mechanisms   attention, mixing, layout of features, domain and season
    kernels      Triton kernels for a GPU, each with a plain path elsewhere

`encoder` and `head` turn the states of a layer into an embedding; `forecaster` and `leadforecaster` make
forecasts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faconv_cli.nn.cells.convgru import ConvGRU2d
    from faconv_cli.nn.cells.convlstm import ConvLSTM2d
    from faconv_cli.nn.cells.faconvlstm import FAConvLSTM2d
    from faconv_cli.nn.cells.minconvexplstm import MinConvExpLSTM2d
    from faconv_cli.nn.cells.minconvgru import MinConvGRU2d
    from faconv_cli.nn.cells.minconvlstm import MinConvLSTM2d
    from faconv_cli.nn.cells.minfaconvlstm import MinFAConvLSTM2d
    from faconv_cli.nn.layer import AttentionMaps, LayerOutput

__all__ = [
    "AttentionMaps",
    "ConvGRU2d",
    "ConvLSTM2d",
    "FAConvLSTM2d",
    "LayerOutput",
    "MinConvExpLSTM2d",
    "MinConvGRU2d",
    "MinConvLSTM2d",
    "MinFAConvLSTM2d",
]


def __getattr__(name: str) -> Any:
    """Import a layer when it is asked for: most load torch.compile's machinery, which takes a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "layer" if name in ("AttentionMaps", "LayerOutput") else f"cells.{name.removesuffix('2d').lower()}"
    return getattr(import_module(f"{__name__}.{home}"), name)
