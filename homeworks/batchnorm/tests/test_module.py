"""Batch norm as a module: rows and images, two modes, a memory in buffers, a state that PyTorch's own can load; and
the prediction."""

import torch
import torch.nn.functional as F
from oracles import assert_right, noise, pulled_back
from torch import nn

from grading.judge import assert_close, assert_tensor, check, weight

ROWS, IMAGES = (7, 5), (3, 5, 2, 4)
PARAMETERS, BUFFERS = ("weight", "bias"), ("running_mean", "running_var", "num_batches_tracked")
MOMENTUM = 0.3


def module(submission, *arguments, **options):
    """A new module of the student's, in float64."""
    bn = submission.BatchNorm(*arguments, **options)
    check(callable(bn), "BatchNorm(5) is no module")
    return bn.double()


def with_a_past(submission, generator, **options):
    """The module and its state, in which nothing is as it was at first."""
    state = past(generator)
    bn = module(submission, 5, **{"momentum": MOMENTUM, **options})
    submission.support.fill(bn, {name: state[name] for name in state if name != "num_batches_tracked"})
    return bn, state


def past(generator):
    return {
        "weight": noise(generator, 5) + 3,
        "bias": noise(generator, 5),
        "running_mean": noise(generator, 5),
        "running_var": 0.5 + torch.rand(5, generator=generator, dtype=torch.float64),
        "num_batches_tracked": torch.tensor(17),
    }


def inputs(generator, shape, number=1):
    """Batches of this shape, every channel with a mean and a scale of its own."""
    spread = [1, 5, *[1] * (len(shape) - 2)]
    return [
        noise(generator, *shape) * (1 + 2 * noise(generator, *spread).abs()) + 2 * noise(generator, *spread)
        for _ in range(number)
    ]


def output(bn, x):
    """What the module makes of x, in x's shape and dtype."""
    return assert_tensor(bn(x), shape=x.shape, dtype=x.dtype, hint="shape and dtype come out as they went in")


def in_training(state, x, eps=1e-5):
    """The right output, and the state after it."""
    after = {name: state[name].clone() for name in ("running_mean", "running_var")}
    y = F.batch_norm(x, *after.values(), state["weight"], state["bias"], True, MOMENTUM, eps)
    return y, {**state, **after}


def in_use(state, x, eps=1e-5):
    return F.batch_norm(
        x, state["running_mean"], state["running_var"], state["weight"], state["bias"], False, eps=eps
    )


def memory(bn):
    """The running statistics, by the name under which PyTorch has them."""
    return {
        name: assert_tensor(getattr(bn, name), shape=(5,), hint=f"the module's {name}")
        for name in BUFFERS[:2]
    }


@weight(1)
def test_parameters(submission):
    """weight (at first ones) and bias (zeros) are parameters, and nothing else is."""
    bn = module(submission, 5)

    parameters = dict(bn.named_parameters())

    extra = set(parameters) - set(PARAMETERS)
    check(
        not extra,
        "there are other parameters than weight and bias: running statistics are buffers, not learnt",
    )
    for name, first in zip(PARAMETERS, (1.0, 0.0), strict=True):
        check(name in parameters, f"{name} is not among the parameters: nn.Parameter")
        value = assert_tensor(parameters[name], shape=(5,), hint=f"{name} has one entry a channel")
        check(value.requires_grad, f"{name} does not require a gradient, so it is never learnt")
        assert_close(value, torch.full((5,), first), hint=f"what {name} is at first")


@weight(2)
def test_buffers(submission):
    """running_mean (at first zeros), running_var (ones) and num_batches_tracked (0) are buffers, and saved."""
    bn = submission.BatchNorm(5)
    check(callable(bn), "BatchNorm(5) is no module")

    state = bn.state_dict()
    buffers = dict(bn.named_buffers())

    fresh = nn.BatchNorm1d(5).state_dict()
    for name in BUFFERS:
        check(
            name in buffers,
            f"{name} is not a buffer: register_buffer in __init__, no plain attribute or parameter",
        )
        check(name in state, f"{name} is a buffer, but not saved with the model: do not set persistent=False")
        value = assert_tensor(state[name], shape=fresh[name].shape, dtype=fresh[name].dtype, hint=name)
        assert_close(value, fresh[name], hint=f"what {name} is at first")


