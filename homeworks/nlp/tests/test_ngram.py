"""Models that count: the smoothed probabilities of n-grams, and the bits that they need for real text."""

import math

import pytest
from oracles import Grams, kind, number, words

from grading.judge import check, weight

TRAINING, TEST = 60_000, 15_000  # characters of Python's documentation
UNKNOWN = "ж"


def model(submission, text, n, k):
    """What ngram_lm returns, which must be a function, as one that returns numbers."""
    lm = submission.ngram_lm(text, n, k)
    check(callable(lm), f"ngram_lm returns a function lm(context, char), not {kind(lm)}")
    return lambda context, char: number(lm(context, char), "what lm(context, char) returns")


def assert_probability(lm, grams, context, char, hint):
    """lm agrees with the judge's model; `context` may be of any length."""
    full = "\n" * (grams.n - 1) + context
    expected = grams.probability(full[len(full) - grams.n + 1 :], char)
    check(math.isclose(lm(context, char), expected, rel_tol=1e-9), hint)


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-9)


@weight(3)
def test_counts(submission, rng):
    """p(char | context) is (count of context and char + k) / (count of context + k * V)."""
    text = words(rng, "abcd", 80)
    for n, k in ((2, 0.7), (3, 0.25), (4, 1.5)):
        lm, grams = model(submission, text, n, k), Grams(text, n, k)
        hint = (
            f"wrong for n={n}, k={k}: windows have n characters, contexts n - 1; V is all characters plus one"
        )
        for start in rng.integers(10, 200, size=4):
            context = text[start : start + n - 1]
            assert_probability(lm, grams, context, text[start + n - 1], hint)
            assert_probability(lm, grams, context, str(rng.choice(list("abcd "))), hint)


@weight(2)
def test_sums_to_one(submission, rng):
    """For every context, the probabilities of the characters of the text and of one unknown one sum to one."""
    text = words(rng, "abcd", 40) + "q"
    for n in (1, 2, 3):
        lm = model(submission, text, n, 0.3)
        contexts = ("bc"[: n - 1], "zz"[: n - 1], text[len(text) - n + 1 :], "ab")
        for context in contexts:
            total = math.fsum(lm(context, char) for char in {*text, UNKNOWN})
            hint = (
                "V is all different characters plus one, and a context counts only where a character follows it (so "
                "not at the very end of the text)"
            )
            check(close(total, 1), f"the probabilities do not sum to one for n={n}: {hint}")


@weight(1)
def test_unknown_character(submission, rng):
    """A character that the text does not hold has the probability k / (count of context + k * V), above 0."""
    text, k = words(rng, "abcd", 40), 0.4
    for n in (2, 3):
        lm, grams = model(submission, text, n, k), Grams(text, n, k)
        hint = "an unknown character has been counted 0 times, in whichever context; k is its share"
        for context in ("ab", "zz", UNKNOWN * 2):
            assert_probability(lm, grams, context, UNKNOWN, hint)


@weight(1)
def test_unseen_context(submission, rng):
    """After a context that the text does not hold, all characters are equally likely: 1 / V."""
    text = words(rng, "abcd", 40)
    lm, grams = model(submission, text, 3, 0.2), Grams(text, 3, 0.2)

    for context in ("zz", "az", UNKNOWN + "a"):
        hint = "for an unseen context the counts are 0, and k / (k * V) remains: V is all characters plus one"
        assert_probability(lm, grams, context, str(rng.choice(list("abcd "))), hint)


@weight(2)
def test_beginning_of_the_text(submission, rng):
    """Text begins after n - 1 newlines: a short context is filled up, and the text's own first windows count."""
    text = words(rng, "abcd", 30)
    hint = "read the text as if n - 1 newlines stood in front, and fill up short contexts in the same way"
    for n in (2, 4):
        lm, grams = model(submission, text, n, 0.6), Grams(text, n, 0.6)
        for length in range(n - 1):
            assert_probability(lm, grams, text[:length], text[length], hint)
            check(close(lm(text[:length], "b"), lm("\n" * (n - 1) + text[:length], "b")), hint)


