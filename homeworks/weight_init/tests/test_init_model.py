"""A whole model: what init_model makes of a ResidualNet full of useless numbers, read as data and run here."""

import math

import pytest
import torch
import torch.nn.functional as F
from oracles import assert_centred, assert_spread

from grading.judge import check, gate, weight

LAYERS = ("norm", "inner", "outer")


def initialised(submission, generator, width, blocks, classes):
    """The parameters by name after init_model, and those before, which are the judge's."""
    model = submission.ResidualNet(width, blocks, classes)
    before = {
        name: 3 + torch.randn(shape, generator=generator)
        for name, shape in shapes(width, blocks, classes).items()
    }
    state = model.state_dict()
    check(
        isinstance(state, dict)
        and {name: tuple(value.shape) for name, value in state.items()} == shapes(width, blocks, classes),
        "ResidualNet has other parameters than the one in the notebook: put its cell back as it was",
    )
    model.load_state_dict(before)

    submission.init_model(model)

    after = model.state_dict()
    check(
        {name: tuple(value.shape) for name, value in after.items()} == shapes(width, blocks, classes),
        "init_model changed the names or shapes of the model's parameters: it may change their values only",
    )
    check(
        any(not torch.equal(after[name], value) for name, value in before.items()),
        "init_model changed nothing: fill the parameters of the model that it is given",
    )
    for name, value in after.items():
        check(torch.isfinite(value).all(), f"{name} is NaN or infinite after init_model")
    return {name: value.detach() for name, value in after.items()}, before


def shapes(width, blocks, classes):
    found = {"stem.weight": (width, 1, 3, 3), "stem.bias": (width,)}
    for branch in branches(blocks):
        found |= {
            f"{branch}.norm.weight": (width,),
            f"{branch}.norm.bias": (width,),
            f"{branch}.inner.weight": (2 * width, width),
            f"{branch}.inner.bias": (2 * width,),
            f"{branch}.outer.weight": (width, 2 * width),
            f"{branch}.outer.bias": (width,),
        }
    return found | {
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (classes, width),
        "head.bias": (classes,),
    }


def branches(blocks):
    return [f"blocks.{block}.{branch}" for block in range(blocks) for branch in ("first", "second")]


def together(state, blocks, layer):
    return torch.cat([state[f"{branch}.{layer}.weight"].flatten() for branch in branches(blocks)])


@gate
def test_parameters_are_changed_in_place(submission, generator):
    """init_model fills the parameters of the model it is given, keeps names and shapes, and all are finite."""
    initialised(submission, generator, width=10, blocks=2, classes=7)


@weight(2)
def test_biases(submission, generator):
    """Every bias is 0 afterwards, whatever it was before: of linear layers, the convolution and the layer norms."""
    state, _ = initialised(submission, generator, width=10, blocks=3, classes=7)

    wrong = [name for name, value in state.items() if name.endswith("bias") and value.any()]
    check(
        not wrong, f"{', '.join(wrong[:3])}: not 0. Neither the old values nor PyTorch's random ones may stay"
    )


@weight(2)
def test_norms(submission, generator):
    """The weight of every layer norm is 1 afterwards, whatever it was before."""
    state, _ = initialised(submission, generator, width=10, blocks=3, classes=7)

    wrong = [name for name, value in state.items() if name.endswith("norm.weight") and not (value == 1).all()]
    check(not wrong, f"{', '.join(wrong[:3])}: not 1. A norm starts as if its scale were not there")


@weight(3)
@pytest.mark.parametrize("layer", ["stem", "inner"])
def test_kaiming(submission, generator, layer):
    """The stem and the inner layers have Kaiming's weights, by fan_in, for a ReLU."""
    width, blocks = 61, 3

    state, _ = initialised(submission, generator, width, blocks, classes=7)

    w = state["stem.weight"] if layer == "stem" else together(state, blocks, "inner")
    hint = f"the weights of {layer}: kaiming_normal_ or kaiming_uniform_ with fan_in"
    check(w.unique().numel() > 0.9 * w.numel(), f"{hint}, each entry drawn by itself")
    assert_centred(w, hint=hint)
    assert_spread(
        w, math.sqrt(2 / (9 if layer == "stem" else width)), hint=f"{hint} ({layer} has no other factor)"
    )