@weight(2)
def test_rows_in_training(submission, generator):
    """In training mode, rows (N, C) are normalised with the batch, then scaled by weight and shifted by bias."""
    bn, state = with_a_past(submission, generator)
    (x,) = inputs(generator, ROWS)

    y = output(bn, x)

    hint = "is it gamma * xhat + beta with the batch's mean and biased variance, and weight and bias in their places?"
    assert_right(y, in_training(state, x)[0], hint=hint)


@weight(2)
def test_images_in_training(submission, generator):
    """In training mode, images (N, C, H, W) are normalised for each channel, over all examples and all pixels."""
    bn, state = with_a_past(submission, generator)
    (x,) = inputs(generator, IMAGES)

    y = output(bn, x)

    hint = "one mean and variance a channel, over dimensions 0, 2 and 3; check that every pixel gets back to its place"
    assert_right(y, in_training(state, x)[0], hint=hint)


@weight(1)
def test_memory_of_rows(submission, generator):
    """After several batches of rows, the running statistics have followed all of them."""
    assert_remembered(submission, generator, ROWS)


@weight(1)
def test_memory_of_images(submission, generator):
    """After several batches of images, the running statistics have followed all of them."""
    assert_remembered(submission, generator, IMAGES)


def assert_remembered(submission, generator, shape):
    bn, state = with_a_past(submission, generator)

    for x in inputs(generator, shape, 3):
        bn(x)
        _, state = in_training(state, x)

    n = "N - 1" if shape == ROWS else "N*H*W - 1"
    hint = f"in every training step, (1 - momentum) * old + momentum * the batch's; the variance is divided by {n}"
    for name, value in memory(bn).items():
        assert_right(value.detach(), state[name], hint=f"{name}: {hint}")


@weight(1)
def test_counter(submission, generator):
    """num_batches_tracked counts the batches of training mode, and no others."""
    bn = module(submission, 5)
    x, y, z = inputs(generator, ROWS, 3)

    bn(x), bn(y)
    bn.eval()
    bn(z)

    assert_close(
        bn.num_batches_tracked,
        torch.tensor(2),
        hint="one more for each batch in training mode, none in eval mode",
    )


@weight(1)
def test_rows_in_use(submission, generator):
    """In eval mode, rows are normalised by the running statistics, also a batch of one."""
    assert_used(submission, generator, ROWS)


@weight(1)
def test_images_in_use(submission, generator):
    """In eval mode, images are normalised by the running statistics, also a batch of one."""
    assert_used(submission, generator, IMAGES)


def assert_used(submission, generator, shape):
    bn, state = with_a_past(submission, generator)
    bn.eval()
    (x,) = inputs(generator, shape)

    for part in (x, x[:1]):
        hint = "after .eval() (self.training is False) the running statistics take the place of the batch's"
        assert_right(output(bn, part), in_use(state, part), hint=hint)


@weight(1)
def test_use_changes_nothing(submission, generator):
    """In eval mode, nothing changes: the second batch does not depend on the first."""
    bn, state = with_a_past(submission, generator)
    bn.eval()
    x, other = inputs(generator, ROWS, 2)

    before = output(bn, x)
    bn(other)
    after = output(bn, x)

    check((before - x).abs().max() > 1e-3, "what comes out is what went in: nothing has been normalised")
    hint = "only training mode updates the running statistics"
    assert_right(after, before, hint=hint)
    for name, value in memory(bn).items():
        assert_right(value.detach(), state[name], hint=f"{name} has changed in eval mode: {hint}")


@weight(2)
def test_gradients(submission, generator):
    """In training mode, gradients flow to x, through the statistics of the batch, and to weight and bias."""
    for shape in (ROWS, IMAGES):
        bn, state = with_a_past(submission, generator)
        (x,) = inputs(generator, shape)
        cotangent = noise(generator, *shape)

        mine = x.clone().requires_grad_()
        found = pulled_back(output(bn, mine), {"x": mine}, cotangent)
        for name in PARAMETERS:
            gradient = getattr(bn, name).grad
            check(gradient is not None, f"no gradient arrives at {name}")
            found[name] = gradient

        leaves = {"x": x.clone(), "weight": state["weight"].clone(), "bias": state["bias"].clone()}
        for leaf in leaves.values():
            leaf.requires_grad_()
        right, _ = in_training({**state, **leaves}, leaves["x"])
        for name, gradient in pulled_back(right, leaves, cotangent).items():
            hint = f"the gradient of {name} for {len(shape)}-D input: nothing between may be detached"
            assert_right(found[name], gradient, hint=hint)


