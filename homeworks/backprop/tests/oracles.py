"""What several modules ask in the same way: a result of the submission's own Value or Tensor and its gradients.

Expected values come from torch in float64, in the judge. The order in which a graph is walked back is worked out in
the judge as well, so that a section counts whatever became of the one about order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from grading.judge import SubmissionFailure, assert_close, check

Expression = Callable[..., Any]

PLAIN = (type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set, np.ndarray, torch.Tensor)


def own(kind: str, result: Any, what: str) -> Any:
    """The result, which must be an object of the submission's own class."""
    words = "None" if result is None else f"a {type(result).__name__}"
    check(not isinstance(result, PLAIN), f"{what} must be a {kind}, not {words}")
    return result


def run_back(submission: Any, result: Any, cotangent: Any, *, newest: bool = True) -> None:
    """Hands the cotangent to the result, and has every node pushed, after all that were computed from it.

    newest: of the nodes whose turn it could be, take the one found last, or else the one found first.
    """
    result.grad = cotangent
    found = submission.support.Found(result)
    edges = found.edge_array().tolist()
    size = 1 + max((place for edge in edges for place in edge), default=0)
    waiting = [0] * size
    parents: list[list[int]] = [[] for _ in range(size)]
    for child, parent in edges:
        waiting[parent] += 1
        parents[child].append(parent)
    ready, order = [0], []
    while ready:
        place = ready.pop(-1 if newest else 0)
        order.append(place)
        for parent in parents[place]:
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    check(
        len(order) == size,
        "a node is its own ancestor: the parents of a result are what it was computed from",
    )
    found.push(np.array(order))


@contextmanager
def hinted(hint: str) -> Iterator[None]:
    """Adds the hint to an exception of the submission's own code, which by itself says only what Python found."""
    try:
        yield
    except NotImplementedError:
        raise
    except SubmissionFailure as failure:
        if hint not in str(failure):
            failure.args = (f"{failure}. Hint: {hint}",)
        raise


def assert_gradient(leaf: Any, expected: Any, what: str, hint: str) -> None:
    """The gradient of a leaf is there, and right."""
    gradient = leaf.grad
    if gradient is None and np.allclose(expected, 0):
        return  # nothing arrived, and nothing had to
    check(
        gradient is not None
        and (isinstance(gradient, str | dict) or np.any(gradient) or np.allclose(expected, 0)),
        f"no gradient arrived at {what}: is it among the parents of the result, and does push add to its grad? {hint}",
    )
    assert_close(gradient, expected, hint=f"the gradient (in .grad) of {what}: {hint}")


def assert_values_and_gradients(
    submission: Any,
    kind: str,
    expression: Expression,
    numbers: Sequence[Any],
    cotangent: Any,
    *,
    hint: str,
    oracle: Expression | None = None,
    newest: bool = True,
) -> None:
    """The expression of Values or Tensors has the value, and each input the gradient, that torch finds.

    cotangent: a number, or (for a Tensor) a generator of the random numbers that the result is contracted with.
    """
    make = getattr(submission, kind)
    leaves = [own(kind, make(number), f"{kind}(…)") for number in numbers]
    theirs = [torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in numbers]
    expected = (oracle or expression)(*theirs)

    with hinted(hint):
        result = own(kind, expression(*leaves), "the result")

    assert_close(result.data, expected.detach().numpy(), hint=f"the value (in .data): {hint}")
    if isinstance(cotangent, np.random.Generator):
        cotangent = cotangent.normal(size=tuple(expected.shape))
    if kind == "Tensor":
        cotangent = np.asarray(cotangent)
    with hinted(hint):
        run_back(submission, result, cotangent, newest=newest)
    slopes = torch.autograd.grad(
        expected, theirs, torch.tensor(cotangent, dtype=torch.float64), materialize_grads=True
    )
    for place, (leaf, number) in enumerate(zip(leaves, numbers, strict=True), 1):
        hint_data = (
            f".data of input {place} changed on the way forward or back: make a new array or number instead"
        )
        assert_close(leaf.data, number, hint=hint_data)
    for place, (leaf, slope) in enumerate(zip(leaves, slopes, strict=True), 1):
        what = "the input" if len(leaves) == 1 else f"input {place} of {len(leaves)}"
        assert_gradient(leaf, slope.numpy(), what, hint)
