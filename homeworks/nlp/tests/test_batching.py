"""Padding: what is real, and that nothing else has an effect on means, losses and gradients."""

import math

import torch
import torch.nn.functional as F
from oracles import assert_right, left_alone, normal

from grading.judge import assert_tensor, check, weight


def sequences(rng, low=1, high=90):
    """Seven sequences of different lengths, one of them empty."""
    lengths = rng.permutation([0, 1, 2, 4, 5, 7, 9])
    return [[int(token) for token in rng.integers(low, high, size=length)] for length in lengths]


def padded(submission, batch, *pad):
    result = submission.pad_batch(batch, *pad)

    check(isinstance(result, tuple | list) and len(result) == 2, "pad_batch returns two tensors: (ids, mask)")
    shape = (len(batch), max(map(len, batch)))
    hint = "(number of sequences, length of the longest)"
    ids = assert_tensor(result[0], shape=shape, dtype=torch.int64, hint=f"ids: {hint}")
    return ids, assert_tensor(result[1], shape=shape, dtype=torch.bool, hint=f"mask: {hint}")


def lengths_mask(lengths, longest):
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


@weight(2)
def test_sequences_stand_at_the_left(submission, rng):
    """Each sequence stands at the left of its row, and the pad value to its right; 0 if none is given."""
    batch = sequences(rng)

    for pad in ((), (0,), (91,), (-1,)):
        ids, _ = padded(submission, batch, *pad)
        for row, sequence in zip(ids.tolist(), batch, strict=True):
            check(row[: len(sequence)] == sequence, "a sequence is not at the left of its row, in its order")
            fill = pad[0] if pad else 0
            check(
                set(row[len(sequence) :]) <= {fill}, "the rest of a row is not the pad value that was given"
            )


@weight(2)
def test_mask_knows_what_is_real(submission, rng):
    """The mask is True exactly where a sequence has an entry, even where that entry is the pad value itself."""
    batch = sequences(rng, 0, 3)

    for pad in (0, 1):
        _, mask = padded(submission, batch, pad)
        expected = lengths_mask([len(sequence) for sequence in batch], 9)
        check(torch.equal(mask, expected), "the mask goes by the length of each sequence, not by ids != pad")


@weight(1)
def test_lists_are_left_alone(submission, rng):
    """pad_batch leaves the lists that it is given as they were, and pads in new ones."""
    batch = sequences(rng)
    ids, _ = padded(submission, batch)

    again, _ = left_alone(submission, "pad_batch", batch)

    check(torch.equal(again, ids), "pad_batch gives something else for the same sequences")


def batch(generator, rubbish=None):
    """x (4, 6, 5), targets (4, 6), mask, and the lengths, one of which is 0."""
    lengths = [6, 2, 0, 3]
    mask = lengths_mask(lengths, 6)
    x, targets = normal(generator, 4, 6, 5), torch.randint(5, (4, 6), generator=generator)
    if rubbish is not None:
        x = torch.where(mask[..., None], x, rubbish)
    return x, targets, mask, lengths


def mean(submission, x, mask):
    result = submission.masked_mean(x, mask)

    check(not submission.changed(x), "masked_mean changed x in place: compute a new tensor instead")
    hint = "masked_mean of (B, T, D) is (B, D), in the dtype of x"
    return assert_tensor(result, shape=(x.shape[0], x.shape[2]), dtype=x.dtype, finite=False, hint=hint)


def loss(submission, logits, targets, mask):
    result = submission.masked_ce(logits, targets, mask)

    for given in (logits, targets):
        check(
            not submission.changed(given),
            "masked_ce changed an argument in place: compute a new tensor instead",
        )
    return assert_tensor(
        result,
        shape=(),
        dtype=logits.dtype,
        finite=False,
        hint="masked_ce is a scalar, in the dtype of the logits",
    )


@weight(2)
def test_masked_mean(submission, generator):
    """masked_mean is the mean of each sequence over its real positions."""
    x, _, mask, lengths = batch(generator)

    for rows in ([0, 1, 3], [3], [1, 0]):
        expected = torch.stack([x[row, : lengths[row]].mean(0) for row in rows])
        hint = "sum over the real positions, divided by their number in this sequence (not by T)"
        assert_right(mean(submission, x[rows], mask[rows]), expected, hint=hint)
    single = mean(submission, x[:2].float(), mask[:2])
    expected = torch.stack([x[row, : lengths[row]].float().mean(0) for row in (0, 1)])
    check(torch.allclose(single, expected, rtol=1e-4, atol=1e-5), "masked_mean is wrong in float32")


