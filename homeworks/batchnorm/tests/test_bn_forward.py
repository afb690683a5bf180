"""Batch norm forwards: what normalises in training and in use, what is remembered, and where gradients flow."""

import torch
from oracles import assert_right, assert_untouched, batch, noise, pulled_back, standardised, tensors_of

from grading.judge import assert_close, assert_tensor, check, gate, weight


def forward(submission, x, gamma, beta, run_mean, run_var, training, *others):
    """y and the running statistics: three finite tensors of the right shapes and dtype, or the test fails."""
    result = submission.bn_forward(x, gamma, beta, run_mean, run_var, training, *others)
    c = (x.shape[1],)
    return tensors_of(result, "bn_forward", {"y": x.shape, "run_mean": c, "run_var": c}, x.dtype)


def plain(c):
    """gamma 1 and beta 0."""
    return torch.ones(c, dtype=torch.float64), torch.zeros(c, dtype=torch.float64)


@gate
def test_three_tensors(submission, generator):
    """bn_forward returns y (N, C), and the new running mean and variance (C,), in the dtype of x."""
    forward(submission, *batch(generator), True)


@weight(3)
def test_columns_are_standardised(submission, generator):
    """In training, with gamma 1 and beta 0, every channel of y has mean 0 and biased variance 1."""
    x, _, _, *running = batch(generator)

    y, *_ = forward(submission, x, *plain(5), *running, True)

    hint = "each column has mean 0: subtract the mean of the batch (dim=0), in training not the running one"
    assert_close(y.mean(dim=0), torch.zeros(5, dtype=torch.float64), atol=1e-9, hint=hint)
    hint = (
        "what normalises is the *biased* variance, divided by N (x.var(dim=0, correction=0)); what is stored is the "
        "unbiased one. And it is the variance of the batch, per channel, under a root"
    )
    assert_right(y, standardised(x, 0), hint=hint)


@weight(2)
def test_affine_after_normalising(submission, generator):
    """gamma and beta are applied after normalising: y = gamma * xhat + beta."""
    x, gamma, beta, *running = batch(generator)

    xhat, *_ = forward(submission, x, *plain(5), *running, True)
    y, *_ = forward(submission, x, gamma, beta, *running, True)

    check(xhat.std(dim=0).min() > 0.1, "with gamma 1 and beta 0, y does not vary from example to example")
    hint = (
        "gamma * xhat + beta, in this order, with one gamma and beta a channel: what scales x before it is normalised "
        "is lost again"
    )
    assert_close(y, gamma * xhat + beta, rtol=1e-9, atol=1e-9, hint=hint)


@weight(2)
def test_eps_inside_the_root(submission, generator):
    """eps is added to the variance, inside the root."""
    x = noise(generator, 1000, 3) / 2  # so many that biased and unbiased hardly differ
    running = batch(generator, c=3)[3:]

    for eps in (0.5, 0.01):
        y, *_ = forward(submission, x, *plain(3), *running, True, 0.1, eps)

        hint = f"with eps={eps}: sqrt(variance + eps), not sqrt(variance) + eps; and is the argument used?"
        assert_close(y, standardised(x, 0, eps), rtol=2e-3, atol=1e-3, hint=hint)


@weight(2)
def test_defaults(submission, generator):
    """When nothing else is said, momentum is 0.1 and eps is 1e-5."""
    x = 1e-3 * noise(generator, 1000, 3)  # a variance that eps matters to
    run_mean, run_var = batch(generator, c=3)[3:]

    y, mean, _ = forward(submission, x, *plain(3), run_mean, run_var, True)

    assert_close(y, standardised(x, 0), rtol=5e-3, atol=1e-3, hint="eps is 1e-5 by default")
    small = mean - 0.9 * run_mean  # a tenth of the mean of x, which is tiny
    check(small.abs().max() < 1e-3, "by default the running mean keeps nine tenths of what it was")


@weight(2)
def test_running_mean(submission, generator):
    """In training the running mean moves towards the mean of the batch, by momentum."""
    x, gamma, beta, run_mean, run_var = batch(generator)

    for momentum in (0.3, 0.9):
        _, mean, _ = forward(submission, x, gamma, beta, run_mean, run_var, True, momentum)

        hint = (
            "momentum is the weight of the *new* batch: (1 - momentum) * run_mean + momentum * x.mean(dim=0). Swapped, "
            "it is the convention of other frameworks"
        )
        assert_right(mean.detach(), (1 - momentum) * run_mean + momentum * x.mean(0), hint=hint)


@weight(3)
def test_running_variance(submission, generator):
    """In training the running variance moves towards the unbiased variance of the batch, by momentum."""
    x, gamma, beta, run_mean, run_var = batch(generator)

    for momentum in (0.3, 0.9):
        _, _, var = forward(submission, x, gamma, beta, run_mean, run_var, True, momentum)

        biased = (1 - momentum) * run_var + momentum * x.var(0, correction=0)
        check(
            not torch.allclose(var, biased, rtol=1e-9),
            "what is stored is the biased variance (divided by N): it is to be the *unbiased* one, divided by N - 1",
        )
        hint = (
            "(1 - momentum) * run_var + momentum * the unbiased variance of the batch, x.var(dim=0): a variance, no "
            "standard deviation, and momentum is the weight of the new batch"
        )
        assert_right(var.detach(), (1 - momentum) * run_var + momentum * x.var(0), hint=hint)


