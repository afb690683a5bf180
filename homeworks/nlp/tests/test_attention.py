"""Attention: how weights are made and masked, heads that do not mix positions, and the prediction."""

import math

import torch
from oracles import assert_right, kind, normal

from grading.judge import assert_close, assert_tensor, check, weight

SHAPES = ((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6))  # of q, k, v: T = 5, S = 7, d = 4, e = 6
WIDTH, HEADS, LENGTH = 12, 3, 5


def given(generator):
    return [normal(generator, *shape) for shape in SHAPES]


def oracle(q, k, v, mask=None):
    scores = torch.einsum("...td,...sd->...ts", q, k) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.where(mask, -math.inf)
    weights = torch.softmax(scores, -1)
    return weights @ v, weights


def attend(submission, q, k, v, *mask):
    """(output, weights) of attention, of the right shapes, with the arguments left alone."""
    result = submission.attention(q, k, v, *mask)

    for argument in (q, k, v, *mask):
        check(not submission.changed(argument), "attention changed an argument in place")
    check(
        isinstance(result, tuple | list) and len(result) == 2,
        "attention returns two tensors: (output, weights)",
    )
    output = assert_tensor(
        result[0], shape=(*q.shape[:-1], v.shape[-1]), dtype=q.dtype, finite=False, hint="output: (..., T, e)"
    )
    shape = (*q.shape[:-1], k.shape[-2])
    return output, assert_tensor(
        result[1], shape=shape, dtype=q.dtype, finite=False, hint="weights: (..., T, S)"
    )


def some_mask(generator, *shape):
    """A random mask in which every row has a True and a False."""
    mask = torch.rand(*shape, generator=generator) < 0.5
    mask[..., 1], mask[..., -1] = True, False
    return mask


@weight(2)
def test_rows_sum_to_one(submission, generator):
    """Each query has one unit of attention: its weights over the keys are not negative and sum to one."""
    q, k, v = given(generator)

    _, weights = attend(submission, q, k, v)

    check((weights >= 0).all(), "a weight is negative")
    hint = "the softmax goes over the keys, the last dimension (not over the queries)"
    assert_right(weights.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64), hint=hint)
    check(
        not torch.allclose(weights, torch.full_like(weights, 1 / 7)),
        "all keys get the same weight, whatever they are",
    )


@weight(4)
def test_output(submission, generator):
    """The output is softmax(q k^T / sqrt(d)) v, for any number of dimensions in front."""
    q, k, v = given(generator)
    hint = "scores are q @ k^T / sqrt(d), d the last dimension of q: not d, not without the scale"

    for parts in ((q, k, v), (q[0], k[0], v[0]), (q[0, 1], k[0, 1], v[0, 1])):
        output, weights = attend(submission, *parts)
        expected = oracle(*parts)
        assert_right(weights, expected[1], hint=f"the weights are wrong: {hint}")
        assert_right(output, expected[0], hint="the weights are right, the output is not: weights @ v")
    single = [part.float() for part in (q, k, v)]
    output, _ = attend(submission, *single)
    check(torch.allclose(output, oracle(*single)[0], rtol=1e-4, atol=1e-5), f"wrong in float32: {hint}")


@weight(4)
def test_mask(submission, generator):
    """A place where the mask is False gets no weight at all, and the others share the whole."""
    q, k, v = given(generator)
    mask = some_mask(generator, 2, 3, 5, 7)

    output, weights = attend(submission, q, k, v, mask)

    check(
        (weights[~mask] == 0).all(),
        "a place where the mask is False has weight: True means that it *may* be looked at, and False is like "
        "-inf or -1e9 before the softmax (adding 0 or 1 is no mask)",
    )
    expected = oracle(q, k, v, mask)
    hint = "mask the scores *before* the softmax, so that what is left sums to one"
    assert_right(weights, expected[1], hint=hint)
    assert_right(output, expected[0], hint="the weights are right, the output is not: weights @ v")


@weight(4)
def test_masked_key_of_a_large_score(submission, generator):
    """A key that is masked takes nothing from the others, even if its score is above 1000 and theirs are small."""
    q, k, v = given(generator)
    q, k[..., -1, :] = q.abs() + 1, 500
    mask = some_mask(generator, 2, 3, 5, 7)

    output, weights = attend(submission, q, k, v, mask)

    hint = (
        "the mask comes *before* the softmax (scores of -inf or -1e9). After it, the masked key has taken all the "
        "attention already, and dividing by what is left cannot bring it back"
    )
    for actual, expected in zip((weights, output), reversed(oracle(q, k, v, mask)), strict=True):
        check(torch.isfinite(actual).all(), f"there is a NaN or an infinity. Hint: {hint}")
        assert_close(actual, expected, rtol=1e-9, atol=1e-11, hint=hint)


