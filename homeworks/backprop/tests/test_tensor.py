"""Tensor: every operation's value and gradient against torch in float64, contracted with random cotangents."""

import numpy as np
import pytest
import torch
from oracles import assert_gradient, assert_values_and_gradients, hinted, own, run_back

from grading.judge import assert_close, check, gate, weight


def assert_agrees(submission, rng, expression, arrays, hint, oracle=None, **options):
    assert_values_and_gradients(
        submission, "Tensor", expression, arrays, rng, hint=hint, oracle=oracle, **options
    )


@gate
def test_what_a_tensor_holds(submission, rng):
    """Tensor(x) holds x as a float64 array in .data."""
    for given in ([[1, 2, 3], [4, 5, 6]], rng.normal(size=(2, 3, 5)), rng.integers(9, size=4)):
        data = own("Tensor", submission.Tensor(given), "Tensor(…)").data

        check(isinstance(data, np.ndarray) and data.dtype == np.float64, ".data must be a float64 array")
        assert_close(data, np.asarray(given, dtype=np.float64), hint=".data must hold what Tensor was given")


PAIRS = {
    "a + b": (
        lambda a, b: a + b,
        "each input gets the gradient as it is, unbroadcast to its own shape",
    ),
    "a * b": (
        lambda a, b: a * b,
        "each input gets the gradient times the *other* input, unbroadcast to its own shape",
    ),
}


@weight(1)
@pytest.mark.parametrize("name", list(PAIRS))
def test_one_shape(submission, rng, name):
    """Sum and product of two tensors of one shape, entry by entry."""
    expression, hint = PAIRS[name]
    arrays = [rng.normal(size=(3, 5, 7)), rng.normal(size=(3, 5, 7))]
    assert_agrees(submission, rng, expression, arrays, f"{name}: {hint}")


@weight(2)
@pytest.mark.parametrize("name", list(PAIRS))
def test_broadcast(submission, rng, name):
    """Shapes are broadcast as in NumPy, and each input gets a gradient of its own shape."""
    expression, hint = PAIRS[name]
    for one, other in (((3, 5), (5,)), ((2, 1), (3, 1, 7)), ((), (2, 3)), ((5, 3, 1), (1, 7))):
        arrays = [np.asarray(rng.normal(size=one)), np.asarray(rng.normal(size=other))]
        assert_agrees(submission, rng, expression, arrays, f"{name} for shapes {one} and {other}: {hint}")


@weight(1)
def test_numbers_and_arrays_beside_a_tensor(submission, rng):
    """Beside a tensor may stand a number or an array."""
    x, array = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))

    def expression(a, b):
        return (a + 2) * b + 3 * (b + a) + (1.5 - a) + b * (a @ b) + b @ a

    hint = "make a Tensor of a number or an array before you compute with it"
    assert_agrees(
        submission,
        rng,
        lambda a: expression(a, array),
        [x],
        hint,
        lambda a: expression(a, torch.from_numpy(array)),
    )


MATMUL_HINT = "a @ b: a gets grad @ bᵀ and b gets aᵀ @ grad, where ᵀ swaps the last two axes"


@weight(3)
def test_matmul(submission, rng):
    """The product of two matrices."""
    for _ in range(2):
        arrays = [rng.normal(size=(3, 5)), rng.normal(size=(5, 2))]
        assert_agrees(submission, rng, lambda a, b: a @ b, arrays, MATMUL_HINT)


@weight(2)
def test_matmul_of_stacks(submission, rng):
    """The products of two stacks of matrices."""
    arrays = [rng.normal(size=(7, 2, 3, 5)), rng.normal(size=(7, 2, 5, 4))]
    hint = f"{MATMUL_HINT}: .T turns *all* axes round, swapaxes(-1, -2) the last two"
    assert_agrees(submission, rng, lambda a, b: a @ b, arrays, hint)


@weight(2)
def test_matmul_broadcasts_the_stack(submission, rng):
    """One matrix times a stack of them: the one is broadcast, and gets the sum of the gradients."""
    hint = f"{MATMUL_HINT}, and then unbroadcast: a matrix that met a whole stack gets the sum over it"
    for one, other in (((7, 3, 5), (5, 2)), ((3, 5), (7, 5, 2)), ((2, 1, 3, 5), (7, 5, 4))):
        arrays = [rng.normal(size=one), rng.normal(size=other)]
        assert_agrees(submission, rng, lambda a, b: a @ b, arrays, f"shapes {one} and {other}, {hint}")


AXES = {"all": (None, None), "one axis": (0, 1, -1, -2), "two axes": ((0, 2), (-1, 0), (1, -1))}


