import pytest
import torch
from torch import nn

from faconv_cli.fit.optimizer import average_weights, learning_rate_share, make_optimizer


def test_only_weights_of_layers_decay():
    model = nn.Linear(3, 2)
    optimizer = make_optimizer(model, lr=0.5, weight_decay=0.2)
    decays = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    assert decays[0.2] == [model.weight]
    assert decays[0.0] == [model.bias]
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}
    assert optimizer.defaults["fused"] is None  # on a processor; its figures stay what they are


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