@weight(1)
def test_masked_mean_of_nothing(submission, generator):
    """A sequence without a real position has the mean 0, whether others have one or not."""
    x, _, mask, _ = batch(generator)

    result = mean(submission, x, mask)

    check(
        torch.equal(result[2], torch.zeros_like(result[2])),
        "0 / 0 is NaN: a sequence of padding only has the mean 0",
    )
    assert_right(
        result[0], x[0].mean(0), hint="the sequences beside an empty one must be as they would be alone"
    )
    nothing = mean(submission, x, torch.zeros_like(mask))
    check(
        torch.equal(nothing, torch.zeros_like(nothing)),
        "where all sequences are padding only, all means are 0",
    )


@weight(1)
def test_masked_mean_of_one(submission, generator):
    """The mean of a sequence with one real position is what stands there."""
    x = normal(generator, 4, 6, 5)

    result = mean(submission, x, lengths_mask([1, 1, 1, 1], 6))

    hint = "divide by the number of real positions of the sequence, also where that is 1"
    assert_right(result, x[:, 0], hint=hint)


@weight(1)
def test_masked_mean_ignores_padding(submission, generator):
    """Whatever stands in the padding, even NaN, masked_mean and its gradient are the same."""
    clean, _, mask, lengths = batch(generator)
    cotangent = normal(generator, 4, 5)

    for rubbish in (1e6, math.inf, math.nan):
        x = batch_with(clean, mask, rubbish)
        result = mean(submission, x, mask)
        hint = (
            "NaN * 0 is NaN: replace the padding (torch.where, masked_fill) rather than multiply by the mask"
        )
        check(not torch.isnan(result).any(), f"a value from the padding has got into the mean. {hint}")
        expected = torch.stack(
            [clean[row, :length].sum(0) / max(length, 1) for row, length in enumerate(lengths)]
        )
        assert_right(result.detach(), expected, hint=f"{rubbish} in the padding changes the mean")
        gradient = pulled_back(result, x, cotangent, "masked_mean")
        check((gradient[~mask] == 0).all(), "the gradient with respect to the padding is not 0")
        shares = cotangent / torch.tensor(lengths).clamp(min=1)[:, None]
        assert_right(gradient[mask], shares[:, None].expand_as(gradient)[mask], hint="the gradient is wrong")


@weight(2)
def test_masked_ce(submission, generator):
    """masked_ce is the mean of -log softmax of the target over all real positions of the batch."""
    logits, targets, mask, _ = batch(generator)

    hint = "every real position weighs the same: one mean over all of them, not a mean of means nor a sum"
    assert_right(
        loss(submission, logits, targets, mask), F.cross_entropy(logits[mask], targets[mask]), hint=hint
    )
    full = torch.ones_like(mask)
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert_right(
        loss(submission, logits, targets, full), expected, hint="it is wrong where nothing is padding"
    )
    single = loss(submission, logits.float(), targets, full)
    check(torch.allclose(single, expected.float(), rtol=1e-4, atol=1e-5), "masked_ce is wrong in float32")


@weight(1)
def test_masked_ce_of_large_logits(submission, generator):
    """masked_ce is finite and right for logits as large as 1e4."""
    logits, targets, mask, _ = batch(generator)
    logits = 1e4 * logits

    hint = "exp overflows and log(0) is -inf: use log_softmax or logsumexp"
    assert_right(
        loss(submission, logits, targets, mask), F.cross_entropy(logits[mask], targets[mask]), hint=hint
    )


@weight(2)
def test_masked_ce_ignores_padding(submission, generator):
    """Whatever stands in the padding, NaN logits or targets that are no class, loss and gradient are the same."""
    clean, targets, mask, _ = batch(generator)
    leaf = clean.clone().requires_grad_()
    expected = F.cross_entropy(leaf[mask], targets[mask])
    (slope,) = torch.autograd.grad(expected, leaf)

    for rubbish, target in ((1e6, -100), (math.nan, 5), (math.inf, 10**6)):
        logits = batch_with(clean, mask, rubbish)
        result = loss(submission, logits, torch.where(mask, targets, target), mask)
        hint = (
            "select the real positions first (logits[mask], targets[mask]), or replace what is in the padding"
        )
        assert_right(
            result.detach(), expected.detach(), hint=f"{rubbish} in the padding changes the loss: {hint}"
        )
        gradient = pulled_back(result, logits, torch.tensor(1.0, dtype=torch.float64), "masked_ce")
        assert_right(gradient, slope, hint=f"{rubbish} in the padding changes the gradient: {hint}")


def batch_with(clean, mask, rubbish):
    return torch.where(mask[..., None], clean, rubbish).requires_grad_()


def pulled_back(result, x, cotangent, name):
    check(result.requires_grad, f"{name} has no gradient: detach, .item(), .data and NumPy cut it off")
    (gradient,) = torch.autograd.grad(result, x, cotangent, allow_unused=True)
    check(gradient is not None, f"{name} has no gradient with respect to its input")
    check(torch.isfinite(gradient).all(), "a NaN or an infinity from the padding has got into the gradient")
    return gradient
