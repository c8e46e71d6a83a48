import torch

from faconv_cli.nn.eofs import LinearInverseModel

f64 = {"dtype": torch.float64}


def test_an_inverse_model_steps_its_components_on(make_domain):
    torch.manual_seed(0)
    model, domain = LinearInverseModel(1, 3, 2, (4, 6)).double(), make_domain(4, 6)
    field, mean = torch.randn(2, 4, 6, **f64), torch.randn(1, 3, **f64)
    model.encoder.start_from(torch.randn(1, 3, 2, 4, 6, **f64), mean, field, 1.0)
    A, Q = torch.randn(3, 3, **f64) / 2, torch.randn(2, 4, 4, 6, **f64)
    model.decoder.start_from(Q, A)
    x = torch.randn(1, 4, 2, 4, 6, **f64)
    forecast = model(x, torch.ones_like(x, dtype=torch.bool), 2, domain)
    z = model.encoder(x, domain)
    ahead = torch.cat([z @ A, z[:, -1:] @ A @ A, z[:, -1:] @ A @ A @ A], dim=1)
    expected = torch.einsum("btd,cdyx->btcyx", ahead, Q[:, :3]) + Q[:, 3]
    torch.testing.assert_close(forecast, expected)