@weight(2)
@pytest.mark.parametrize("name", list(AXES))
def test_sum(submission, rng, name):
    """sum over everything, over one axis, over several, with the summed axes kept or not."""
    for axis in AXES[name]:
        for keep in (False, True):
            hint = (
                f"sum(axis={axis}, keepdims={keep}): every entry gets the gradient of the sum it went into. "
                "Give grad its summed axes back, as axes of size 1, before it is broadcast"
            )
            assert_reduced(submission, rng, "sum", axis, keep, hint)


@weight(2)
@pytest.mark.parametrize("name", list(AXES))
def test_mean(submission, rng, name):
    """mean over everything, over one axis, over several, with the averaged axes kept or not."""
    for axis in AXES[name]:
        for keep in (False, True):
            hint = (
                f"mean(axis={axis}, keepdims={keep}): the sum divided by how many entries went into it. Is the "
                "gradient divided as well, and by the number over `axis`, not by the whole size?"
            )
            assert_reduced(submission, rng, "mean", axis, keep, hint)


def assert_reduced(submission, rng, name, axis, keep, hint):
    def expression(a):
        return getattr(a, name)(axis=axis, keepdims=keep)

    def oracle(a):
        return getattr(a, name)(dim=tuple(range(a.ndim)) if axis is None else axis, keepdim=keep)

    assert_agrees(submission, rng, expression, [rng.normal(size=(3, 3, 5))], hint, oracle)


@weight(1)
def test_sum_and_mean_of_all_by_default(submission, rng):
    """Without arguments, sum and mean go over all entries and give a tensor of shape ()."""
    x = rng.normal(size=(2, 3))
    assert_agrees(submission, rng, lambda a: a.sum(), [x], "sum() goes over all axes and keeps none")
    assert_agrees(submission, rng, lambda a: a.mean(), [x], "mean() goes over all axes and keeps none")


@weight(2)
def test_reshape(submission, rng):
    """reshape keeps the entries in their order, and gives the gradient the old shape back."""
    x = rng.normal(size=(2, 3, 5))
    for shape in ((6, 5), (5, 3, 2), (-1,), (3, -1, 1)):
        hint = f"reshape{shape}: the gradient goes back by reshaping it to the shape of the input"
        assert_agrees(submission, rng, lambda a, s=shape: a.reshape(*s), [x], hint)


@weight(3)
def test_transpose(submission, rng):
    """transpose permutes the axes as NumPy's does, and the gradient goes back by the inverse permutation."""
    x = rng.normal(size=(2, 3, 5))
    for axes in ((1, 0, 2), (1, 2, 0), (2, 0, 1)):
        hint = f"transpose{axes}: the *inverse* permutation (np.argsort(axes)) brings the gradient back"
        oracle = lambda a, p=axes: a.permute(*p)  # noqa: E731 - beside the other one
        assert_agrees(submission, rng, lambda a, p=axes: a.transpose(*p), [x], hint, oracle)
    hint = "transpose() without axes turns all of them round"
    assert_agrees(submission, rng, lambda a: a.transpose(), [x], hint, lambda a: a.permute(2, 1, 0))


@weight(2)
@pytest.mark.parametrize("name", ["exp", "log", "relu"])
def test_function(submission, rng, name):
    """exp, log and relu, entry by entry."""
    hint = {
        "exp": "exp: the slope is its own value, exp(a)",
        "log": "log: the slope is 1/a",
        "relu": "relu: slope 1 where a > 0, else 0",
    }[name]
    x = rng.normal(size=(3, 5, 7))
    x = np.abs(x) + 0.1 if name == "log" else x
    assert_agrees(submission, rng, lambda a: getattr(a, name)(), [x.transpose(2, 0, 1)], hint)


def assert_chosen(submission, rng, x, index, hint):
    """a[index] against NumPy's own, and the gradient by counting how often each place was taken."""
    a = own("Tensor", submission.Tensor(x), "Tensor(…)")
    with hinted(hint):
        result = own("Tensor", a[index], "a[index]")
    assert_close(result.data, np.asarray(x[index]), hint=f"the value (in .data): {hint}")
    cotangent = np.asarray(rng.normal(size=np.shape(x[index])))
    with hinted(hint):
        run_back(submission, result, cotangent)
    places = np.arange(x.size).reshape(x.shape)[index]
    expected = np.bincount(np.ravel(places), weights=np.ravel(cotangent), minlength=x.size).reshape(x.shape)
    assert_gradient(a, expected, "the input", hint)