@weight(1)
def test_newlines_in_front_are_no_characters(submission, rng):
    """The newlines in front are context only: they are neither counted as characters nor part of the alphabet."""
    text = words(rng, "abcd", 30)
    for n in (2, 3):
        lm, grams = model(submission, text, n, 0.5), Grams(text, n, 0.5)
        hint = "the newlines in front of the text must not be counted as characters, nor make V larger"
        for context in ("ab", "\n\n", ""):
            assert_probability(lm, grams, context, "\n", hint)
            assert_probability(lm, grams, context, "a", hint)


@weight(1)
def test_long_context(submission, rng):
    """Only the last n - 1 characters of the context matter."""
    text = words(rng, "abcd", 60)
    for n in (2, 3):
        lm, grams = model(submission, text, n, 0.5), Grams(text, n, 0.5)
        for start in rng.integers(0, 100, size=3):
            char = text[start + 12]
            assert_probability(
                lm,
                grams,
                text[start : start + 12],
                char,
                "a longer context must be cut to its last n - 1 characters",
            )


@weight(1)
def test_single_characters(submission, rng):
    """With n = 1 there is no context: p is the share of each character."""
    text = words(rng, "abcd", 40)
    lm, grams = model(submission, text, 1, 0.5), Grams(text, 1, 0.5)

    hint = "for n=1 the context is empty. (Mind that text[-0:] is the whole text, not the empty one.)"
    for context in ("", "a", "zb"):
        for char in "ab ":
            assert_probability(lm, grams, context, char, hint)


@weight(2)
def test_bits_of_a_given_model(submission, rng):
    """bits_per_char is the mean of -log2 lm(context, char), where the context is what stands before in the text."""
    text, n = words(rng, "abcd", 12), 3
    table = {}
    asked = []

    def lm(context, char):
        asked.append((context[len(context) - 2 :] if len(context) > 2 else context, char))
        return table.setdefault(asked[-1], float(rng.uniform(0.05, 0.95)))

    bits = number(submission.bits_per_char(lm, text, n), "bits_per_char")

    wanted = [(text[max(0, i - 2) : i], char) for i, char in enumerate(text)]
    check({char for _, char in asked} >= set(text), "lm was not asked for every character of the text")
    filled = [(context.lstrip("\n"), char) for context, char in asked]
    check(
        sorted(set(filled)) == sorted(set(wanted)),
        "lm was asked with a wrong context: that of a character is the n - 1 characters before it",
    )
    given = {(context.lstrip("\n"), char): p for (context, char), p in table.items()}
    expected = -math.fsum(math.log2(given[pair]) for pair in wanted) / len(text)
    check(not close(bits, expected * len(text)), "divide by the number of characters: the mean, not the sum")
    check(not close(bits, expected * math.log(2)), "bits are logarithms to the base 2: math.log2")
    check(close(bits, expected), "it is not the mean of -log2 p over the characters of the text")


@weight(1)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_bits_on_documentation(submission, rng, n):
    """On Python's own documentation, bits_per_char of ngram_lm is what counting gives, to nine digits."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[topic] for topic in sorted(topics))
    start = int(rng.integers(0, len(text) - TRAINING - TEST))
    train, test = text[start : start + TRAINING], text[start + TRAINING : start + TRAINING + TEST]
    k = float(rng.uniform(0.05, 0.5))

    lm = submission.ngram_lm(train, n, k)
    check(callable(lm), f"ngram_lm returns a function lm(context, char), not {kind(lm)}")
    bits = number(submission.bits_per_char(lm, test, n), "bits_per_char")

    hint = "do the first characters have the newlines as context, and have unknown characters a probability?"
    check(close(bits, Grams(train, n, k).bits(test)), f"the bits per character are wrong for n={n}: {hint}")
