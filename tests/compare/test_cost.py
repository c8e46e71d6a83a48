import numpy as np
import pytest
import torch

from faconv_cli.compare.cost import PeakMemory, flops_per_step
from faconv_cli.config import RunConfig
from faconv_cli.windows.resolve import resolve


@pytest.fixture(scope="module")
def flops(make_cube):
    """Operations per step of three channels on 8 x 12 points: ``flops(**options)``."""
    cube = make_cube(20, channels=3, shape=(8, 12))

    def flops(**options):
        return flops_per_step(resolve(RunConfig.build(None, options), 3, (8, 12), periodic=False), cube)

    return flops


def test_a_convlstm_costs_what_its_convolutions_do(flops):
    # 4F k² (C + F) multiply-adds per point; to embed, mask, place and season are 1 + 5 + 2 more channels
    expected = 2 * 4 * 10 * 9 * (11 + 10) * 8 * 12
    assert flops(encoder="convlstm", hidden=10, task="embed") == expected
    assert (
        flops(encoder="convlstm", hidden=10, task="forecast", closed_loop=True)
        == 2 * 4 * 10 * 9 * 20 * 8 * 12
    )


def test_a_minconvgru_costs_one_convolution(flops):
    assert flops(encoder="minconvgru", hidden=10) == 2 * 2 * 10 * 9 * 11 * 8 * 12


def test_faconvlstm_without_attention_costs_its_factors(flops):
    # (C + F) R + |D| k² R + 4F R multiply-adds per point, besides squeeze-and-excitation
    without = ("axial", "squeeze-excitation")
    counted = flops(
        encoder="faconvlstm", hidden=10, bottleneck=6, attention_heads=2, embedding=4, without=without
    )
    assert counted == pytest.approx(2 * ((11 + 10) * 6 + 3 * 9 * 6 + 4 * 10 * 6) * 96, rel=0.5)


def test_attended_steps_are_shared_out(flops):
    often, seldom = (flops(encoder="faconvlstm", attention_every=every) for every in (1, 8))
    none = flops(encoder="faconvlstm", without=("axial",))
    assert none < seldom < often
    assert (often - none) == pytest.approx(8 * (seldom - none))


def test_eofs_and_patches_cost_less(flops):
    assert flops(encoder="eof") == 0
    assert flops(encoder="convgru", patch=2) < flops(encoder="convgru", patch=1) / 2


def test_the_peak_of_memory_is_that_since_the_start():
    large = np.ones(2**27, np.uint8)
    del large
    memory = PeakMemory(torch.device("cpu"))
    before = memory.mebibytes
    kept = np.ones(2**26, np.uint8)
    assert 56 < memory.mebibytes - before < 100
    del kept
