import numpy as np
import torch

from faconv_cli.nn.head import SpatialPatterns
from tests.reference.head import spatial_patterns

f64 = {"dtype": torch.float64}


def _filled(modes, hidden, channels, nodes, patch=1):
    torch.manual_seed(0)
    head = SpatialPatterns(modes, hidden, channels, nodes, patch).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def test_patterns_equal_their_plain_sum(make_domain):
    domain = make_domain(4, 5, masked=0.3)
    head = _filled(3, 6, 2, (4, 5))
    h, x = torch.randn(2, 3, 6, 4, 5, **f64), torch.randn(2, 3, 2, 4, 5, **f64)
    expected = spatial_patterns(
        *(a.detach().numpy() for a in (h, x, head.on_h, head.on_x, domain.area, head.bias))
    )
    np.testing.assert_allclose((head(h, x, domain) + head.bias).detach().numpy(), expected, rtol=1e-10)


def test_the_sum_over_tiles_is_the_sum_over_the_whole(make_domain):
    whole = make_domain(8, 16, (4, 6), periodic=True)
    tiled = make_domain(8, 16, (4, 6), tile=8, halo=2, periodic=True, multiple=2)
    head = _filled(3, 4, 2, (4, 6))
    h, x = torch.randn(1, 2, 4, 8, 16, **f64), torch.randn(1, 2, 2, 8, 16, **f64)
    parts = sum(head(tiled.cut(h, i), tiled.cut(x, i), tiled, i) for i in range(tiled.tiles))
    assert tiled.tiles > 1
    torch.testing.assert_close(parts, head(h, x, whole))


def test_points_that_are_never_valid_carry_no_weight(make_domain):
    domain = make_domain(4, 5, masked=0.5)
    head = _filled(3, 2, 2, (4, 5))
    h, x = torch.randn(1, 2, 2, 4, 5, **f64), torch.randn(1, 2, 2, 4, 5, **f64)
    masked = domain.area == 0
    assert masked.any()
    torch.testing.assert_close(head(h + 9 * masked, x - 7 * masked, domain), head(h, x, domain))


def test_a_hidden_point_of_a_patch_has_the_area_of_its_points(make_domain):
    domain = make_domain(4, 6, (1, 1), multiple=2)
    head = _filled(1, 1, 1, (1, 1), patch=2)
    e = head(torch.ones(1, 1, 1, 2, 3, **f64), torch.zeros(1, 1, 1, 4, 6, **f64), domain)
    torch.testing.assert_close(e[0, 0, 0], head.on_h.squeeze())


def test_untrained_patterns_ignore_the_hidden_state_and_start_from_what_they_are_given(make_domain):
    domain = make_domain(3, 4)
    head = SpatialPatterns(2, 5, 1, (3, 4)).double()
    patterns, mean = torch.randn(2, 1, 3, 4, **f64), torch.tensor([1.0, -2.0], **f64)
    head.start_from(patterns, mean)
    x = torch.randn(1, 1, 1, 3, 4, **f64)
    expected = (patterns * domain.area * x[0, 0]).sum((1, 2, 3)) - mean
    torch.testing.assert_close(
        (head(torch.randn(1, 1, 5, 3, 4, **f64), x, domain) + head.bias)[0, 0], expected
    )
