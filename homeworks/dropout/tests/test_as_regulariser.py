"""What dropout does on average: moments of a linear unit, and the regression that it amounts to.

Expected values come from all 2^d masks and their probabilities, so they know nothing of the closed forms.
"""

import torch
from oracles import parts

from grading.judge import assert_close, assert_tensor, check, gate, weight


def every_mask(d, p):
    """The factors 0 or 1 / (1 - p) of all masks of d inputs, (2^d, d), and the probability of each."""
    kept = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * d)
    return kept / (1 - p), (kept * (1 - p) + (1 - kept) * p).prod(dim=1)


def linear_unit(generator, n=7, d=6):
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.randn(d, generator=generator, dtype=torch.float64) + 0.5


def regression(generator, n=19, d=5):
    """Features on different scales, correlated and not centred, and labels."""
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    mixed = x @ torch.randn(d, d, generator=generator, dtype=torch.float64) + 1
    scales = torch.linspace(0.3, 3, d, dtype=torch.float64)
    return mixed * scales, torch.randn(n, generator=generator, dtype=torch.float64) * 2 + 1


def expected_normal_equations(X, y, p):
    """The matrix and the right-hand side of the least squares problem over every mask of every row."""
    factors, probabilities = every_mask(X.shape[1], p)
    noisy = X[:, None] * factors
    matrix = torch.einsum("nma,nmb,m->ab", noisy, noisy, probabilities)
    return matrix, torch.einsum("nma,n,m->a", noisy, y, probabilities)


def moments(submission, x, w, p):
    return parts(submission.dropout_moments(x, w, p), ("mean", "variance"), "dropout_moments")


@gate
def test_shapes(submission, generator):
    """dropout_moments returns two tensors (n,), dropout_ridge one (d,), of the dtype of what they get."""
    for dtype in (torch.float64, torch.float32):
        x, w = (tensor.to(dtype) for tensor in linear_unit(generator))
        for part, name in zip(moments(submission, x, w, 0.3), ("mean", "variance"), strict=True):
            assert_tensor(part, shape=(7,), dtype=dtype, hint=f"the {name}: one number for each row of x")

        X, y = (tensor.to(dtype) for tensor in regression(generator))
        assert_tensor(
            submission.dropout_ridge(X, y, 0.3), shape=(5,), dtype=dtype, hint="one weight for each column"
        )


@weight(2)
def test_mean(submission, generator):
    """The mean over all masks of dropout(x) @ w is what comes out without dropout."""
    for p in (0.2, 0.8):
        x, w = linear_unit(generator)
        factors, probabilities = every_mask(6, p)

        mean, _ = moments(submission, x, w, p)

        hint = "each factor is 0 with probability p, else 1 / (1 - p): what is its mean?"
        assert_close(mean, x * w @ factors.T @ probabilities, rtol=1e-9, hint=hint)


@weight(5)
def test_variance(submission, generator):
    """The variance over all masks of dropout(x) @ w is the sum of the variances of its terms."""
    for p in (0.2, 0.8):
        x, w = linear_unit(generator)
        factors, probabilities = every_mask(6, p)
        z = x * w @ factors.T
        variance = (z - (z @ probabilities)[:, None]).square() @ probabilities

        _, actual = moments(submission, x, w, p)

        hint = (
            "the factors are independent, so the variances of the terms m_j x_j w_j add up; that of one factor is "
            "E[m²] - 1, and numbers come out of a variance squared"
        )
        assert_close(actual, variance, rtol=1e-9, hint=hint)


@weight(1)
def test_no_noise_no_variance(submission, generator):
    """Without dropout, p = 0, the mean is x @ w and the variance 0."""
    x, w = linear_unit(generator)

    mean, variance = moments(submission, x, w, 0)

    assert_close(mean, x @ w, hint="with p = 0 nothing is dropped")
    assert_close(variance, torch.zeros(7, dtype=torch.float64), hint="with p = 0 nothing is random")


@weight(1)
def test_least_squares(submission, generator):
    """With p = 0, dropout_ridge is ordinary least squares."""
    X, y = regression(generator)

    w = submission.dropout_ridge(X, y, 0)

    assert_close(
        w, torch.linalg.lstsq(X, y[:, None]).solution[:, 0], rtol=1e-7, hint="(XᵀX) w = Xᵀy, without a bias"
    )


@weight(6)
def test_smallest_expected_loss(submission, generator):
    """No other weights have a smaller loss, expected over all masks."""
    for p in (0.5, 0.15):
        X, y = regression(generator)

        w = submission.dropout_ridge(X, y, p)

        hint = (
            "write the expected loss as squared error without noise plus the sum of variances, and set its gradient "
            "to zero: each weight has a price of its own, how large its column of X is"
        )
        assert_close(w, torch.linalg.solve(*expected_normal_equations(X, y, p)), rtol=1e-7, hint=hint)


@weight(2)
def test_more_features_than_examples(submission, generator):
    """With p > 0 there is one solution also for fewer rows than columns."""
    X, y = regression(generator, n=3, d=7)

    w = submission.dropout_ridge(X, y, 0.3)

    hint = "with fewer rows than columns XᵀX has no inverse: add the price of the weights first, then solve"
    assert_close(w, torch.linalg.solve(*expected_normal_equations(X, y, 0.3)), rtol=1e-7, hint=hint)


@weight(1)
def test_arguments_are_left_alone(submission, generator):
    """x, w, X and y are not changed in place."""
    (x, w), (X, y) = linear_unit(generator), regression(generator)

    mean, _ = moments(submission, x, w, 0.4)
    assert_tensor(submission.dropout_ridge(X, y, 0.4), shape=(5,))

    check(
        not any(map(submission.changed, (x, w, X, y))),
        "an argument was changed in place: compute a new tensor",
    )
    assert_close(mean, x @ w, rtol=1e-9, hint="the mean is that without dropout")
