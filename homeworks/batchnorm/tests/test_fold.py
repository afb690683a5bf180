"""Batch norm folded into the convolution before it, and running statistics measured anew."""

import pytest
import torch
import torch.nn.functional as F
from oracles import assert_right, noise

from grading.judge import assert_tensor, check, weight


def pair(submission, generator, channels=(4, 6), kernel=3, eps=1e-5, **options):
    """A convolution and a batch norm in the worker, and their state."""
    conv = submission.support.nn.Conv2d(*channels, kernel, **options).double()
    bn = submission.support.nn.BatchNorm2d(channels[1], eps=eps).double()
    c = channels[1]
    states = (
        {name: noise(generator, *value.shape) for name, value in conv.state_dict().items()},
        {
            "weight": noise(generator, c) + 2,
            "bias": noise(generator, c),
            "running_mean": 2 * noise(generator, c),
            "running_var": 0.1 + torch.rand(c, generator=generator, dtype=torch.float64),
            "num_batches_tracked": torch.tensor(9),
        },
    )
    for module, state in zip((conv, bn), states, strict=True):
        module.load_state_dict(state)
    return conv, bn, *states


def both(x, conv, bn, eps, **options):
    """What the convolution and then the batch norm (in eval mode) make of x."""
    y = F.conv2d(x, conv["weight"], conv.get("bias"), **options)
    return F.batch_norm(y, bn["running_mean"], bn["running_var"], bn["weight"], bn["bias"], False, eps=eps)


def folded_into(submission, conv, bn, shape):
    """The new convolution, its weight and its bias."""
    folded = submission.fold_bn(conv, bn)
    one = "fold_bn returns one nn.Conv2d, with a weight and a bias (even if conv has none), and no other parameters"
    check(callable(folded), one)
    check({name for name, _ in folded.named_parameters()} == {"weight", "bias"}, one)
    kernel = assert_tensor(
        folded.weight, shape=shape, dtype=torch.float64, hint="the weight of the new convolution"
    )
    hint = "the bias of the new convolution: it needs one even if conv has none"
    bias = assert_tensor(folded.bias, shape=shape[:1], dtype=torch.float64, hint=hint)
    return folded, kernel.detach(), bias.detach()


def assert_folded(submission, generator, *, eps=1e-5, hint, **options):
    """Weight and bias of the new convolution do alone what both did (computed here, so nothing else can help)."""
    conv, bn, conv_state, bn_state = pair(submission, generator, eps=eps, **options)
    x = noise(generator, 2, 4, 7, 6)

    _, kernel, bias = folded_into(submission, conv, bn, (6, 4, 3, 3))

    assert_right(F.conv2d(x, kernel, bias), both(x, conv_state, bn_state, eps), hint=hint)


@weight(2)
def test_fold(submission, generator):
    """The new convolution does alone what conv and then bn do in eval mode."""
    hint = (
        "the kernel of each *output* channel times gamma / sqrt(running_var + eps), and the bias (b - running_mean) "
        "times the same, plus beta"
    )
    assert_folded(submission, generator, hint=hint)


@weight(1)
def test_fold_without_bias(submission, generator):
    """A convolution without a bias gets one."""
    hint = "where conv.bias is None it counts as 0: beta - running_mean * gamma / sqrt(running_var + eps) is left"
    assert_folded(submission, generator, hint=hint, bias=False)


@weight(1)
def test_fold_eps(submission, generator):
    """The batch norm's own eps is used."""
    assert_folded(
        submission, generator, eps=0.5, hint="with eps=0.5: use bn.eps, inside the root, rather than 1e-5"
    )


