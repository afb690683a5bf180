"""Monte Carlo dropout: what is averaged, what is switched on, and how the model comes back.

The logits of every pass are chosen by the test, in answer to what the model saw in that pass.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import torch
from oracles import parts

from grading.judge import assert_close, assert_tensor, check, gate, weight

N, CLASSES = 5, 4
MODES = {
    "train": [True],
    "eval": [False],
    "mixed": [True, False, False, True, True],
    "frozen": [True, True, True, False],
}


@dataclass
class Watch:
    """Answers each pass of the model with logits, and writes down what was on."""

    generator: torch.Generator
    fails: bool = False
    hard: bool = False
    logits: list[torch.Tensor] = field(default_factory=list)
    seen: list[torch.Tensor] = field(default_factory=list)
    noise: list[list[torch.Tensor]] = field(default_factory=list)
    others: list[bool] = field(default_factory=list)

    def __call__(self, x: torch.Tensor, noise: list[torch.Tensor], others: bool) -> torch.Tensor:
        self.seen.append(x)
        self.noise.append(noise)
        self.others.append(others)
        if self.fails and len(self.seen) == 2:
            raise ZeroDivisionError("planted by the test")
        z = 2 * torch.randn(len(x), CLASSES, generator=self.generator, dtype=torch.float64)
        if self.hard:  # probabilities that are exactly 0, and one row that is sure
            z[:, 2] = -4000.0
            z[0, 1] = 9000.0
        self.logits.append(z)
        return z

    def probabilities(self) -> torch.Tensor:
        check(all(len(z) == N for z in self.logits), "a pass did not get the whole of x")
        return torch.stack(self.logits).softmax(dim=2)


@dataclass
class Predicted:
    watch: Watch
    x: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    entropy: torch.Tensor
    report: dict[str, Any]


def predict(submission, generator, T=7, dropout="Dropout", modes="train", hard=False) -> Predicted:
    """What mc_predict returns for a watched model: three tensors, after at least one pass."""
    watch = Watch(generator, hard=hard)
    x = torch.randn(N, 3, 2, generator=generator, dtype=torch.float64)
    report = submission.support.mc_predict(submission.mc_predict, dropout, watch, MODES[modes], x, T)
    answer = parts(report["answer"], ("mean", "std", "entropy"), "mc_predict")
    check(len(watch.seen) > 0, "mc_predict never called the model")
    for part, name, shape in zip(
        answer, ("mean", "std", "entropy"), ((N, CLASSES), (N, CLASSES), (N,)), strict=True
    ):
        assert_tensor(
            part,
            shape=shape,
            dtype=torch.float64,
            finite=False,
            hint=f"{name}, for {N} rows of x and {CLASSES} classes",
        )
    return Predicted(watch, x, *answer, report)


def check_noise(watch: Watch, what: str) -> None:
    """In every pass both dropout layers drew, and no two passes drew the same."""
    for layer in (0, 1):
        drawn = [noise[layer] for noise in watch.noise]
        check(
            all(bool((y != 1).any()) for y in drawn),
            f"{what} was off in one of the passes: switch it on, at any depth",
        )
        check(
            not any(torch.equal(a, b) for a, b in pairwise(drawn)),
            f"{what} drew the same mask in two passes",
        )


@gate
def test_what_it_returns(submission, generator):
    """mc_predict returns mean, std and entropy, of shapes (n, C), (n, C) and (n,), in the dtype of the logits."""
    predict(submission, generator)


@weight(3)
def test_mean(submission, generator):
    """The mean is that of the probabilities of all passes."""
    result = predict(submission, generator)

    hint = "softmax over the classes in each pass, then the mean over the passes (not the softmax of the mean logits)"
    assert_close(result.mean, result.watch.probabilities().mean(dim=0), hint=hint)


@weight(2)
def test_std(submission, generator):
    """The standard deviation of the probabilities over the passes, divided by T."""
    result = predict(submission, generator)

    passes = result.watch.probabilities()
    expected = (passes - passes.mean(dim=0)).square().mean(dim=0).sqrt()
    hint = "of the probabilities over the passes, divided by T (torch's default is T - 1), and the root of the variance"
    # E[p²] - E[p]² is right only to the root of the machine's precision, and right enough.
    assert_close(result.std, expected, rtol=1e-6, atol=1e-7, hint=hint)


@weight(1)
def test_single_pass(submission, generator):
    """With a single pass the standard deviation is 0."""
    result = predict(submission, generator, T=1)

    hint = "for T = 1: divided by T - 1, it is 0 / 0"
    assert_close(result.std, torch.zeros(N, CLASSES, dtype=torch.float64), atol=1e-7, hint=hint)
    assert_close(
        result.mean, result.watch.probabilities()[0], hint="for T = 1 the mean is that of the single pass"
    )


@weight(2)
def test_entropy(submission, generator):
    """The entropy of the mean probabilities, by natural logarithms."""
    result = predict(submission, generator)

    mean = result.watch.probabilities().mean(dim=0)
    hint = "-sum of p log p over the classes, of the *mean* probabilities (not the mean of the entropies), in nats"
    assert_close(result.entropy, -(mean * mean.log()).sum(dim=1), hint=hint)


@weight(1)
def test_entropy_of_certainty(submission, generator):
    """A class of probability 0 adds nothing to the entropy."""
    result = predict(submission, generator, hard=True)

    mean = result.watch.probabilities().mean(dim=0)
    hint = "0 · log 0 counts as 0, and is NaN for a computer: torch.xlogy or torch.special.entr know it"
    assert_tensor(result.entropy, finite=True, hint=hint)
    assert_close(result.entropy, -torch.xlogy(mean, mean).sum(dim=1), hint=hint)


@weight(1)
def test_number_of_passes(submission, generator):
    """The model is called exactly T times, with the whole x."""
    for T in (3, 11):
        result = predict(submission, generator, T=T)

        calls = len(result.watch.seen)
        check(calls == T, f"for T = {T} model(x) was called {calls} times")
        check(
            all(torch.equal(x, result.x) for x in result.watch.seen),
            "a pass did not get x as it is, the whole of it",
        )


@weight(2)
@pytest.mark.parametrize("modes", MODES)
def test_dropout_is_on(submission, generator, modes):
    """In every pass the dropout layers are at work, in whatever mode the model came."""
    result = predict(submission, generator, modes=modes)

    check_noise(result.watch, f"a dropout layer of a model handed over in modes '{modes}'")


@weight(1)
@pytest.mark.parametrize("dropout", ["Dropout2d", "AlphaDropout"])
def test_other_kinds_of_dropout(submission, generator, dropout):
    """The other dropout layers of torch.nn count as well."""
    result = predict(submission, generator, dropout=dropout, modes="eval")

    check_noise(result.watch, f"nn.{dropout}")


@weight(1)
def test_own_dropout(submission, generator):
    """Your own Dropout of section 3 counts as well."""
    result = predict(submission, generator, dropout=submission.Dropout, modes="eval")

    check_noise(result.watch, "your own Dropout")


@weight(3)
@pytest.mark.parametrize("modes", ["train", "mixed"])
def test_the_rest_is_in_eval_mode(submission, generator, modes):
    """All but the dropout layers is in eval mode during the passes, and batch norm's statistics stay as they are."""
    result = predict(submission, generator, modes=modes)

    check(
        not any(result.watch.others),
        "batch norm, or another module that is no dropout, was in train mode in a pass: model.eval() first, then "
        "the dropout layers alone into train mode",
    )
    check(result.report["statistics_kept"] is True, "the running statistics of a batch norm have changed")