@weight(3)
def test_in_use(submission, generator):
    """With training=False, the running statistics normalise, also a batch of one."""
    x, gamma, beta, run_mean, run_var = batch(generator)

    for rows in (x, x[:1]):
        for eps in (1e-5, 0.5):
            y, *_ = forward(submission, rows, gamma, beta, run_mean, run_var, False, 0.1, eps)

            hint = (
                "with training=False: gamma * (x - run_mean) / sqrt(run_var + eps) + beta. The batch's own mean and "
                "variance play no part, run_var is a variance and eps is inside the root"
            )
            assert_right(y, gamma * (rows - run_mean) / torch.sqrt(run_var + eps) + beta, hint=hint)


@weight(1)
def test_memory_is_read_only_in_use(submission, generator):
    """With training=False, the running statistics come back as they were."""
    x, gamma, beta, run_mean, run_var = batch(generator)

    y, mean, var = forward(submission, x, gamma, beta, run_mean, run_var, False)

    check((y - x).abs().max() > 1e-3, "y is x: nothing has been normalised")
    hint = "only training changes the running statistics"
    assert_right(mean, run_mean, hint=hint)
    assert_right(var, run_var, hint=hint)


@weight(3)
def test_gradient_through_the_statistics(submission, generator):
    """In training, the gradient flows through mean and variance, which depend on x."""
    x, gamma, beta, *running = batch(generator)
    leaves = {"x": x, "gamma": gamma, "beta": beta}
    cotangent = noise(generator, *x.shape)
    mine = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    y, *_ = forward(submission, *mine.values(), *running, True)
    found = pulled_back(y, mine, cotangent)

    theirs = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    right = standardised(theirs["x"], 0) * theirs["gamma"] + theirs["beta"]
    expected = pulled_back(right, theirs, cotangent)
    for name in leaves:
        hint = f"the gradient of {name}: are mean and variance detached, or taken under no_grad? They depend on x"
        assert_right(found[name], expected[name], hint=hint)


@weight(1)
def test_gradient_in_use(submission, generator):
    """With training=False there is a gradient too, and the running statistics are constants in it."""
    x, gamma, beta, run_mean, run_var = batch(generator)
    leaves = {"x": x.requires_grad_(), "gamma": gamma.requires_grad_(), "beta": beta.requires_grad_()}
    cotangent = noise(generator, *x.shape)

    found = pulled_back(forward(submission, *leaves.values(), run_mean, run_var, False)[0], leaves, cotangent)

    inv = 1 / torch.sqrt(run_var + 1e-5)
    expected = (cotangent * gamma * inv, (cotangent * (x - run_mean) * inv).sum(0), cotangent.sum(0))
    for name, gradient in zip(leaves, expected, strict=True):
        hint = f"the gradient of {name}, with training=False"
        assert_right(found[name], gradient.detach(), hint=hint)


@weight(1)
def test_memory_carries_no_graph(submission, generator):
    """The new running statistics are plain numbers: no gradient flows into them."""
    x, gamma, beta, run_mean, run_var = batch(generator)

    _, mean, var = forward(submission, x.requires_grad_(), gamma, beta, run_mean, run_var, True)

    check(
        (mean - run_mean).abs().max() > 1e-6 and (var - run_var).abs().max() > 1e-6,
        "the running statistics have not changed in training",
    )
    check(
        not (mean.requires_grad or var.requires_grad),
        "the running statistics carry the graph of the batch along, and with it all its memory, batch after batch: "
        "detach them",
    )


@weight(3)
def test_single_precision(submission, generator):
    """In float32 a channel far from zero is normalised too, and the results are float32."""
    x = (1000 + noise(generator, 50, 3)).float()
    given = [make(3) for make in (torch.ones, torch.zeros, torch.zeros, torch.ones)]

    y, _, var = forward(submission, x, *given, True, 1.0)

    hint = (
        "mean(x²) - mean(x)² is the difference of two large numbers and loses all digits: subtract the mean first, "
        "then square"
    )
    assert_close(y, standardised(x.double(), 0), rtol=0, atol=2e-2, hint=hint)
    assert_close(var, x.double().var(0), rtol=5e-2, hint=hint)


@weight(1)
def test_constant_channel(submission, generator):
    """A channel whose values are all the same comes out as beta, and its running variance goes down."""
    x, gamma, beta, run_mean, run_var = batch(generator)
    x[:, 2] = 7.0

    y, _, var = forward(submission, x, gamma, beta, run_mean, run_var, True)

    hint = "0 / sqrt(0 + eps) is 0, so what is left is beta: no NaN, and no special case"
    assert_close(y[:, 2], beta[2].expand(7), atol=1e-8, hint=hint)
    assert_close(var[2], 0.9 * run_var[2], rtol=1e-9, hint="the running variance of a constant channel")


@weight(1)
def test_arguments_stay(submission, generator):
    """bn_forward changes no argument in place, neither in training nor in use."""
    given = batch(generator)

    for training in (True, False):
        y, mean, _ = forward(submission, *given, training)

        check((y - given[0]).abs().max() > 1e-3, "y is x: nothing has been normalised")
        moved = bool((mean - given[3]).abs().max() > 1e-6)
        check(moved == training, "the running mean moves in training, and only then")
        assert_untouched(submission, "bn_forward (which returns *new* running statistics)", *given)


@weight(1)
def test_two_examples(submission, generator):
    """The smallest batch of all in training, two examples, is normalised to ±1."""
    x = torch.tensor([[3.0, -2.0, 5.0], [1.0, 2.0, 9.0]], dtype=torch.float64)

    y, *_ = forward(submission, x, *plain(3), *batch(generator, c=3)[3:], True, 0.1, 1e-12)

    expected = torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]], dtype=torch.float64)
    assert_tensor(y, shape=(2, 3))
    assert_close(
        y, expected, rtol=1e-9, hint="two numbers are one standard deviation (the biased one) from their mean"
    )