@weight(1)
def test_memory_carries_no_graph(submission, generator):
    """The buffers carry no graph: nothing of a batch's backward pass is kept for the next."""
    bn, state = with_a_past(submission, generator)
    (x,) = inputs(generator, ROWS)

    bn(x.requires_grad_())

    for name, value in memory(bn).items():
        check((value - state[name]).abs().max() > 1e-6, f"{name} has not changed in training mode")
        check(
            not value.requires_grad, f"{name} carries the graph of the batch: detach, or update under no_grad"
        )


@weight(1)
def test_options(submission, generator):
    """BatchNorm(C, eps, momentum): both are used, and have the defaults 1e-5 and 0.1."""
    (x,) = inputs(generator, ROWS)

    for given, eps, momentum in (((), 1e-5, 0.1), ((0.5, 0.7), 0.5, 0.7)):
        bn = module(submission, 5, *given)
        y = output(bn, x / 300)

        z = (x - x.mean(0)) / 300
        expected = z / torch.sqrt(z.square().mean(0) + eps)
        assert_close(
            y, expected, rtol=1e-6, hint=f"with eps={eps}: is the argument kept, and used, inside the root?"
        )
        hint = f"with momentum={momentum}: is the argument kept, and used?"
        assert_close(bn.running_mean, momentum * x.mean(0) / 300, rtol=1e-6, hint=hint)


@weight(1)
def test_single_precision_and_memory_layout(submission, generator):
    """In float32, and for images that are not contiguous (turned on their side, say), it is right as well."""
    bn = submission.BatchNorm(5)
    check(callable(bn), "BatchNorm(5) is no module")
    (x,) = inputs(generator, IMAGES)
    x = x.float().transpose(2, 3)

    y = output(bn, x)

    hint = "x is not contiguous, so .view may not do what .reshape does"
    assert_close(y, F.batch_norm(x.double(), None, None, training=True), rtol=1e-3, atol=1e-4, hint=hint)


@weight(1)
def test_loads_from_pytorch(submission, generator):
    """The state of nn.BatchNorm1d and nn.BatchNorm2d loads strictly, and then it does in eval mode what they do."""
    for theirs, shape in ((nn.BatchNorm1d(5), ROWS), (nn.BatchNorm2d(5), IMAGES)):
        theirs.double().load_state_dict(past(generator))
        bn = module(submission, 5)
        (x,) = inputs(generator, shape)

        bn.load_state_dict(dict(theirs.state_dict()), strict=True)
        bn.eval()

        hint = f"after loading the state of {type(theirs).__name__}: are the values used that were loaded?"
        assert_right(output(bn, x), theirs.eval()(x).detach(), hint=hint)
        assert_close(bn.num_batches_tracked, torch.tensor(17), hint="the counter is part of the state")


@weight(1)
def test_saves_for_pytorch(submission, generator):
    """After some training, its state loads strictly into nn.BatchNorm1d and 2d, which then do as it does."""
    for theirs, shape in ((nn.BatchNorm1d(5), ROWS), (nn.BatchNorm2d(5), IMAGES)):
        bn, _ = with_a_past(submission, generator)
        for x in inputs(generator, shape, 2):
            bn(x)
        bn.eval()

        state = bn.state_dict()

        wanted = theirs.double().state_dict()
        check(
            isinstance(state, dict) and set(state) == set(wanted),
            f"the state must have exactly the names {', '.join(wanted)}",
        )
        for name, value in wanted.items():
            assert_tensor(state[name], shape=value.shape, dtype=value.dtype, hint=f"{name} in the state")
        theirs.load_state_dict({name: value.detach() for name, value in state.items()})
        hint = f"{type(theirs).__name__} with this state does something else in eval mode than your module"
        assert_right(output(bn, x), theirs.eval()(x).detach(), hint=hint)


@weight(5)  # of 25: the 3 points of 15 for the prediction, which asks nothing of BatchNorm
def test_prediction(submission):
    """Predict, then run: the gradient of weights that are ten times as large, in front of a batch norm."""
    answers = submission.ANSWERS

    check(isinstance(answers, dict), "ANSWERS must be a dict")
    prediction = answers.get("gradient_of_larger_weights")
    check(
        prediction is not None, 'no prediction yet: put a number into ANSWERS["gradient_of_larger_weights"]'
    )
    check(type(prediction) in (int, float), "the prediction must be a number: how many times what it was")
    hint = (
        "f(10 w) = f(w) for all w: differentiate both sides. The check below your prediction shows the sizes"
    )
    check(abs(prediction - 0.1) < 1e-3, f"not so: {hint}")