@weight(2)
@pytest.mark.parametrize("modes", MODES)
def test_modes_are_restored(submission, generator, modes):
    """Afterwards every module is in the mode in which it came."""
    result = predict(submission, generator, modes=modes)

    check_noise(result.watch, "a dropout layer")
    check(
        result.report["modes_kept"] is True,
        f"a model that came in modes '{modes}' is not what it was: write down the mode of each module before, as "
        "they need not all be the same, and put it back after",
    )


@weight(2)
def test_modes_are_restored_after_an_exception(submission, generator):
    """If a pass raises an exception, the modes are put back all the same."""
    watch = Watch(generator, fails=True)
    x = torch.randn(N, 3, 2, generator=generator, dtype=torch.float64)

    report = submission.support.mc_predict(submission.mc_predict, "Dropout", watch, MODES["mixed"], x, 5)

    check(len(watch.seen) == 2, "a pass raised an exception, which should end mc_predict")
    check_noise(watch, "a dropout layer")
    check(report["answer"] is None, "an exception in a pass must go on to the caller")
    check(
        report["modes_kept"] is True, "after an exception in a pass the modes were not put back: try, finally"
    )


@weight(1)
def test_without_gradients(submission, generator):
    """The result carries no gradient."""
    result = predict(submission, generator)

    tracked = any(part.requires_grad for part in (result.mean, result.std, result.entropy))
    check(
        not tracked, "the result has a graph behind it, which keeps all T passes in memory: torch.no_grad()"
    )
    assert_close(
        result.mean.sum(dim=1), torch.ones(N, dtype=torch.float64), hint="the mean probabilities sum to 1"
    )