@weight(2)
def test_masks_of_other_shapes(submission, generator):
    """A mask may be smaller than the weights: one for all queries, or one for all sentences and heads."""
    q, k, v = given(generator)

    for shape in ((2, 1, 1, 7), (5, 7), (1, 3, 5, 7)):
        mask = some_mask(generator, *shape)
        output, _ = attend(submission, q, k, v, mask)
        assert_right(
            output, oracle(q, k, v, mask)[0], hint=f"wrong for a mask of shape {shape}: let it broadcast"
        )


@weight(2)
def test_row_without_a_place_to_look(submission, generator):
    """If a query may look nowhere, its output, its weights and all gradients are finite; other queries are as ever."""
    q, k, v = (part.requires_grad_() for part in given(generator))
    mask = some_mask(generator, 2, 3, 5, 7)
    mask[0, :, 2] = False
    mask[1, 1] = False

    output, weights = attend(submission, q, k, v, mask)

    hint = "a softmax over nothing but -inf is NaN: take -1e9, or set such rows to 0 before and after the softmax"
    check(
        torch.isfinite(output).all() and torch.isfinite(weights).all(),
        f"there is a NaN or an infinity. Hint: {hint}",
    )
    rows = mask.any(-1)
    expected = oracle(q.detach(), k.detach(), v.detach(), mask)[0]
    assert_right(
        output.detach()[rows], expected[rows], hint="queries beside one that may look nowhere have changed"
    )
    check(output.requires_grad, "the output has no gradient: detach, .data and NumPy cut it off")
    for gradient in torch.autograd.grad(
        output, (q, k, v), normal(generator, *output.shape), allow_unused=True
    ):
        check(gradient is not None, "there is no gradient with respect to one of q, k, v")
        check(torch.isfinite(gradient).all(), f"the values are finite, but a gradient is not. Hint: {hint}")


@weight(2)
def test_gradient_and_large_scores(submission, generator):
    """The gradients with respect to q, k and v are right, and scores of size 1000 do not overflow."""
    q, k, v = given(generator)
    mask, cotangent = some_mask(generator, 5, 7), normal(generator, 2, 3, 5, 6)

    for scale in (1.0, 1500.0):
        theirs = [part.clone().requires_grad_() for part in (scale * q, k, v)]
        ours = [part.clone().requires_grad_() for part in (scale * q, k, v)]
        output, _ = attend(submission, *theirs, mask)
        check(output.requires_grad, "the output has no gradient: detach, .data and NumPy cut it off")
        check(
            torch.isfinite(output).all(),
            "a NaN or an infinity: exp overflows for large scores (use softmax, which subtracts the maximum), or "
            "the weights are masked, and divided by what is left, only after the softmax",
        )
        gradients = torch.autograd.grad(output, theirs, cotangent, allow_unused=True)
        expected = torch.autograd.grad(oracle(*ours, mask)[0], ours, cotangent)
        for name, actual, right in zip("qkv", gradients, expected, strict=True):
            check(actual is not None, f"there is no gradient with respect to {name}")
            hint = (
                f"the gradient with respect to {name} is wrong"
                + " for scores of size 1000: is the mask *before* the softmax?" * (scale > 1)
            )
            assert_close(actual, right, rtol=1e-9, atol=1e-11, hint=hint)


@weight(2)
def test_causal_mask(submission):
    """In causal_mask, position i may look at itself and at what is before it, and at nothing after it."""
    for length in (1, 2, 6):
        mask = submission.causal_mask(length)
        assert_tensor(
            mask, shape=(length, length), dtype=torch.bool, hint="causal_mask is (length, length), bool"
        )
        hint = (
            "row i is True for j <= i: the diagonal too (a position may see itself), and nothing right of it"
        )
        check(torch.equal(mask, torch.tensor([[j <= i for j in range(length)] for i in range(length)])), hint)


