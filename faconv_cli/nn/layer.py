"""The interface every recurrent layer has, and the stack of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

from torch import Tensor, nn


class AttentionMaps(NamedTuple):
    """Where the attended steps of one call looked; areas are the ``weights`` the layer was given.

    Attributes:
        received: (b, n, h, w) density of the attention each point receives at the n attended steps; its
            area-weighted mean over the valid points is 1, masked points hold 0.
        teleconnection: (b, n, q, h, w) the same density for each query point alone, or None without queries.
    """

    received: Tensor
    teleconnection: Tensor | None


class LayerOutput(NamedTuple):
    """Hidden states (b, t, f, h, w), the state to go on from, and maps where they were asked for."""

    y: Tensor
    state: Any
    maps: AttentionMaps | None = None


class Recurrence(Protocol):
    """One recurrent layer; its state holds the index of its next step, so a split sequence gives the same."""

    def init_state(self, x: Tensor) -> Any:
        """Return the zero state for ``x`` (b, t, c, h, w) or (b, c, h, w)."""

    def step(self, x_t: Tensor, state: Any, weights: Tensor | None = None) -> tuple[Tensor, Any]:
        """Advance by one step: ``x_t`` (b, c, h, w) to h_t (b, f, h, w)."""

    def run(
        self,
        x: Tensor,
        state: Any = None,
        weights: Tensor | None = None,
        *,
        attention: bool = False,
        queries: Tensor | None = None,
    ) -> LayerOutput:
        """Run over ``x`` (b, t, c, h, w); the fast path of repeated `step`."""


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each point of (..., f, h, w): free of the grid's size."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` over its third axis from the end."""
        return super().forward(x.movedim(-3, -1)).movedim(-1, -3)


class RecurrentLayer2d(nn.Module):
    """A stack of recurrent layers with one signature: ``layer(x, state) -> (y, state)``.

    The first layer maps ``in_channels`` to ``hidden_channels``; each further one is
    y <- norm(y + layer(y)). Subclasses only build the list of recurrences; all of them take

    - in_channels: C of the input (b, t, C, h, w),
    - hidden_channels: F of the hidden states (b, t, F, h, w),
    - kernel_size: k of the kernels, odd (3 by default),
    - num_layers: number of layers (1 by default),
    - padding: "zeros" (default), "circular", or "longitude" (circular in x only),
    - return_sequences: return every hidden state (default), else only the last (b, F, h, w),
    - return_state: return (y, state) (default), else only y.

    Args:
        layers: recurrences, the first from the input's channels, the others from ``hidden_channels``.
        in_channels, hidden_channels, return_sequences, return_state: see above.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        in_channels: int,
        hidden_channels: int,
        *,
        return_sequences: bool,
        return_state: bool,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(ChannelNorm(hidden_channels) for _ in layers[1:])
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        self.return_sequences, self.return_state = return_sequences, return_state

    def init_state(self, x: Tensor) -> tuple[Any, ...]:
        """Return the zero state for ``x`` (b, t, c, h, w) or (b, c, h, w)."""
        return tuple(layer.init_state(x) for layer in self._recurrences())

    def forward(
        self, x: Tensor, state: tuple[Any, ...] | None = None, weights: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, ...]] | Tensor:
        """Run over ``x`` (b, t, c, h, w) from ``state`` (None: zero); see the class for what comes back."""
        output = self.run(x, state, weights)
        y = output.y if self.return_sequences else output.y[:, -1]
        return (y, output.state) if self.return_state else y

    def step(
        self, x_t: Tensor, state: tuple[Any, ...], weights: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Advance every layer by one step: ``x_t`` (b, c, h, w) to y_t (b, f, h, w)."""
        y, states = x_t, []
        for number, layer in enumerate(self._recurrences()):
            h, layer_state = layer.step(y, state[number], weights)
            y = h if number == 0 else self.norms[number - 1](y + h)
            states.append(layer_state)
        return y, tuple(states)

    def run(
        self,
        x: Tensor,
        state: tuple[Any, ...] | None = None,
        weights: Tensor | None = None,
        *,
        attention: bool = False,
        queries: Tensor | None = None,
    ) -> LayerOutput:
        """Run over ``x`` (b, t, c, h, w); maps, where asked for, are those of the last layer.

        Args:
            x: (b, t, c, h, w).
            state: what an earlier call gave back; None starts from zero at step 0.
            weights: (h, w) or (b, h, w), area times validity in any scale; 0 masks a point. None: uniform.
            attention: also give `AttentionMaps` (None for layers without axial attention).
            queries: (q, 2) points (y, x) whose teleconnection maps are wanted.
        """
        y, states, maps = x, [], None
        for number, layer in enumerate(self._recurrences()):
            output = layer.run(
                y, state[number] if state else None, weights, attention=attention, queries=queries
            )
            y = output.y if number == 0 else self.norms[number - 1](y + output.y)
            states.append(output.state)
            maps = output.maps
        return LayerOutput(y, tuple(states), maps)

    def _recurrences(self) -> Sequence[Recurrence]:
        return cast("Sequence[Recurrence]", self.layers)
