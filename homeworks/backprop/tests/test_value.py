"""Value: every operation and its slope, numbers on either side, and gradients that add up where paths meet."""

import pytest
from oracles import assert_gradient, assert_values_and_gradients, hinted, own, run_back

from grading.judge import weight

OPERATIONS = {
    "a + b": (lambda a, b: a + b, "both inputs get the gradient as it is"),
    "a - b": (lambda a, b: a - b, "the second input gets it with the opposite sign"),
    "a * b": (lambda a, b: a * b, "each input gets the gradient times the *other* input"),
    "a / b": (lambda a, b: a / b, "the slope is 1/b for a, and -a/b² (mind the sign) for b"),
    "-a": (lambda a: -a, "the slope of -a is -1"),
    "a.exp()": (lambda a: a.exp(), "the slope of exp is its own value, exp(a)"),
    "a.tanh()": (lambda a: a.tanh(), "the slope is 1 - t², where t is what comes *out* of tanh"),
}
NUMBER_RIGHT = {
    "a + 3": lambda a: a + 3,
    "a - 2.5": lambda a: a - 2.5,
    "a * -1.5": lambda a: a * -1.5,
    "a / 4": lambda a: a / 4,
}
NUMBER_LEFT = {
    "3 + a": lambda a: 3 + a,
    "2.5 - a": lambda a: 2.5 - a,
    "-1.5 * a": lambda a: -1.5 * a,
    "4 / a": lambda a: 4 / a,
}


def draw(rng, count):
    """Numbers of both signs, none of them near 0."""
    return [float(x) for x in rng.choice([-1, 1], size=count) * rng.uniform(0.4, 1.8, size=count)]


def assert_slopes(submission, rng, expression, numbers, hint, **options):
    cotangent = float(rng.uniform(1.5, 2.5))
    assert_values_and_gradients(submission, "Value", expression, numbers, cotangent, hint=hint, **options)


@weight(2)
@pytest.mark.parametrize("name", list(OPERATIONS))
def test_operation(submission, rng, name):
    """Each operation has the right value, and pushes the right share of the gradient to each of its inputs."""
    expression, hint = OPERATIONS[name]

    for _ in range(2):
        numbers = draw(rng, expression.__code__.co_argcount)
        assert_slopes(submission, rng, expression, numbers, f"{name}: {hint}")


@weight(2)
def test_relu(submission, rng):
    """relu lets a positive number through with slope 1, and gives 0 with slope 0 for a negative one."""
    for size in (rng.uniform(0.1, 0.6), rng.uniform(1.2, 2.5)):
        for number, hint in ((size, "for a positive a: slope 1"), (-size, "for a negative a: slope 0")):
            assert_slopes(submission, rng, lambda a: a.relu(), [float(number)], f"a.relu() {hint}")


@weight(2)
def test_power_with_a_number(submission, rng):
    """a ** n for a number n: also a negative a, a negative n, and an n that is no whole number."""
    hint = "a ** n: the slope is n a^(n-1)"
    (number,) = draw(rng, 1)

    for n in (2, 3, -1, -2):
        assert_slopes(submission, rng, lambda a, n=n: a**n, [number], hint)
        assert_slopes(submission, rng, lambda a, n=n: a**n, [-number], hint)
    exponent = float(rng.uniform(1.2, 3.8))
    assert_slopes(submission, rng, lambda a: a**exponent, [abs(number)], hint)


@weight(1)
def test_power_of_zero(submission, rng):
    """0 ** n for a number n from 1 on: the slope is 1 where n is 1, and else 0."""
    for n in (1, 2, 3):
        hint = f"a ** {n} where a is 0: compute the slope as n * a ** (n - 1), with no division by a and no logarithm"
        assert_slopes(submission, rng, lambda a, n=n: a**n, [0.0], hint)


