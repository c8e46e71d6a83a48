import torch

from faconv_cli.nn.decoder import PointDecoder
from faconv_cli.nn.domain import interpolate

f64 = {"dtype": torch.float64}


def test_the_decoder_gives_back_the_patterns_it_started_from(make_domain):
    domain = make_domain(5, 6, (3, 4))
    decoder = PointDecoder(2, 3, 2, (3, 4), 5).double()
    patterns = torch.randn(2, 3, 3, 3, 4, **f64)
    decoder.start_from(patterns)
    z = torch.randn(2, 4, 2, **f64)
    points = torch.randint(30, (2, 7))
    field = interpolate(patterns, domain).flatten(-2)
    for b, t, s, c, p in [(0, 0, 0, 0, 0), (1, 3, 1, 2, 6), (0, 2, 1, 1, 3)]:
        at = field[s, c, :, points[b, p]]
        expected = z[b, t, 0] * at[0] + z[b, t, 1] * at[1] + at[2]
        torch.testing.assert_close(decoder(z, points, domain)[b, t, s, c, p], expected)


def test_the_decoder_reads_nothing_but_z_and_the_coordinates(make_domain):
    domain = make_domain(5, 6)
    decoder = PointDecoder(2, 1, 1, (5, 6), 5, width=8).double()
    torch.nn.init.normal_(decoder.out.weight)
    z, points = torch.randn(1, 3, 2, **f64), torch.randint(30, (1, 4))
    alone = decoder(z[:, 1:2], points, domain)
    torch.testing.assert_close(decoder(z, points, domain)[:, 1:2], alone)


def test_the_perceptron_tells_points_apart_by_their_coordinates(make_domain):
    domain = make_domain(5, 6)
    decoder = PointDecoder(2, 1, 1, (5, 6), 5, width=8).double()
    torch.nn.init.normal_(decoder.out.weight)
    decoded = decoder(torch.ones(1, 1, 2, **f64), torch.arange(30)[None], domain)
    assert decoded.std() > 0.01
    assert decoder.from_z.out_features == 8
