"""Boss: a network that reads and writes dates, trained and examined by the judge on dates and ids of its own.

It is trained in one test and examined in others, so in other processes of the student's: what it learnt can only be in
the parameters. The ids are dealt out anew, so that a date parser would not know what to write.
"""

import datetime
import math
import random

import torch

from grading.judge import assert_tensor, check, gate, weight

PAD, BEGIN, E, H = 0, 11, 24, 48
STEPS, BATCH, RATE = 100, 64, 8e-3
EXAMINED = 500
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
# The weights are half points: they sum to 30.
KNOWN = {}  # "trained": parameters and ids, "examined": the result; in this submission's own process of the judge


@gate
def test_it_can_be_trained(submission, rng, generator):
    """date_loss returns a finite scalar with a gradient, in each of 100 steps of Adam."""
    trained(submission, rng, generator)


# Exact match over 500 new dates: reference .987 mean, .011 std, .954 min over 24 draws of ids, parameters and dates.
# Without attention: with the mean of the memory as context .014 to .034, with its last place .010 to .022 (10 draws).


@weight(8)
def test_seventy_percent(submission, rng, generator):
    """Of new dates, at least 70% are right in all ten characters."""
    assert_exact(0.70, submission, rng, generator)


@weight(6)
def test_eighty_percent(submission, rng, generator):
    """Of new dates, at least 80% are right in all ten characters."""
    assert_exact(0.80, submission, rng, generator)


@weight(6)
def test_eighty_eight_percent(submission, rng, generator):
    """Of new dates, at least 88% are right in all ten characters."""
    assert_exact(0.88, submission, rng, generator)


# Of the attention of the year's four digits, on the year: reference .995 mean, .003 std, .991 min over 12 draws;
# untrained or averaging .34 to .36, always at the last place 0 (but .85 if all dates are taken together).
@weight(4)
def test_year_looks_at_the_year(submission, rng, generator):
    """While it writes the year, at least 60% of the attention is on the year, be it in front or at the end."""
    _, on_year = examined(submission, rng, generator)

    hint = "the weights that translate returns are those of attention when it writes each character, in order"
    check(on_year >= 0.60, f"{on_year:.0%} of the attention is on the year, less than 60%. Hint: {hint}")


@weight(1)
def test_loss_of_known_logits(submission, rng, generator):
    """date_loss is the mean of -log softmax(logits)[target] over all characters of all targets."""
    dice = random.Random(int(rng.integers(1 << 60)))
    source_ids, target_ids = alphabets(dice)
    params = parameters(generator, len(source_ids) + 1)
    params |= {"out": torch.zeros(11, 3 * H), "bias": torch.randn(11, generator=generator)}
    source, target, _ = batch(dice, 7, source_ids, target_ids)

    loss = loss_of(submission, with_gradient(params), source, target)

    expected = -params["bias"].log_softmax(0)[target].mean()
    hint = "with `out` = 0 the logits are the bias: is the loss a mean (not a sum) over all ten places?"
    check(
        math.isclose(loss.item(), expected.item(), rel_tol=1e-4),
        f"the loss of known logits is wrong. Hint: {hint}",
    )


@weight(1)
def test_every_parameter_takes_part(submission, rng, generator):
    """Every parameter of the network has an effect on the loss: readers, start, query, key, writer and output."""
    dice = random.Random(int(rng.integers(1 << 60)))
    source_ids, target_ids = alphabets(dice)
    params = with_gradient(parameters(generator, len(source_ids) + 1))
    source, target, _ = batch(dice, 7, source_ids, target_ids)

    loss = loss_of(submission, params, source, target)

    gradients = torch.autograd.grad(loss, leaves(params), allow_unused=True)
    names = [name for name, value in params.items() for _ in leaves({name: value})]
    for name, gradient in zip(names, gradients, strict=True):
        used = gradient is not None and gradient.any()
        check(used, f'params["{name}"], or a part of it, was left out: go through the formulas once more')


