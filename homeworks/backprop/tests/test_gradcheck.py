"""gradcheck: right gradients are accepted, wrong ones rejected, of functions that live in the judge; the prediction.

Every test asks about a right function and about a wrong one that differs only in its claimed gradient, so no constant
answer earns a point. Wrong ones are off by 2% of the largest entry at least, right ones by less than 1e-8 of it.
"""

import numpy as np

from grading.judge import check, weight


def ask(submission, f, inputs):
    answer = submission.gradcheck(f, inputs)

    if isinstance(answer, np.ndarray) and answer.dtype == bool and answer.shape == ():
        answer = bool(answer)
    words = "None" if answer is None else f"a {type(answer).__name__}"
    check(isinstance(answer, bool), f"gradcheck must return True or False, not {words}")
    return answer


def assert_told_apart(submission, value, right, wrong, inputs, accept, reject):
    """value(*inputs) is a number; right and wrong give a gradient for each input."""
    check(
        ask(submission, lambda *x: (value(*x), right(*x)), inputs),
        f"it rejected a function whose gradient is right. {accept}",
    )
    check(
        not ask(submission, lambda *x: (value(*x), wrong(*x)), inputs),
        f"it accepted a function whose gradient is wrong. {reject}",
    )


@weight(1)
def test_a_sign(submission, rng):
    """A right gradient is accepted, and one of the wrong sign is not."""
    x = rng.normal(size=(3, 5))
    assert_told_apart(
        submission,
        lambda x: float(np.sin(x).sum()),
        lambda x: [np.cos(x)],
        lambda x: [-np.cos(x)],
        [x],
        "(sin(x).sum(), with the gradient cos(x))",
        "Its sign was wrong: compare the difference, not the sizes",
    )


@weight(3)
def test_a_factor(submission, rng):
    """A right gradient is accepted, and one that is 2% too large is not."""
    A, x = rng.normal(size=(5, 5)), rng.normal(size=5)
    assert_told_apart(
        submission,
        lambda x: float(x @ A @ x),
        lambda x: [(A + A.T) @ x],
        lambda x: [1.02 * ((A + A.T) @ x)],
        [x],
        "(A quadratic form)",
        "It was 2% too large everywhere: a tolerance of 1e-4 of the largest entry finds that",
    )


@weight(3)
def test_every_entry(submission, rng):
    """A right gradient is accepted, and one that is wrong in a single entry is not."""
    x = rng.normal(size=(2, 3, 5))
    place = tuple(int(rng.integers(n)) for n in x.shape)

    def wrong(x):
        gradient = np.tanh(x) + 2
        gradient[place] += 0.4
        return [gradient]

    assert_told_apart(
        submission,
        lambda x: float((np.log(np.cosh(x)) + 2 * x).sum()),
        lambda x: [np.tanh(x) + 2],
        wrong,
        [x],
        "(An input of shape (2, 3, 5))",
        "A single entry was wrong: check every entry of every input",
    )


@weight(1)
def test_errors_that_cancel(submission, rng):
    """A right gradient is accepted, and one whose errors add up to zero is not."""
    x, error = rng.uniform(0.5, 1.5, size=(3, 4)), rng.normal(size=(3, 4))
    error -= error.mean()
    assert_told_apart(
        submission,
        lambda x: float((x**3).sum()),
        lambda x: [3 * x**2],
        lambda x: [3 * x**2 + error],
        [x],
        "(x³)",
        "Its errors add up to zero: move one entry at a time, not all of them together",
    )


@weight(3)
def test_every_input(submission, rng):
    """Of several inputs, each is checked."""
    x, W, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)

    def right(x, W, b):
        slope = np.cos(x @ W + b)
        return [slope @ W.T, x.T @ slope, slope.sum(axis=0)]

    def wrong(x, W, b):
        first, second, third = right(x, W, b)
        return [first, second, third / 2]  # the mean over two rows instead of the sum

    assert_told_apart(
        submission,
        lambda x, W, b: float(np.sin(x @ W + b).sum()),
        right,
        wrong,
        [x, W, b],
        "(It has three inputs)",
        "The gradient of its last input was wrong: check all inputs",
    )


@weight(4)
def test_tiny_values(submission, rng):
    """Multiplying a function by 1e-7 changes no answer."""
    x = rng.normal(size=7)
    assert_told_apart(
        submission,
        lambda x: 1e-7 * float(np.exp(x).sum()),
        lambda x: [1e-7 * np.exp(x)],
        lambda x: [2e-7 * np.exp(x)],
        [x],
        "(All gradients are about 1e-7)",
        "Its gradient was twice too large, but only about 1e-7: compare with the size of the gradient, not with a "
        "fixed number",
    )


@weight(3)
def test_huge_values(submission, rng):
    """Multiplying a function by 1e7 changes no answer."""
    x = rng.normal(size=7)
    assert_told_apart(
        submission,
        lambda x: 1e7 * float(np.exp(x).sum()),
        lambda x: [1e7 * np.exp(x)],
        lambda x: [1.5e7 * np.exp(x)],
        [x],
        "(All gradients are about 1e7, and rounding errors grow with them: compare with the size of the gradient)",
        "It was half as large again",
    )


@weight(4)
def test_near_a_minimum(submission, rng):
    """Close to a minimum the slope is small and the curvature is not: a right gradient is still accepted."""
    x = rng.normal(size=5)
    bottom = x + 1e-6 * rng.choice([-1, 1], size=5) * rng.uniform(1, 2, size=5)
    assert_told_apart(
        submission,
        lambda x: float(((x - bottom) ** 2).sum()),
        lambda x: [2 * (x - bottom)],
        lambda x: [2 * (bottom - x)],
        [x],
        "(Near its minimum. The one-sided difference (f(x + eps) - f(x)) / eps is off by eps/2 times the curvature; in "
        "the central one, (f(x + eps) - f(x - eps)) / (2 eps), that cancels)",
        "Its sign was wrong, near a minimum",
    )


