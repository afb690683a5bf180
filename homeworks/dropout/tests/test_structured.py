"""Dropout of whole channels and of whole examples: what is dropped together, and what is not."""

from dataclasses import dataclass

import pytest
import torch
from oracles import (
    assert_close,
    assert_fresh,
    assert_one_factor,
    assert_pulled_back,
    assert_scaled,
    assert_share,
    assert_without_pattern,
    at_work,
    away_from_zero,
    like,
)

from grading.judge import check, gate, weight


@dataclass(frozen=True)
class Kind:
    """A function, shapes for it, how many leading dimensions count the pieces, and what a piece is."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    leading: int
    piece: str

    def of(self, submission):
        return getattr(submission, self.name)

    def lost(self, y):
        """For each piece, whether it is dropped."""
        return (y == 0).flatten(self.leading)[..., 0] if y.dim() > self.leading else y == 0


CHANNELS = Kind("dropout2d", ((100, 90, 2, 3),), 2, "channels")
EXAMPLES = Kind("drop_path", ((1500, 40), (4000, 2, 3), (4000, 2, 3, 2), (4000,)), 1, "examples")
both = pytest.mark.parametrize("kind", [CHANNELS, EXAMPLES], ids=lambda kind: kind.name)


@gate
@both
def test_shape_and_dtype(submission, generator, kind):
    """The result has the shape and dtype of x."""
    for dtype in (torch.float32, torch.float64):
        x = away_from_zero(generator, 7, 5, 3, 2, dtype=dtype)

        like(kind.of(submission)(x, 0.3, True), x, kind.name)


@weight(3)
@both
def test_pieces_are_dropped_whole(submission, generator, kind):
    """dropout2d drops a whole channel or nothing of it, drop_path a whole example or nothing of it."""
    for shape in kind.shapes:
        x = away_from_zero(generator, *shape)

        y = like(kind.of(submission)(x, 0.4, True), x, kind.name)

        at_work(y, x, kind.name)
        lost = (y == 0).flatten(kind.leading) if y.dim() > kind.leading else (y == 0)[..., None]
        check(
            torch.equal(lost.all(dim=-1), lost.any(dim=-1)),
            f"{kind.name} of shape {shape} dropped one of the {kind.piece} in part: one random number for each",
        )


@weight(2)
@both
def test_share_of_the_dropped(submission, generator, kind):
    """As many pieces are dropped as p says, each for itself."""
    p = 0.3
    for shape in kind.shapes:
        x = away_from_zero(generator, *shape)

        lost = kind.lost(like(kind.of(submission)(x, p, True), x, kind.name))

        assert_share(lost, p, kind.piece)


@weight(2)
def test_channels_of_each_example(submission, generator):
    """The same channel of two examples, and two channels of one example, are dropped independently."""
    p = 0.5
    x = away_from_zero(generator, 100, 90, 2, 3)

    lost = CHANNELS.lost(like(submission.dropout2d(x, p, True), x, "dropout2d"))

    hint = "draw N · C numbers, one for each channel of each example"
    assert_without_pattern(lost, p, ("example", "channel"), hint)


@weight(2)
@both
def test_survivors(submission, generator, kind):
    """What survives is divided by 1 - p."""
    for p in (0.2, 0.7):
        x = away_from_zero(generator, 31, 37, 3, 2)

        y = like(kind.of(submission)(x, p, True), x, kind.name)

        at_work(y, x, kind.name)
        assert_scaled(y, x, p, kind.name)
    x = away_from_zero(generator, 31, 37, 3, 2, dtype=torch.float32)
    assert_scaled(like(kind.of(submission)(x, 0.7, True), x, kind.name), x, 0.7, kind.name)


@weight(1)
@both
def test_fresh_masks(submission, generator, kind):
    """Two calls drop different pieces."""
    p = 0.5
    x = away_from_zero(generator, *kind.shapes[0])

    first, second = (like(kind.of(submission)(x, p, True), x, kind.name) for _ in range(2))

    at_work(first, x, kind.name)
    assert_fresh((~kind.lost(first)).double(), (~kind.lost(second)).double(), p, kind.name)


@weight(1)
@both
def test_eval_mode(submission, generator, kind):
    """With training=False x comes back as it is."""
    x = away_from_zero(generator, 31, 37, 3, 2)
    at_work(kind.of(submission)(x, 0.5, True), x, kind.name)

    for p in (0.5, 1):
        y = like(kind.of(submission)(x, p, False), x, kind.name)

        check(torch.equal(y, x), f"{kind.name} with training=False: no mask and no scale")


@weight(1)
@both
def test_edges(submission, generator, kind):
    """With p = 0 nothing is dropped, with p = 1 everything, and nothing becomes NaN."""
    x = away_from_zero(generator, 31, 37, 3, 2)
    at_work(kind.of(submission)(x, 0.5, True), x, kind.name)

    assert_close(kind.of(submission)(x, 0, True), x, rtol=1e-15, hint=f"{kind.name} with p = 0 drops nothing")
    hint = f"{kind.name} with p = 1 drops everything: the scale is infinite then, and 0 times infinity is NaN"
    assert_close(kind.of(submission)(x, 1, True), torch.zeros_like(x), hint=hint)


@weight(1)
@both
def test_gradient(submission, generator, kind):
    """The gradient goes through the same mask and scale, and x stays as it is."""
    x = away_from_zero(generator, 31, 37, 3, 2).requires_grad_()
    cotangent = torch.randn(x.shape, generator=generator, dtype=x.dtype)

    y = kind.of(submission)(x, 0.3, True)

    at_work(y, x, kind.name)
    assert_pulled_back(y, x, 0.3, cotangent, kind.name)
    check(
        not submission.changed(x), f"{kind.name} changed its argument in place: compute a new tensor instead"
    )


@weight(1)
@both
def test_generator(submission, generator, kind):
    """Two generators in the same state give the same result, and one moves on from call to call."""
    x = away_from_zero(generator, 200, 7, 3, 2)
    seed = int(torch.randint(1 << 40, (), generator=generator))
    one, other = (submission.generator(seed) for _ in range(2))

    first, second, next_one = (
        kind.of(submission)(x, 0.5, True, generator=each) for each in (one, other, one)
    )

    at_work(first, x, kind.name)
    assert_close(
        second, first, hint=f"{kind.name} must draw from the generator that is passed, and hand it on"
    )
    check(
        not torch.equal(next_one, first),
        f"{kind.name}: two calls with one generator gave the same mask. Draw from the generator itself, which moves "
        "on, and not from a copy or by a seed",
    )


@weight(1)
@both
def test_views(submission, generator, kind):
    """x need not be contiguous: its dimensions may have been permuted."""
    x = away_from_zero(generator, 2, 37, 3, 31).permute(3, 1, 2, 0)

    y = kind.of(submission)(x, 0.3, True)

    at_work(y, x, f"{kind.name} of a view")
    assert_one_factor(y.detach(), x, f"{kind.name} of a view")
