"""Loss and gradients of a batch as one CUDA graph.

A recurrence is thousands of small kernels, which a GPU runs faster than the host can launch them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from faconv_cli.windows.dataset import Batch

WARM_UPS = 3  # before a capture, so that libraries have chosen their kernels and taken their memory


class CapturedLoss:
    """The loss of batches of one shape, and its gradients: recorded once, then replayed.

    A replay overwrites the gradients of the weights, so they must not be set to None or zeroed. The loss must
    not depend on values on the host, and every batch must have the shape of the first.

    Args:
        model: the network; its weights stay where they are.
        loss: of a batch on the device.
        batch: the first one, on the device.
    """

    def __init__(self, model: nn.Module, loss: Callable[[Batch], Tensor], batch: Batch) -> None:
        self._batch = batch.map(Tensor.clone)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                model.zero_grad(set_to_none=True)
                loss(self._batch).backward()  # type: ignore[no-untyped-call]
        torch.cuda.current_stream().wait_stream(aside)
        model.zero_grad(set_to_none=True)  # so that the graph makes gradients instead of adding to them
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = loss(self._batch)
            self._loss.backward()  # type: ignore[no-untyped-call]

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; the gradients of the weights are then those of it."""
        for own, new in zip(self._batch.tensors, batch.tensors, strict=True):
            own.copy_(new, non_blocking=True)
        self._graph.replay()
        return self._loss.detach()
