"""Standardize: mean, variance, and what happens where nothing varies. Plain pytest: the usual way runs it too."""

import torch


def rows(generator):
    return 3 * torch.randn(19, 31, generator=generator, dtype=torch.float64) + 5


def test_mean_and_variance(submission, generator):
    """Each row has mean 0 and variance 1 afterwards."""
    x = rows(generator)

    y = submission.standardize(x, 1)

    assert torch.allclose(y.mean(dim=1), torch.zeros(19, dtype=y.dtype), atol=1e-6), "subtract the mean"
    variance = y.var(dim=1, unbiased=False)
    assert torch.allclose(variance, torch.ones(19, dtype=y.dtype), atol=1e-3), "divide by the deviation"


def test_along_the_dimension(submission, generator):
    """dim says along which dimension to standardize."""
    x = rows(generator)

    y = submission.standardize(x, 0)

    assert torch.allclose(y, submission.standardize(x.T, 1).T), "is dim used?"


def test_nothing_varies(submission):
    """Where all values are the same, the result is 0 and not NaN."""
    x = torch.full((3, 7), 2.0)

    y = submission.standardize(x, 1)

    assert torch.equal(y, torch.zeros_like(x)), "add eps to the variance, under the root"
