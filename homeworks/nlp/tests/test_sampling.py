"""Dice: temperature, which tokens stay in top-k and top-p, and draws that follow the probabilities."""

import math

import torch
from oracles import assert_right, normal

from grading.judge import assert_tensor, check, weight

SHAPE = (2, 3, 11)
DRAWS = 20_000


def ask(submission, name, logits, knob):
    result = getattr(submission, name)(logits, knob)

    check(not submission.changed(logits), f"{name} changed the logits in place: compute a new tensor instead")
    hint = f"{name} keeps the shape and dtype of the logits"
    return assert_tensor(result, shape=logits.shape, dtype=logits.dtype, finite=False, hint=hint)


def spread_logits(generator):
    """Logits (2, 3, 11) that differ by at least 0.05 from each other within a row, in random order."""
    steps = 0.05 + torch.rand(SHAPE, generator=generator, dtype=torch.float64)
    order = torch.rand(SHAPE, generator=generator).argsort(-1)
    return steps.cumsum(-1).gather(-1, order) - 2


def assert_kept(actual, logits, kept, hint):
    """-inf exactly outside of `kept`, and the logits as they were inside."""
    stays = actual > -math.inf
    check(not torch.isnan(actual).any(), f"there is a NaN. Hint: {hint}")
    check(not (stays & ~kept).any(), f"a token stays that should not. Hint: {hint}")
    check(not (kept & ~stays).any(), f"a token that should stay is gone. Hint: {hint}")
    check(
        torch.equal(actual[kept], logits[kept]),
        "the logits that stay must be as they were, each at its place",
    )


@weight(2)
def test_temperature(submission, generator):
    """tempered is the softmax of the logits divided by the temperature, over the last dimension."""
    logits = 2 * normal(generator, *SHAPE)

    for temperature in (0.3, 1.0, 2.5):
        hint = (
            f"softmax(logits / temperature, over the last dimension) is wrong for temperature {temperature}"
        )
        actual = ask(submission, "tempered", logits, temperature)
        assert_right(actual, torch.softmax(logits / temperature, -1), hint=hint)
    single = logits.float()
    actual = ask(submission, "tempered", single, 0.7)
    check(torch.allclose(actual, torch.softmax(single / 0.7, -1), rtol=1e-4, atol=1e-6), "wrong in float32")


@weight(1)
def test_temperature_of_zero(submission, generator):
    """At temperature 0 the largest logit has all the probability."""
    logits = spread_logits(generator)

    actual = ask(submission, "tempered", logits, 0)

    expected = (logits == logits.amax(-1, keepdim=True)).double()
    assert_right(
        actual, expected, hint="dividing by 0 gives NaN: at temperature 0, 1 for the largest logit, else 0"
    )
    single = ask(submission, "tempered", logits.float(), 0)
    check(torch.equal(single, expected.float()), "wrong in float32 at temperature 0")


@weight(1)
def test_temperature_of_extreme_logits(submission, generator):
    """Logits of -inf have probability 0, and logits as large as 1e4 do not overflow."""
    logits = 1e4 * torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    logits[..., 2] = -math.inf

    for temperature in (0.5, 2.0):
        hint = "exp overflows for large logits: use softmax, which subtracts the maximum"
        actual = ask(submission, "tempered", logits, temperature)
        assert_right(actual, torch.softmax(logits / temperature, -1), hint=hint)


@weight(2)
def test_top_k(submission, generator):
    """Of each row exactly the k largest logits stay, as they were; the others become -inf."""
    logits = spread_logits(generator)
    rank = logits.argsort(-1, descending=True).argsort(-1)

    for k in (1, 2, 5, 11):
        hint = f"top-k with k={k}: the k largest of each row stay, no more, no fewer"
        assert_kept(ask(submission, "keep_top_k", logits, k), logits, rank < k, hint)
    actual = ask(submission, "keep_top_k", logits, 20)
    assert_kept(actual, logits, rank < 20, "if k is larger than the number of tokens, all stay")
    single = logits.float()
    assert_kept(ask(submission, "keep_top_k", single, 3), single, rank < 3, "top-k is wrong in float32")


@weight(3)
def test_top_p(submission, generator):
    """The nucleus stays: the fewest of the most probable tokens whose probabilities sum to p or more."""
    logits = spread_logits(generator)[0, 0]
    ordered = logits.softmax(-1).sort(descending=True).values
    sums = ordered.cumsum(-1).tolist()
    rank = logits.argsort(descending=True).argsort()

    for size in (2, 3, 5, 8):
        p = (sums[size - 2] + sums[size - 1]) / 2
        hint = (
            "add up the probabilities (softmax of the logits) from the largest down; the token with which the sum "
            "reaches p is the last one that stays"
        )
        assert_kept(ask(submission, "keep_top_p", logits, p), logits, rank < size, hint)