@weight(3)
@pytest.mark.parametrize("blocks", [3, 5])
def test_residual_branches(submission, generator, blocks):
    """The outer layer of every branch has Kaiming's weights times 1/√(2L), where L is the number of blocks."""
    width = 61

    state, _ = initialised(submission, generator, width, blocks, classes=7)

    w = together(state, blocks, "outer")
    hint = (
        "the weights of outer are Kaiming's (its fan_in is 2·width) times 1/√(2L): L blocks hold *two* branches each, "
        "variances add up, and L is the number of blocks of this very model"
    )
    check(w.unique().numel() > 0.9 * w.numel(), f"{hint}; each entry drawn by itself")
    assert_centred(w, hint=hint)
    assert_spread(w, math.sqrt(2 / (2 * width) / (2 * blocks)), hint=hint)


# How far the first loss is above log C, over 40 repetitions of the mean of 16 draws, the worse of 7 and 10 classes:
# head of Kaiming's std times .1 (the reference) .0044 mean, .0004 std, .0055 max, times .2 .0169, .0021, .0240;
# PyTorch's default for the whole model .0674, .0060, .0560 min; LeCun's head .1871, .0231, .1501 min.
@weight(2)
@pytest.mark.parametrize("classes", [7, 10])
def test_first_loss(submission, generator, classes):
    """The first loss is that of a model that knows nothing: at most 2.5% above log C for C classes."""
    width, blocks, draws = 24, 2, 16
    excess = 0.0
    for _ in range(draws):
        state, _ = initialised(submission, generator, width, blocks, classes)
        images = torch.randn(8, 1, 5, 6, generator=generator)
        scores = logits(state, blocks, images)
        # the mean over all possible labels: random ones would only add noise
        loss = (scores.logsumexp(1) - scores.mean(1)).mean().item()
        excess += (loss / math.log(classes) - 1) / draws

    check(
        excess <= 0.025,
        f"with {classes} classes the first loss is more than 2.5% above log C: the head's weights are too large, so "
        "the untrained model is confident of nonsense",
    )


@weight(2)
def test_the_head_lets_a_gradient_through(submission, generator):
    """The weights of the head are new, not 0, and different for each class."""
    state, before = initialised(submission, generator, width=10, blocks=2, classes=7)

    head = state["head.weight"]
    check(not torch.equal(head, before["head.weight"]), "the weights of the head are still the old ones")
    check(head.any(), "the head is all 0: then no gradient reaches the layers in front of it")
    check(
        len(head.unique(dim=0)) == 7,
        "rows of the head are equal: then two classes start as one; draw it at random",
    )


@weight(1)
def test_new_numbers_at_every_call(submission, generator):
    """Two calls give different weights."""
    first, second = (initialised(submission, generator, 10, 2, 7)[0] for _ in range(2))

    same = [name for name in first if "norm" not in name and name.endswith("weight")]
    same = [name for name in same if torch.equal(first[name], second[name])]
    check(not same, f"{', '.join(same[:3])}: the same numbers at every call, is a seed fixed?")


def logits(state, blocks, images):
    """What the ResidualNet of the notebook computes with these parameters."""
    h = F.conv2d(images, state["stem.weight"], state["stem.bias"]).flatten(2).transpose(1, 2)
    for branch in branches(blocks):
        norm, inner, outer = (
            [state[f"{branch}.{layer}.{kind}"] for kind in ("weight", "bias")] for layer in LAYERS
        )
        z = F.layer_norm(h, h.shape[-1:], *norm)
        h = h + F.linear(torch.relu(F.linear(z, *inner)), *outer)
    h = F.layer_norm(h.mean(1), h.shape[-1:], state["norm.weight"], state["norm.bias"])
    return F.linear(h, state["head.weight"], state["head.bias"])