@weight(2)
def test_power_with_a_value(submission, rng):
    """a ** b for two Values, and 2 ** b: the exponent gets its gradient too."""
    hint = "a ** b: the exponent's slope is a^b log(a)"
    base, exponent = float(rng.uniform(0.3, 3)), float(rng.uniform(-2.5, 2.5))

    assert_slopes(submission, rng, lambda a, b: a**b, [base, exponent], hint)
    assert_slopes(submission, rng, lambda b: 2**b, [exponent], f"2 ** b (this asks for __rpow__). {hint}")


@weight(1)
@pytest.mark.parametrize("name", list(NUMBER_RIGHT))
def test_number_on_the_right(submission, rng, name):
    """A plain number may stand on the right of an operator."""
    assert_slopes(
        submission, rng, NUMBER_RIGHT[name], draw(rng, 1), f"{name}: make a Value of a plain number first"
    )


@weight(1)
@pytest.mark.parametrize("name", list(NUMBER_LEFT))
def test_number_on_the_left(submission, rng, name):
    """A plain number may stand on the left: Python then calls __radd__, __rsub__, __rmul__, __rtruediv__."""
    hint = f"{name}: the reflected operation; in __rsub__ and __rtruediv__ the number comes first"
    assert_slopes(submission, rng, NUMBER_LEFT[name], draw(rng, 1), hint)


@weight(2)
@pytest.mark.parametrize("name", ["x + x", "x * x", "x - x * x", "x / (x * x)"])
def test_the_same_value_twice(submission, rng, name):
    """A Value that is used twice by one operation gets both shares."""
    expression = {
        "x + x": lambda x: x + x,
        "x * x": lambda x: x * x,
        "x - x * x": lambda x: x - x * x,
        "x / (x * x)": lambda x: x / (x * x),
    }[name]
    hint = f"{name}: gradients accumulate: add to .grad (+=), do not overwrite it"
    assert_slopes(submission, rng, expression, draw(rng, 1), hint)


@weight(4)
def test_two_consumers_of_one_kind(submission, rng):
    """When the same operation is done twice to a Value, it gets a share from each."""
    hint = "gradients accumulate, in every operation: add to .grad (+=), do not overwrite it"
    number = float(rng.uniform(0.4, 1.8))

    for operation in (
        lambda x: x.exp(),
        lambda x: x.tanh(),
        lambda x: x.relu(),
        lambda x: x**3,
        lambda x: 2**x,
        lambda x: -x,
        lambda x: 3 / x,
    ):
        assert_slopes(submission, rng, lambda x, f=operation: f(x) + f(x), [number], hint)


@weight(4)
@pytest.mark.parametrize("newest", [True, False])
def test_paths_that_meet_again(submission, rng, newest):
    """Paths that part and meet again (a diamond), and a Value used at three depths, bring the sum of their shares."""

    def diamond(a, b):
        c = a * b
        return (c + 2) * (c * b).tanh()

    def three_depths(a, b):
        c = (a * b).tanh()
        d = c * a - b
        return d.exp() * a + c

    hint = "gradients accumulate over all consumers: add to .grad (+=), do not overwrite it"
    for expression in (diamond, three_depths):
        assert_slopes(submission, rng, expression, draw(rng, 2), hint, newest=newest)


@weight(2)
def test_two_results_of_one_input(submission, rng):
    """Gradients also add up from one backward pass to the next: an input keeps what it had."""
    (number,) = draw(rng, 1)
    x = submission.Value(number)

    hint = "two results of the same x, one run back after the other: add to x.grad, do not set it"
    with hinted(hint):
        for slope in (3.0, 5.0):
            run_back(submission, own("Value", x * slope, "x * 3.0"), 1.0)

    assert_gradient(x, 8.0, "the input", hint)


@weight(1)
def test_tanh_far_out(submission, rng):
    """tanh is 1 for huge numbers, and -1 for hugely negative ones: no overflow."""
    hint = "tanh far from 0: exp overflows there; math.tanh does not"
    for number in (900.0, -900.0):
        assert_slopes(submission, rng, lambda a: a.tanh(), [number], hint)