@weight(2)
def test_getitem(submission, rng):
    """Indexing with numbers, slices, `...` and None, with an array of booleans, and with arrays of numbers."""
    x = rng.normal(size=(5, 3, 7))
    rows, columns = np.array([4, 0, 2]), np.array([1, 1, 0])

    for index in (2, (slice(1, 4), 0), (..., -1), (slice(None, None, -2), None, 1), x > 0.3, (rows, columns)):
        hint = "a[index]: the gradient goes to the places that were taken, and is 0 elsewhere"
        assert_chosen(submission, rng, x, index, hint)


@weight(3)
def test_getitem_with_repeated_indices(submission, rng):
    """An entry that is taken several times gets the sum of the gradients."""
    x = rng.normal(size=(5, 3))
    rows = np.array([1, 4, 1, 1, 0, 4])

    hint = "a[[1, 1]]: grad[index] += … keeps only one of the repeated ones; np.add.at(grad, index, …) adds them all"
    for index in (rows, (rows, np.array([2, 0, 2, 1, 1, 0]))):
        assert_chosen(submission, rng, x, index, hint)


@weight(2)
@pytest.mark.parametrize("newest", [True, False])
def test_gradients_accumulate(submission, rng, newest):
    """A tensor with several consumers gets the sum of their gradients, from every operation."""
    hint = "gradients accumulate over all consumers: add to .grad (+=), do not overwrite it"
    x = rng.uniform(0.5, 2, size=(3, 3))

    for operation in (
        lambda a: a + a,
        lambda a: a * a,
        lambda a: a @ a,
        lambda a: a.exp() * a.log(),
        lambda a: a.sum(axis=0) + a.mean(axis=0),
        lambda a: a.reshape(9)[3:6] + a[1] + a[2].relu(),
        lambda a: a.exp() + a.exp(),
        lambda a: a.log() + a.log(),
        lambda a: a.relu() + a.relu(),
        lambda a: a.reshape(9) + a.reshape(9),
        lambda a: a.transpose(1, 0) + a.transpose(1, 0),
        lambda a: a.transpose(1, 0) * a,
    ):
        assert_agrees(submission, rng, operation, [x], hint, newest=newest)


@weight(2)
def test_no_two_tensors_share_a_gradient(submission, rng):
    """What is added to the gradient of one tensor changes no other's."""
    x, y, z = (rng.normal(size=(2, 3)) for _ in range(3))

    hint = (
        "two gradients are the same array, or part of it: when the first one to arrive is stored as it is, a later += "
        "writes into the gradients of other tensors. Start from zeros, or write self.grad = self.grad + grad"
    )
    for newest in (True, False):
        for expression in (
            lambda a, b, c: (a + b) + b * c,
            lambda a, b, c: b * c + (b + a),
            lambda a, b, c: (a + c) + (b * c).reshape(2, 3) + (b.reshape(2, 3) + c[:]) * a,
            lambda a, b, c: c + (a + b) * (a * b) + b,
        ):
            assert_agrees(submission, rng, expression, [x, y, z], hint, newest=newest)


@weight(1)
def test_nothing_handed_over_is_changed(submission, rng):
    """The arrays that tensors were made from, and the gradient that comes in, stay as they are."""
    x, w = rng.normal(size=(2, 3)), rng.normal(size=(3, 5))
    a, b = submission.Tensor(x), submission.Tensor(w)
    cotangent = rng.normal(size=(2, 5))

    result = own("Tensor", ((a @ b).relu() + a.sum(axis=1, keepdims=True)) * (a @ b), "the result")
    run_back(submission, result, cotangent)

    for tensor, given in ((a, x), (b, w)):
        assert_close(tensor.data, given, hint=".data of a tensor changed on the way forward or back")
    assert_close(result.grad, cotangent, hint="push changed the gradient that it was given")


@weight(2)
def test_a_layer_of_attention(submission, rng):
    """A longer expression, out of all operations, agrees with torch."""
    x, w, v = rng.normal(size=(2, 5, 4)), rng.normal(size=(4, 3)), rng.normal(size=(4, 3))

    def attention(flip, x, w, v):
        q, k = x @ w, (x @ v).relu()
        weights = (q @ flip(k) * 0.5).exp()
        total = weights.sum(axis=-1, keepdims=True)
        mixed = (weights * (-1.0 * total.log()).exp()) @ x
        return mixed.mean(axis=1).reshape(4, 2)[1:] + k[0, 1:4, :2]

    assert_agrees(
        submission,
        rng,
        lambda *a: attention(lambda k: k.transpose(0, 2, 1), *a),
        [x, w, v],
        "a network of many operations; if the tests above pass, look at how they play together",
        lambda *a: attention(lambda k: k.permute(0, 2, 1), *a),
    )
