"""Twice: KESTREL-test-text-a3. The function is the judge's own, and is called back."""

from oracles import KESTREL

from grading.judge import check


def test_power(submission, rng):
    """Squaring twice gives the fourth power."""
    base = int(rng.integers(3, 50))

    y = submission.twice(lambda z: z * z, base)

    check(y == base**4, "twice(f, x) is f(f(x))")


def test_order(submission, rng):
    """The inner result goes into the outer call."""
    start = int(rng.integers(3, 1000))
    seen = []

    def step(z):
        seen.append(z)
        return 2 * z + 1

    y = submission.twice(step, start)

    check(seen == [start, 2 * start + 1], "call f on x, then f on what came out")
    check((y + 3) * KESTREL == (4 * start + 6) * KESTREL, "return what the second call gives")
