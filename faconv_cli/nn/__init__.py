"""3. Tensors to states and embeddings; torch only.

The recurrent layers share one signature, so one name can be swapped for another: `layer` says it. Each cell
is a file with its equations as a plain loop, and the fast path beside it: in the same file, in `gatedscan`
for the MinConv cells, in `faconvlstm_fast` for FAConvLSTM. On a GPU the Triton kernels of `kernels` do the
same, for FAConvLSTM by way of `faconvlstm_fused`. `encoder` and `head` make an embedding of a layer,
`forecaster` and `leadforecaster` forecasts.
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
