import pytest
import torch
from torch import nn

from faconv_cli.config import FitConfig
from faconv_cli.fit.optimizer import PATTERN_RATE, average_weights, learning_rate_share, make_optimizer


class _Patterns(nn.Module):
    def __init__(self):
        super().__init__()
        self.on_x, self.on_h = (nn.Parameter(torch.ones(2, 3)) for _ in range(2))
        self.bias = nn.Parameter(torch.ones(2))


class _Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.patterns = _Patterns()
        self.encoder.layer = nn.Linear(3, 2)
        self.decoder = nn.Module()
        self.decoder.patterns = nn.Parameter(torch.ones(2, 3))


def test_only_weights_of_layers_decay_and_eofs_move_slowly():
    model = _Model()
    optimizer = make_optimizer(model, FitConfig(lr=0.5, weight_decay=0.2))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (group["weight_decay"], group["lr"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    slow = (0.0, 0.5 * PATTERN_RATE)
    assert found == {
        "encoder.patterns.on_x": slow,
        "encoder.patterns.bias": slow,
        "decoder.patterns": slow,
        "encoder.patterns.on_h": (0.0, 0.5),
        "encoder.layer.bias": (0.0, 0.5),
        "encoder.layer.weight": (0.2, 0.5),
    }


def test_the_rate_warms_up_then_falls_to_nothing():
    shares = [learning_rate_share(step, 100) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == shares[10] == 1.0
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[100] == pytest.approx(0.0)


def test_the_average_follows_quickly_at_first_and_slowly_later():
    for updates, moved in ((0, 0.9), (10, 0.45), (10_000, 0.01)):
        average = [torch.zeros(1)]
        average_weights(average, [torch.ones(1)], torch.tensor(updates))
        assert float(average[0]) == pytest.approx(moved, rel=1e-3)