@weight(1)
def test_top_p_extremes(submission, generator):
    """A small p keeps the most probable token of each row, p = 1 keeps all, and each row has its own nucleus."""
    logits = spread_logits(generator)
    rank = logits.argsort(-1, descending=True).argsort(-1)

    actual = ask(submission, "keep_top_p", logits, 0.01)
    assert_kept(actual, logits, rank == 0, "at least one token stays: the most probable one")
    actual = ask(submission, "keep_top_p", logits, 1.0)
    assert_kept(actual, logits, rank >= 0, "with p = 1 all tokens stay")
    ordered = logits.softmax(-1).sort(-1, descending=True).values
    before = (ordered.cumsum(-1) - ordered).gather(-1, rank)
    actual = ask(submission, "keep_top_p", logits, 0.7251)
    assert_kept(
        actual,
        logits,
        before < 0.7251,
        "sort, softmax and sum go along the last dimension, for each row alone",
    )


@weight(1)
def test_top_p_of_one(submission, generator):
    """With p = 1 all tokens stay, also where rounding makes the sum 1 before the last of them."""
    steps = 15 + 5 * torch.rand(4, 7, generator=generator)
    order = torch.rand(4, 7, generator=generator).argsort(-1)
    logits = -steps.cumsum(-1).gather(-1, order)

    for peaked in (logits, logits.double() * 4):
        best = peaked == peaked.amax(-1, keepdim=True)
        actual = ask(submission, "keep_top_p", peaked, 0.5)
        assert_kept(
            actual,
            peaked,
            best,
            "with p = 0.5 only the first one of these stays, whose probability is almost 1",
        )
        hint = "p = 1 keeps everything: the sum of rounded probabilities may reach 1 early, so treat p = 1 by itself"
        actual = ask(submission, "keep_top_p", peaked, 1.0)
        assert_kept(actual, peaked, torch.ones_like(peaked, dtype=torch.bool), hint)


def drawn(submission, probabilities, n=DRAWS):
    tokens = submission.draw(probabilities, n)

    check(not submission.changed(probabilities), "draw changed the probabilities in place")
    assert_tensor(tokens, shape=(n,), dtype=torch.int64, hint="draw returns n tokens as an int64 tensor")
    inside = (tokens >= 0).all() and (tokens < len(probabilities)).all()
    check(inside, "a token was drawn that does not exist: tokens go from 0 to V - 1")
    return tokens


def uneven(generator):
    """Probabilities of 26 tokens: 0 for the first, the last and a middle one, else some 1/150 to 1/15."""
    shares = 0.4 + 2 * torch.rand(26, generator=generator, dtype=torch.float64)
    shares[[0, 6, 25]] = 0
    return shares / shares.sum()


@weight(1)
def test_draws_stay_in_the_support(submission, generator):
    """A token of probability 0 is never drawn, one of probability 1 always."""
    for seed in range(3):
        tokens = drawn(submission, uneven(generator))
        outside = torch.isin(tokens, torch.tensor([0, 6, 25])).any()
        check(not outside, "a token of probability 0 was drawn (is it the first or the last one?)")
        check(len(set(tokens.tolist())) > 1, "all draws are the same token")
        sure = torch.zeros(5).index_fill(0, torch.tensor([seed + 1]), 1.0)
        check((drawn(submission, sure, 500) == seed + 1).all(), "a token of probability 1 was not drawn")


# Pearson's chi-square of the counts, made normal after Wilson and Hilferty; beyond 6 standard deviations on either side
# by chance once in 5e8 (with expected counts above 100 the approximation is good enough for that). Draws that are more
# regular than chance, as n times p of each, fall out on the other side, at -9.
@weight(2)
def test_draws_follow_the_probabilities(submission, generator):
    """Over many draws, each token comes as often as its probability says."""
    for dtype in (torch.float64, torch.float32):
        probabilities = uneven(generator).to(dtype)
        tokens = drawn(submission, probabilities)
        expected = DRAWS * probabilities.double()
        counts = torch.bincount(tokens, minlength=26)
        possible = expected > 0
        check((counts[~possible] == 0).all(), "a token of probability 0 was drawn")
        statistic = ((counts - expected).square() / expected)[possible].sum().item()
        spread = 2 / (9 * (possible.sum().item() - 1))
        z = ((statistic * spread / 2 * 9) ** (1 / 3) - 1 + spread) / spread**0.5
        check(z < 6, "the frequencies are not the probabilities: a token comes too often or too rarely")
        check(z > -6, "the frequencies are more regular than chance: each draw must be random by itself")


# Neighbours that are equal: a mean of sum(p²), about .05 here, with a standard deviation of .0016, so .015 is more than
# 8 of them. That two calls agree in all of 20,000 draws does not happen by chance.
@weight(1)
def test_draws_are_independent(submission, generator):
    """A draw says nothing about the next one, in the same call or in another."""
    probabilities = uneven(generator)

    first, second = drawn(submission, probabilities), drawn(submission, probabilities)

    check(not torch.equal(first, second), "two calls draw the same tokens: do not seed the generator in draw")
    alike = probabilities.square().sum()
    check(len(set(first.tolist())) > 1, "all draws are the same token")
    for pair in ((first[1:], first[:-1]), (first, second)):
        repeats = (pair[0] == pair[1]).double().mean()
        check(
            abs(repeats - alike) < 0.015,
            "equal tokens come together too often or too rarely: are the draws sorted?",
        )
