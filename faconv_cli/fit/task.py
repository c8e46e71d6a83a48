"""What a training works on: a network, its start, and its objective."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor, nn

from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.dataset import Batch
from faconv_cli.windows.plan import Window


class Task(Protocol):
    """One task of `faconv train`; `Training` does the rest for all of them.

    Attributes:
        start: what the untrained network is, in words.
        notes: sentences about it.
        targets: names of the losses; none where there is nothing to train.
        shares: (s,) weight of each loss, adding up to 1.
        capturable: the losses of a batch depend on its tensors alone, and never on a value that the host
            must wait for; a GPU can replay them (`CapturedLoss`).
    """

    start: str
    notes: tuple[str, ...]
    targets: tuple[str, ...]
    shares: Tensor
    capturable: bool

    @property
    def model(self) -> nn.Module:
        """The network, made of the modules ``encoder`` and ``decoder``."""

    def losses(self, model: nn.Module, batch: Batch, domain: Domain, *, checked: bool = False) -> Tensor:
        """Return the loss of each target (s,), in variances of the fields.

        The objective may depend on whether the network is ``checked`` on a validation period, which decides
        how far it is trusted.
        """

    def validate(self, model: nn.Module, batches: Iterable[Batch], domain: Domain) -> Tensor | None:
        """Return the mean loss of each target (s,), None if one is unknown; it sets the trust."""

    def finish(self, model: nn.Module, batches: Iterable[Batch], domain: Domain) -> None:
        """Fit what a network needs from the training period once its weights are known."""

    def validation_windows(self) -> Sequence[Window]:
        """List the windows of the validation loss; none if nothing is held out."""
