import numpy as np
import pytest

from faconv_cli.forecast.run import Forecasts
from faconv_cli.forecast.verify import Verification

AREA = np.array([[0.1, 0.2], [0.3, 0.4]])
STD, MEAN = np.array([2.0, 5.0]), np.array([0.3, -0.1])


def _forecasts(count=6, seed=0):
    rng = np.random.default_rng(seed)
    anomalies, truth = rng.normal(size=(2, count, 3, 2, 2, 2))
    seen = rng.normal(size=(count, 2, 2, 2))
    truth[1, :, :, 0, 0] = np.nan  # one point missing
    truth[2, 2] = np.nan  # beyond the record
    return Forecasts(np.arange(count), anomalies, seen, truth)


def _plain(values, truth, channel, lead):
    """Scores of (n, lead, c, h, w) by loops over starts."""
    squares, correlations = [], []
    for one, true in zip(values[:, lead, channel], truth[:, lead, channel], strict=True):
        known = np.isfinite(true)
        if known.any():
            w = AREA[known] / AREA[known].sum()
            a, b = one[known] + MEAN[channel], true[known] + MEAN[channel]
            squares.append((w * (a - b) ** 2).sum())
            norm = np.sqrt((w * a**2).sum() * (w * b**2).sum())
            correlations.append((w * a * b).sum() / norm if norm else np.nan)
    return STD[channel] * np.sqrt(np.mean(squares)), np.mean(correlations), len(squares)


@pytest.mark.parametrize("lead", range(3))
@pytest.mark.parametrize("channel", range(2))
def test_scores_are_those_of_loops_over_starts(channel, lead):
    forecasts = _forecasts()
    verification = Verification(AREA, STD, MEAN)
    verification.add(forecasts)
    scores = verification.scores()
    truth = forecasts.truth
    methods = {
        "forecast": forecasts.anomalies,
        "persistence": np.broadcast_to(forecasts.seen[:, None], truth.shape),
        "climatology": np.broadcast_to(-MEAN[:, None, None], truth.shape),
    }
    for name, values in methods.items():
        rmse, acc, count = _plain(values, truth, channel, lead)
        assert scores.rmse[name][channel, lead] == pytest.approx(rmse)
        assert scores.count[channel, lead] == count
        if name != "climatology":
            assert scores.acc[name][channel, lead] == pytest.approx(acc)


def test_a_perfect_forecast_has_no_error_and_a_correlation_of_one():
    forecasts = _forecasts()
    perfect = Forecasts(forecasts.starts, forecasts.truth, forecasts.seen, forecasts.truth)
    verification = Verification(AREA, STD, MEAN)
    verification.add(perfect)
    scores = verification.scores()
    np.testing.assert_allclose(scores.rmse["forecast"], 0, atol=1e-12)
    np.testing.assert_allclose(scores.acc["forecast"], 1)


def test_batches_add_up():
    whole, parts = _forecasts(), Verification(AREA, STD, MEAN)
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        parts.add(Forecasts(whole.starts[rows], whole.anomalies[rows], whole.seen[rows], whole.truth[rows]))
    once = Verification(AREA, STD, MEAN)
    once.add(whole)
    for name in ("forecast", "persistence", "climatology"):
        np.testing.assert_allclose(parts.scores().rmse[name], once.scores().rmse[name])


def test_what_cannot_be_verified_has_no_score():
    forecasts = _forecasts()
    forecasts.truth[:, 1] = np.nan
    verification = Verification(AREA, STD, MEAN)
    verification.add(forecasts)
    scores = verification.scores()
    assert np.isnan(scores.rmse["forecast"][:, 1]).all()
    assert (scores.count[:, 1] == 0).all()
    assert np.isfinite(scores.rmse["forecast"][:, 0]).all()