@weight(2)
def test_writer_is_fed_the_character_before(submission, rng, generator):
    """In training the writer is fed BEGIN and then the true characters, each one step after its own: never the last."""
    dice = random.Random(int(rng.integers(1 << 60)))
    source_ids, target_ids = alphabets(dice)
    params = with_gradient(parameters(generator, len(source_ids) + 1))
    source, target, _ = batch(dice, 7, source_ids, target_ids)
    last, inner = 3, [0, 5, 8]
    target = torch.tensor(inner)[target % 3]
    target[:, -1] = last

    loss = loss_of(submission, params, source, target)

    (gradient,) = torch.autograd.grad(loss, params["target"], allow_unused=True)
    check(gradient is not None, 'params["target"] was not used: the writer must be fed the character before')
    fed = gradient.abs().sum(-1) > 0
    others = [token for token in range(BEGIN) if token not in (*inner, last)]
    forced = fed[inner].all() and not fed[others].any()
    check(
        forced,
        "in training the *true* character before is fed in (teacher forcing), whatever the network says",
    )
    check(
        not fed[last], "the last character of the target was fed in: shift by one place, or it learns to copy"
    )
    check(fed[BEGIN], "the row BEGIN was not fed in: it goes in front of the shifted target")


@weight(2)
def test_padding_changes_nothing(submission, rng, generator):
    """More padding at the right of the sources changes neither the loss nor the attention, and gets none of it."""
    dice = random.Random(int(rng.integers(1 << 60)))
    source_ids, target_ids = alphabets(dice)
    params = parameters(generator, len(source_ids) + 1)
    source, target, _ = batch(dice, 9, source_ids, target_ids)
    wider = torch.cat([source, torch.full((9, 4), PAD)], 1)

    losses = [loss_of(submission, with_gradient(params), given, target).item() for given in (source, wider)]
    (_, weights), (_, padded) = (written(submission, params, given) for given in (source, wider))

    hint = "padding must not change a reader's state (take the old one there), nor get attention (mask source != 0)"
    check(math.isclose(*losses, rel_tol=1e-4), f"the loss is another one with more padding. Hint: {hint}")
    real = (wider != PAD)[:, None].expand_as(padded)
    check((padded[~real].abs() < 1e-6).all(), f"padding gets attention. Hint: {hint}")
    check(
        torch.allclose(weights[:, 0], padded[:, 0, : source.shape[1]], rtol=1e-3, atol=1e-4),
        f"translate looks elsewhere with more padding. Hint: {hint}",
    )


def assert_exact(share, submission, rng, generator):
    right, _ = examined(submission, rng, generator)

    hint = (
        "is the writer fed its own last character in translate (in date_loss the true one), does it attend with the "
        "query of this step, and do both functions compute the same network?"
    )
    check(right >= share, f"{right:.1%} of the dates are right, less than {share:.0%}. Hint: {hint}")


def trained(submission, rng, generator):
    """Parameters after 100 steps of Adam (by hand: the first optimiser of a process costs 1.6 s), and the ids."""
    if "trained" in KNOWN:
        return KNOWN["trained"]
    dice = random.Random(int(rng.integers(1 << 60)))
    source_ids, target_ids = alphabets(dice)
    params = with_gradient(parameters(generator, len(source_ids) + 1))
    weights = leaves(params)
    means, squares = ([torch.zeros_like(p) for p in weights] for _ in range(2))
    for step in range(1, STEPS + 1):
        source, target, _ = batch(dice, BATCH, source_ids, target_ids)
        gradients = gradients_of(submission, params, source, target)
        check(any(g is not None for g in gradients), "the loss does not depend on the parameters")
        with torch.no_grad():
            for p, g, mean, square in zip(weights, gradients, means, squares, strict=True):
                if g is None:
                    continue
                assert_tensor(
                    g, shape=p.shape, dtype=p.dtype, hint="a gradient of date_loss is not what it should be"
                )
                mean.lerp_(g, 0.1)
                square.lerp_(g * g, 0.001)
                p -= RATE * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
    KNOWN["trained"] = without_gradient(params), source_ids, target_ids
    return KNOWN["trained"]


def examined(submission, rng, generator):
    """The share of new dates that are right, and of the year's attention on the year: where it stands in front, or at
    the end, whichever is less (most dates end with the year, and looking at the end is no art)."""
    if "examined" in KNOWN:
        return KNOWN["examined"]
    params, source_ids, target_ids = trained(submission, rng, generator)
    source, target, years = batch(random.Random(int(rng.integers(1 << 60))), EXAMINED, source_ids, target_ids)

    ids, weights = written(submission, params, source)

    on_year = weights[:, :4].gather(2, years[:, None].expand(-1, 4, -1)).sum(-1)
    places = [on_year[front].mean().item() for front in (years[:, 0] == 0, years[:, 0] > 0)]
    KNOWN["examined"] = (ids == target).all(1).double().mean().item(), min(places)
    return KNOWN["examined"]