@weight(2)
def test_an_entry_without_slope(submission, rng):
    """A right gradient is accepted although some of its entries are zero, or nearly."""
    x = rng.uniform(1, 2, size=6)
    x[rng.permutation(6)[:2]] = 0.0, 1e-5
    assert_told_apart(
        submission,
        lambda x: float((x**3).sum()),
        lambda x: [3 * x**2],
        lambda x: [3 * x**2 + np.where(x < 0.5, 0.5, 0.0)],
        [x],
        "(x³, some entries of x being 0 or 1e-5: compare with the *largest* entry, a small one drowns in rounding)",
        "Where its slope is zero, it claimed another",
    )


@weight(1)
def test_an_input_that_does_not_matter(submission, rng):
    """An input that the function does not use has the gradient zero."""
    x, idle = rng.normal(size=3), rng.normal(size=(2, 2))
    assert_told_apart(
        submission,
        lambda x, idle: float((x**2).sum()),
        lambda x, idle: [2 * x, np.zeros((2, 2))],
        lambda x, idle: [2 * x, np.full((2, 2), 0.1)],
        [x, idle],
        "(One of its inputs does not matter, so both gradients are zero: is 0/0 or 0 < 0 in the way?)",
        "It claimed a slope for an input that does not matter",
    )


@weight(1)
def test_nan(submission, rng):
    """A gradient that holds a NaN is not accepted."""
    x = rng.uniform(1, 2, size=(2, 3))
    place = tuple(int(rng.integers(n)) for n in x.shape)

    def wrong(x):
        gradient = np.log(x) + 1
        gradient[place] = np.nan
        return [gradient]

    assert_told_apart(
        submission,
        lambda x: float((x * np.log(x)).sum()),
        lambda x: [np.log(x) + 1],
        wrong,
        [x],
        "(x log x)",
        "One of its entries was NaN, which is neither larger nor smaller than a tolerance: reject what is not "
        "`error <= tolerance`",
    )


@weight(1)
def test_infinity(submission, rng):
    """A gradient that holds an infinity is not accepted."""
    x = rng.uniform(1, 2, size=(3, 2))
    place = tuple(int(rng.integers(n)) for n in x.shape)
    infinity = float(rng.choice([-1, 1])) * np.inf

    def wrong(x):
        gradient = 2 * x
        gradient[place] = infinity
        return [gradient]

    assert_told_apart(
        submission,
        lambda x: float((x**2).sum()),
        lambda x: [2 * x],
        wrong,
        [x],
        "(x²)",
        "One of its entries was infinite, and then so is the largest: infinity <= 1e-4 * infinity is true",
    )


@weight(1)
def test_a_gradient_for_each_input(submission, rng):
    """A list of gradients is accepted only if it is as long as the list of inputs."""
    x, w = rng.normal(size=4), rng.normal(size=4)
    for wrong, how in ((lambda x, w: [w], "few"), (lambda x, w: [w, x, x], "many")):
        assert_told_apart(
            submission,
            lambda x, w: float((x * w).sum()),
            lambda x, w: [w, x],
            wrong,
            [x, w],
            "(A product of two inputs)",
            f"It came with too {how} gradients for its inputs: count them first, for zip stops at the shorter list",
        )


@weight(2)
def test_another_shape(submission, rng):
    """A gradient is accepted only if it has the shape of its input."""
    x = rng.normal(size=(1, 4))
    assert_told_apart(
        submission,
        lambda x: float((3 * x).sum()),
        lambda x: [np.full((1, 4), 3.0)],
        lambda x: [np.array(3.0)],
        [x],
        "(Linear in an input of shape (1, 4))",
        "Its gradient had another shape than its input: that broadcasts, so compare the shapes first",
    )


@weight(2)
def test_inputs_as_they_were(submission, rng):
    """The inputs come back bit for bit as they were, also such as are not contiguous."""
    x, y = rng.normal(size=(5, 3)).T, 100 * rng.normal(size=(2, 4))
    A = rng.normal(size=(3, 5))

    assert_told_apart(
        submission,
        lambda x, y: float((A * x**2).sum() + np.sin(y / 100).sum()),
        lambda x, y: [2 * A * x, np.cos(y / 100) / 100],
        lambda x, y: [2 * A * x, np.sin(y / 100) / 100],
        [x, y],
        "(An input is the transpose of another array: x.reshape(-1) and x.ravel() are then copies, and to change one "
        "changes nothing)",
        "The gradient of its second input was wrong",
    )

    for given in (x, y):
        check(
            not submission.changed(given),
            "gradcheck changed one of its inputs. To add eps and subtract it again does not give the old number back: "
            "keep that one and put it back, or work on a copy",
        )


@weight(8)  # of 40: the 2 points for the prediction, which asks nothing of gradcheck
def test_prediction(submission):
    """Predict, then run: how the error of a central difference shrinks with eps."""
    answers = submission.ANSWERS

    check(isinstance(answers, dict), "ANSWERS must be a dict")
    prediction = answers.get("error_shrinks_by")
    check(prediction is not None, 'no prediction yet: put a number into ANSWERS["error_shrinks_by"]')
    check(type(prediction) in (int, float), "the prediction must be a number")
    check(
        prediction == 100,
        "not so: write f(x + eps) and f(x - eps) as Taylor series and subtract. Which power of eps is the first that "
        "does not cancel? The figure shows the slope",
    )