@weight(1)
def test_fold_keeps_the_geometry(submission, generator):
    """Stride, padding, dilation and groups of the new convolution are those of conv."""
    for options in (
        {"stride": (2, 1), "padding": (0, 2)},
        {"dilation": (1, 2), "groups": 2, "bias": False},
    ):
        conv, bn, conv_state, bn_state = pair(submission, generator, **options)
        x = noise(generator, 2, 4, 7, 6)

        folded, *_ = folded_into(submission, conv, bn, (6, 4 // options.get("groups", 1), 3, 3))
        expected = both(x, conv_state, bn_state, 1e-5, **{k: v for k, v in options.items() if k != "bias"})
        y = assert_tensor(
            folded(x), shape=expected.shape, hint=f"the new convolution, for conv with {options}"
        )

        assert_right(
            y.detach(), expected, hint=f"stride, padding, dilation and groups must be conv's: {options}"
        )


@weight(1)
def test_fold_leaves_both_alone(submission, generator):
    """conv and bn stay as they are, in the same mode."""
    conv, bn, *states = pair(submission, generator)
    bn.eval()
    conv.train()

    _, kernel, _ = folded_into(submission, conv, bn, (6, 4, 3, 3))

    check(
        (kernel - states[0]["weight"]).abs().max() > 1e-3, "the new kernel is the old one: nothing is folded"
    )
    for module, before, name in zip((conv, bn), states, ("conv", "bn"), strict=True):
        after = module.state_dict()
        same = set(after) == set(before) and all(torch.equal(after[key], before[key]) for key in before)
        check(same, f"fold_bn changed {name}: make a new convolution, copy.deepcopy(conv) for one")
    check(conv.training and not bn.training, "conv or bn is in another mode than before")


# Recalibration. A convolution with a batch norm, dropout, and a linear layer with another batch norm behind.

BATCHES = (5, 8, 3)
NORMS = ("front.1", "back.0.1")


def network(submission, generator, *between):
    """The network in the worker, its state (with a past that must be forgotten), and batches of unequal sizes."""
    model = submission.support.Branch(*between).double()
    state = {
        name: noise(generator, *value.shape) + (2 if name.endswith("1.weight") else 0)
        if value.is_floating_point()
        else torch.tensor(4)
        for name, value in model.state_dict().items()
    }
    for norm in NORMS:
        state[f"{norm}.running_var"] = 0.5 + state[f"{norm}.running_var"].abs()
    model.load_state_dict(state)
    batches = [noise(generator, n, 2, 3, 4) * (1 + k) + k for k, n in enumerate(BATCHES)]
    return model, state, batches


def right_statistics(state, batches):
    """The averages over the batches of the mean and the unbiased variance that each batch norm sees."""
    seen = {norm: [] for norm in NORMS}
    for x in batches:
        z = F.conv2d(x, state["front.0.weight"], state["front.0.bias"])
        seen["front.1"].append((z.mean((0, 2, 3)), z.var((0, 2, 3))))
        z = F.batch_norm(z, None, None, state["front.1.weight"], state["front.1.bias"], True)
        z = F.linear(torch.relu(z).flatten(1), state["back.0.0.weight"], state["back.0.0.bias"])
        seen["back.0.1"].append((z.mean(0), z.var(0)))
    return {
        norm: tuple(torch.stack(values).mean(0) for values in zip(*pairs, strict=True))
        for norm, pairs in seen.items()
    }


def assert_recalibrated(submission, generator, norm, which):
    model, state, batches = network(submission, generator)
    model.train()

    submission.recalibrate_bn(model, batches)

    name = f"{norm}.running_{'var' if which else 'mean'}"
    value = assert_tensor(model.state_dict().get(name), shape=state[name].shape, hint=name)
    check(not torch.allclose(value, state[name]), "the running statistics are still the old ones")
    hints = {
        "front.1": "each batch counts the same, whatever momentum says and however large it is, and nothing is left of "
        "the old statistics; the variance is the average of the unbiased ones",
        "back.0.1": "look for batch norms at every depth, 1d and 2d. While you measure, they are in training mode, so "
        "that each normalises with the batch's own statistics, and dropout is in eval mode",
    }
    assert_right(value, right_statistics(state, batches)[norm][which], hint=hints[norm])


@weight(1)
@pytest.mark.parametrize("which", [0, 1], ids=["mean", "variance"])
def test_recalibrate_the_first(submission, generator, which):
    """The new running mean and variance are the plain averages over the batches of the batches' own."""
    assert_recalibrated(submission, generator, "front.1", which)


@weight(1)
@pytest.mark.parametrize("which", [0, 1], ids=["mean", "variance"])
def test_recalibrate_one_behind(submission, generator, which):
    """Also deep in the model, behind another batch norm and dropout, the new running statistics are those averages."""
    assert_recalibrated(submission, generator, "back.0.1", which)


@weight(1)
def test_recalibrate_in_eval_mode(submission, generator):
    """While batch norms are measured, everything else is in eval mode, whatever its class."""
    model, state, batches = network(submission, generator, submission.support.Shouting())
    model.train()

    submission.recalibrate_bn(model, batches)

    hint = (
        "dropout is not the only module that looks at self.training. Put the whole model into eval mode, and then the "
        "batch norms alone into training mode"
    )
    name = "back.0.1.running_mean"
    value = assert_tensor(model.state_dict().get(name), shape=state[name].shape, hint=name)
    check(not torch.allclose(value, state[name]), "the running statistics are still the old ones")
    assert_right(value, right_statistics(state, batches)["back.0.1"][0], hint=hint)


def recalibrated_model(submission, generator, *, training):
    """A model after recalibration (the first batch norm in another mode than the rest), and its state before."""
    model, state, batches = network(submission, generator)
    model.train(training)
    model.front.train(not training)

    submission.recalibrate_bn(model, batches)

    key = "front.1.running_mean"
    changed = not torch.allclose(model.state_dict()[key], state[key])
    check(changed, "the running statistics are still the old ones")
    return model, state


@weight(1)
def test_recalibrate_restores_the_modes(submission, generator):
    """Afterwards every module is in the mode it was in before, whatever the mode of the others."""
    for training in (True, False):
        model, _ = recalibrated_model(submission, generator, training=training)

        rest = (model.training, model.between.training, model.back[0].training, model.back[0][1].training)
        inner = (model.front.training, model.front[0].training, model.front[1].training)
        check(
            rest == (training,) * 4 and inner == (not training,) * 3,
            "a module was left in another mode than before: remember module.training of each, and put it back",
        )


@weight(1)
def test_recalibrate_changes_nothing_else(submission, generator):
    """Afterwards all parameters, and the momentum of each batch norm, are as before."""
    model, state = recalibrated_model(submission, generator, training=True)

    after = model.state_dict()
    parameters = [name for name in state if not name.startswith(NORMS) or name.endswith(("weight", "bias"))]
    same = all(torch.equal(after[name], state[name]) for name in parameters)
    check(
        same,
        "a parameter has changed: nothing is to be trained, and nothing reset but the running statistics",
    )
    momenta = (model.front[1].momentum, model.back[0][1].momentum)
    check(momenta == (0.25, 0.4), "momentum is not what it was: put it back, for each batch norm its own")
    check(
        all(p.grad is None for p in (model.front[0].weight, model.front[1].weight)),
        "the parameters have gradients now: measure under torch.no_grad()",
    )