def multi_head(submission, generator):
    """A MultiHead in float64 with given weights, as a function; and the weights."""
    w_in, w_out = (normal(generator, rows, WIDTH) / math.sqrt(WIDTH) for rows in (3 * WIDTH, WIDTH))
    module = submission.MultiHead(WIDTH, HEADS)
    check(callable(module), f"MultiHead(width, heads) makes a module, not {kind(module)}")
    module.double()
    module.load_state_dict({"w_in": w_in, "w_out": w_out})

    def forward(x, *mask):
        y = module(x, *mask)
        check(not submission.changed(x), "MultiHead changed x in place")
        return assert_tensor(
            y, shape=x.shape, dtype=x.dtype, hint="MultiHead of (B, T, width) is (B, T, width)"
        ).detach()

    return forward, w_in, w_out


def heads_oracle(x, w_in, w_out, mask=None):
    d = WIDTH // HEADS
    outputs = []
    for head in range(HEADS):
        rows = slice(head * d, (head + 1) * d)
        q, k, v = (x @ block[rows].T for block in w_in.split(WIDTH))
        head_mask = mask[:, head] if mask is not None and mask.ndim == 4 else mask
        outputs.append(oracle(q, k, v, head_mask)[0])
    return torch.cat(outputs, -1) @ w_out.T


@weight(2)
def test_heads(submission, generator):
    """MultiHead is attention for each head on its own part of queries, keys and values, with its own sqrt(d)."""
    forward, w_in, w_out = multi_head(submission, generator)
    x = normal(generator, 2, LENGTH, WIDTH)
    hint = (
        "w_in holds the rows of q, then k, then v; head i has the numbers from i * d up to (i + 1) * d of each; the "
        "scale is 1/sqrt(d) with d = width / heads; w_out comes last"
    )

    assert_right(forward(x), heads_oracle(x, w_in, w_out), hint=hint)
    mask = some_mask(generator, 2, HEADS, LENGTH, LENGTH)
    hint = "wrong with a mask of shape (B, heads, T, T): hand it on to attention"
    assert_right(forward(x, mask), heads_oracle(x, w_in, w_out, mask), hint=hint)


@weight(1)
def test_heads_mix_no_positions(submission, generator):
    """Without a mask, other order in means the same numbers in that order out, and sentences do not meet."""
    forward, _, _ = multi_head(submission, generator)
    x = normal(generator, 2, LENGTH, WIDTH)
    order = torch.tensor([2, 0, 3, 4, 1])

    y = forward(x)

    check(not torch.allclose(y[:, 1:], y[:, :1].expand(-1, 4, -1)), "all positions have the same result")
    hint = "(B, T, width) to (B, heads, T, d) takes an unflatten *and* a transpose: a reshape alone mixes positions"
    assert_right(forward(x[:, order]), y[:, order], hint=hint)
    assert_right(
        forward(x[:1]), y[:1], hint="a sentence alone has another result than beside another sentence"
    )


@weight(1)
def test_no_look_ahead(submission, generator):
    """With a causal mask, what comes later changes nothing before it."""
    forward, _, _ = multi_head(submission, generator)
    x = normal(generator, 2, LENGTH, WIDTH)
    later = x.clone()
    later[:, 3:] += 1
    causal = torch.ones(LENGTH, LENGTH).tril().bool()

    y, changed = forward(x, causal), forward(later, causal)

    check(not torch.allclose(y[:, 3:], changed[:, 3:]), "the result does not depend on the input")
    hint = "a causal mask is not heeded, or a reshape mixes positions: the past sees the future"
    assert_right(changed[:, :3], y[:, :3], hint=hint)


@weight(4)  # of 30: the 2 points for the prediction, which asks nothing of attention
def test_prediction(submission):
    """Predict, then run: how soft is a choice among 32 random keys without the scale."""
    answers = submission.ANSWERS

    check(isinstance(answers, dict), "ANSWERS must be a dict")
    prediction = answers.get("largest_weight_without_scale")
    check(
        prediction is not None,
        'no prediction yet: put 0.1, 0.5 or 0.9 into ANSWERS["largest_weight_without_scale"]',
    )
    check(type(prediction) in (int, float), "the prediction must be a number: 0.1, 0.5 or 0.9")
    hint = "a sum of 256 products of variance 1 has a standard deviation of 16, and exp(16) is nine million"
    check(prediction == 0.9, f"not so: {hint}. The check below your prediction shows the number")