def loss_of(submission, params, source, target):
    loss = submission.date_loss(params, source, target)

    check(not submission.changed(target), "date_loss changed the target in place")
    check(not submission.changed(source), "date_loss changed the source in place")
    assert_tensor(loss, shape=(), hint="date_loss returns a finite scalar: the mean over all characters")
    check(loss.requires_grad, "the loss has no gradient: detach, .item(), .data and NumPy cut it off")
    return loss


def gradients_of(submission, params, source, target):
    """The gradients of date_loss, taken in the student's process: 100 graphs would fill its memory."""
    loss, gradients = submission.support.loss_and_gradients(submission.date_loss, params, source, target)

    assert_tensor(loss, shape=(), hint="date_loss returns a finite scalar: the mean over all characters")
    check(gradients, "the loss has no gradient: detach, .item(), .data and NumPy cut it off")
    return gradients


def written(submission, params, source):
    """(ids, weights) of translate, of the right shapes; the weights of each character sum to one."""
    with torch.no_grad():
        result = submission.translate(params, source)

    check(not submission.changed(source), "translate changed the source in place")
    check(
        isinstance(result, tuple | list) and len(result) == 2, "translate returns two tensors: (ids, weights)"
    )
    ids, weights = result
    assert_tensor(ids, shape=(len(source), 10), dtype=torch.int64, hint="ids: (B, 10), int64")
    shape = (len(source), 10, source.shape[1])
    assert_tensor(weights, shape=shape, hint="weights: (B, 10, L), the attention for each character written")
    check(((ids >= 0) & (ids < 11)).all(), "an id that is no character: they go from 0 to 10")
    whole = (weights >= 0).all() and torch.allclose(weights.sum(-1), torch.ones(shape[:2]), atol=1e-3)
    check(whole, "the attention weights for each character must be 0 or more, and sum to one over the source")
    return ids, weights


# The network's parameters


def parameters(generator, source_ids):
    def uniform(*shape, fan):
        return (2 * torch.rand(*shape, generator=generator) - 1) / math.sqrt(fan)

    def gru():
        return [uniform(*shape, fan=H) for shape in ((3 * H, E), (3 * H, H), (3 * H,), (3 * H,))]

    return {
        "source": torch.randn(source_ids, E, generator=generator),
        "target": torch.randn(12, E, generator=generator),
        "forward": gru(),
        "backward": gru(),
        "writer": gru(),
        "start": uniform(H, 2 * H, fan=2 * H),
        "query": uniform(H, H, fan=H),
        "key": uniform(H, 2 * H, fan=2 * H),
        "out": uniform(11, 3 * H, fan=3 * H),
        "bias": torch.zeros(11),
    }


def leaves(params):
    return [tensor for value in params.values() for tensor in (value if isinstance(value, list) else [value])]


def with_gradient(params):
    return changed(params, lambda tensor: tensor.clone().requires_grad_())


def without_gradient(params):
    return changed(params, torch.Tensor.detach)


def changed(params, f):
    return {name: [*map(f, value)] if isinstance(value, list) else f(value) for name, value in params.items()}


# Dates


def spellings(date):
    day, month, year, name = date.day, date.month, date.year, MONTHS[date.month - 1]
    return [
        f"{day:02}.{month:02}.{year}",
        f"{month:02}/{day:02}/{year}",
        f"{day} {name} {year}",
        f"{name} {day}, {year}",
        f"{day}-{name[:3]}-{year}",
        f"{name[:3]} {day} {year}",
        f"{year}, {day} {name[:3]}",
    ]


def alphabets(dice):
    """Ids of the characters in sources (from 1) and targets (from 0), dealt out at random."""
    source, target = sorted({*"".join(MONTHS), *"0123456789 .,/-"}), list("0123456789-")
    dice.shuffle(source)
    dice.shuffle(target)
    return {c: i for i, c in enumerate(source, 1)}, {c: i for i, c in enumerate(target)}


def batch(dice, n, source_ids, target_ids):
    """Sources (n, L), targets (n, 10), and where in the source the four digits of the year are (n, 4)."""
    dates = [datetime.date(1900, 1, 1) + datetime.timedelta(dice.randrange(73_049)) for _ in range(n)]
    texts = [dice.choice(spellings(date)) for date in dates]
    longest = max(map(len, texts))
    source = [[source_ids[c] for c in text] + [PAD] * (longest - len(text)) for text in texts]
    target = [[target_ids[c] for c in date.isoformat()] for date in dates]
    starts = torch.tensor([text.index(str(date.year)) for text, date in zip(texts, dates, strict=True)])
    return torch.tensor(source), torch.tensor(target), starts[:, None] + torch.arange(4)
