"""Dropout as a layer: modes, a probability that is checked, and nothing to learn."""

import pytest
import torch
from oracles import (
    assert_fresh,
    assert_pulled_back,
    assert_scaled,
    assert_share,
    at_work,
    away_from_zero,
    like,
)

from grading.judge import check, gate, weight


@gate
def test_shape_and_dtype(submission, generator):
    """A layer returns the shape and dtype that it gets."""
    layer = submission.Dropout(0.3)
    for dtype in (torch.float32, torch.float64):
        x = away_from_zero(generator, 3, 5, 7, dtype=dtype)

        like(layer(x), x, "Dropout")


@weight(2)
def test_at_work_in_train_mode(submission, generator):
    """A new layer is in train mode: it drops with probability p, and scales the survivors."""
    for p in (0.2, 0.7):
        x = away_from_zero(generator, 100, 200)

        y = like(submission.Dropout(p)(x), x, "Dropout")

        assert_share(y == 0, p, "entries")
        assert_scaled(y, x, p, "Dropout")


@weight(2)
def test_modes(submission, generator):
    """eval() switches a layer off, train() switches it on again."""
    layer = submission.Dropout(0.5)
    x = away_from_zero(generator, 20, 30)

    for _ in range(2):
        layer.eval()
        check(
            torch.equal(like(layer(x), x, "Dropout"), x),
            "after eval() x comes back as it is: look at self.training",
        )
        layer.train()
        at_work(layer(x), x, "Dropout after train()")


@weight(2)
def test_inside_a_model(submission, generator):
    """The layer is an nn.Module: the mode of the model that holds it reaches it, however deep."""
    x = away_from_zero(generator, 20, 30)
    model = submission.support.nested(submission.Dropout(0.5))

    at_work(model(x), x, "a model with Dropout inside")
    model.eval()
    hint = "model.eval() did not reach the Dropout inside: look at self.training when the layer is called"
    check(torch.equal(like(model(x), x, "the model"), x), hint)
    model.train()
    at_work(model(x), x, "a model with Dropout inside, back in train mode")


@weight(1)
def test_fresh_masks(submission, generator):
    """Each call draws a new mask."""
    p = 0.5
    x = away_from_zero(generator, 100, 200)
    layer = submission.Dropout(p)

    first, second = (like(layer(x), x, "Dropout") for _ in range(2))

    at_work(first, x, "Dropout")
    assert_fresh(first, second, p, "a Dropout layer")


@weight(1)
@pytest.mark.parametrize("p", [-0.01, 1.01, 50, float("nan")])
def test_impossible_probability(submission, p):
    """A p that is not in [0, 1], or is NaN, raises a ValueError as soon as the layer is made."""
    refused = False
    try:
        submission.Dropout(p)
    except ValueError:
        refused = True

    why = ": all comparisons with NaN are False" if p != p else ""
    check(refused, f"Dropout({p}) should raise a ValueError{why}")


@weight(2)
def test_edges_are_legal(submission, generator):
    """p = 0 and p = 1 are legal."""
    x = away_from_zero(generator, 20, 30)

    nothing, everything = submission.Dropout(0)(x), submission.Dropout(1)(x)

    check(torch.equal(like(nothing, x, "Dropout(0)"), x), "Dropout(0) drops nothing")
    check(
        bool((like(everything, x, "Dropout(1)") == 0).all()),
        "Dropout(1) drops everything, and makes no NaN of it",
    )


@weight(1)
def test_attribute(submission, generator):
    """p is 0.5 unless told otherwise; it can be read, and changed at any time."""
    x = away_from_zero(generator, 100, 200)
    layer = submission.Dropout()

    check(type(layer.p) in (int, float), "p is an attribute of the layer, a plain number")
    check(layer.p == 0.5, "without an argument p is 0.5")
    check(submission.Dropout(0.3).p == 0.3, "the attribute p is not the p that the layer was made with")
    assert_share(like(layer(x), x, "Dropout") == 0, 0.5, "entries", "Without an argument p is 0.5")
    layer.p = 0.1
    y = like(layer(x), x, "Dropout")
    assert_share(
        y == 0, 0.1, "entries", "The attribute p was changed, and the next call should use the new one"
    )
    assert_scaled(y, x, 0.1, "Dropout with another p than before")


@weight(1)
def test_nothing_to_learn(submission, generator):
    """The layer has no parameters and no buffers."""
    x = away_from_zero(generator, 20, 30)
    layer = submission.Dropout(0.5)

    at_work(layer(x), x, "Dropout")
    check(
        len(list(layer.parameters())) == 0, "p is not learnt: keep it as a plain number, not as a Parameter"
    )
    check(len(list(layer.buffers())) == 0, "p is no buffer, and neither is the mask")
    check(
        len(layer.state_dict()) == 0,
        "the state_dict must be empty, or weights saved with it do not load elsewhere",
    )


@weight(1)
def test_gradient(submission, generator):
    """The gradient goes through the layer's mask and scale, and x stays as it is."""
    x = away_from_zero(generator, 20, 30).requires_grad_()
    cotangent = torch.randn(x.shape, generator=generator, dtype=x.dtype)

    y = submission.Dropout(0.3)(x)

    at_work(y, x, "Dropout")
    assert_pulled_back(y, x, 0.3, cotangent, "Dropout")
    check(not submission.changed(x), "Dropout changed its argument in place")
