"""States: a tanh network through time, a GRU step in PyTorch's convention, and where the gradient is cut off."""

import torch
from oracles import assert_right, kind, left_alone, normal

from grading.judge import assert_tensor, check, weight

B, T, I, H = 3, 6, 4, 5  # noqa: E741 - as in the docstrings
CELL = ((B, I), (B, H), (3 * H, I), (3 * H, H), (3 * H,), (3 * H,))
GRU = (
    "the rows are r, z, n; n = tanh(W_in x + b_in + r * (W_hn h + b_hn)), with r on the part of h, bias included; "
    "h' = (1 - z) * n + z * h"
)


def network(generator, steps=T):
    """x, h, w_ih, w_hh, b of a tanh network; x is not contiguous."""
    x = normal(generator, steps, B, I).transpose(0, 1)
    shapes = ((B, H), (H, I), (H, H), (H,))
    return [x, *(normal(generator, *shape) / 2 for shape in shapes)]


def oracle(x, h, w_ih, w_hh, b):
    states = []
    for step in x.unbind(1):
        h = (step @ w_ih.T + h @ w_hh.T + b).tanh()
        states.append(h)
    return torch.stack(states, 1)


def forward(submission, *arguments):
    """(states, last) of rnn_forward, of the right shapes, with the arguments left alone."""
    result = submission.rnn_forward(*arguments)

    for given in arguments:
        check(not submission.changed(given), "rnn_forward changed an argument in place")
    check(
        isinstance(result, tuple | list) and len(result) == 2,
        "rnn_forward returns two tensors: (states, last)",
    )
    x, h = arguments[:2]
    states = assert_tensor(
        result[0], shape=(*x.shape[:2], h.shape[1]), dtype=x.dtype, hint="states: all of them, (B, T, H)"
    )
    return states, assert_tensor(result[1], shape=h.shape, dtype=x.dtype, hint="last: the last state, (B, H)")


def cell(submission, *arguments):
    result = submission.gru_cell(*arguments)

    for given in arguments:
        check(not submission.changed(given), "gru_cell changed an argument in place")
    h = arguments[1]
    return assert_tensor(result, shape=h.shape, dtype=h.dtype, hint="gru_cell returns the new state, (B, H)")


def gru(generator):
    return [normal(generator, *shape) for shape in CELL]


def leaves(tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


@weight(2)
def test_states(submission, generator):
    """Each state is tanh(x_t @ w_ih.T + h @ w_hh.T + b), where h is the state before it."""
    for steps in (T, 1):
        arguments = network(generator, steps)
        states, _ = forward(submission, *arguments)
        hint = "does the first step begin with the given h, and each other one with the state before it?"
        assert_right(states, oracle(*arguments), hint=hint)
    single = [tensor.float() for tensor in network(generator)]
    states, _ = forward(submission, *single)
    check(torch.allclose(states, oracle(*single), rtol=1e-4, atol=1e-5), "rnn_forward is wrong in float32")


@weight(1)
def test_last_state(submission, generator):
    """The second result is the state after the last step."""
    arguments = network(generator)

    _, last = forward(submission, *arguments)

    assert_right(last, oracle(*arguments)[:, -1], hint="last is the state after the last step: states[:, -1]")


@weight(2)
def test_gradient_through_time(submission, generator):
    """The gradient of all states runs back through time to every argument, the first state too."""
    arguments, cotangent = network(generator), normal(generator, B, T, H)
    theirs, ours = leaves(arguments), leaves(arguments)

    states, _ = forward(submission, *theirs)

    check(states.requires_grad, "the states have no gradient: detach, .data and NumPy cut it off")
    gradients = torch.autograd.grad(states, theirs, cotangent, allow_unused=True)
    expected = torch.autograd.grad(oracle(*ours), ours, cotangent)
    for name, actual, right in zip(("x", "h", "w_ih", "w_hh", "b"), gradients, expected, strict=True):
        hint = f"the gradient with respect to {name}: within one call, no state may be detached"
        check(actual is not None, f"there is no gradient with respect to {name}. Hint: {hint}")
        assert_right(actual, right, hint=hint)


@weight(2)
def test_chunks(submission, generator):
    """Read in chunks of unequal length, with the detached state handed on, the states are as if read in one go."""
    x, h, *weights = network(generator, 9)
    expected = oracle(x, h, *weights)

    for start, stop in ((0, 2), (2, 3), (3, 7), (7, 9)):
        states, h = forward(submission, x[:, start:stop], h, *weights)
        hint = "the state at the end of a chunk is where the next one begins; detach_state keeps its values"
        assert_right(states, expected[:, start:stop], hint=hint)
        h = submission.detach_state(h)
        assert_tensor(h, shape=(B, H), hint="detach_state of a tensor is a tensor of the same shape")


@weight(3)
def test_gru_cell(submission, generator):
    """gru_cell agrees with PyTorch's GRU cell."""
    arguments = gru(generator)

    assert_right(cell(submission, *arguments), torch.gru_cell(*arguments), hint=GRU)
    single = [tensor.float() for tensor in arguments]
    actual = cell(submission, *single)
    check(torch.allclose(actual, torch.gru_cell(*single), rtol=1e-4, atol=1e-5), f"wrong in float32: {GRU}")


@weight(1)
def test_gru_keeps_its_state(submission, generator):
    """Where the gate z is 1, the old state passes unchanged."""
    x, h, w_ih, w_hh, b_ih, b_hh = gru(generator)
    b_ih[H : 2 * H] += 1000.0

    hint = "z is the second third of the rows, and z = 1 keeps the *old* state: h' = (1 - z) * n + z * h"
    assert_right(cell(submission, x, h, w_ih, w_hh, b_ih, b_hh), h, hint=hint)


@weight(1)
def test_gru_forgets_its_state(submission, generator):
    """Where both gates are 0, the new state is tanh(W_in x + b_in): nothing of the old one is left."""
    x, h, w_ih, w_hh, b_ih, b_hh = gru(generator)
    b_hh[: 2 * H] -= 1000.0

    expected = (x @ w_ih[2 * H :].T + b_ih[2 * H :]).tanh()
    hint = "r is the first third of the rows, and multiplies W_hn h + b_hn (the bias b_hn too), nothing else"
    assert_right(cell(submission, x, h, w_ih, w_hh, b_ih, b_hh), expected, hint=hint)


@weight(1)
def test_gru_gradient(submission, generator):
    """The gradient of gru_cell with respect to all its arguments is PyTorch's."""
    arguments, cotangent = gru(generator), normal(generator, B, H)
    theirs, ours = leaves(arguments), leaves(arguments)

    result = cell(submission, *theirs)

    check(result.requires_grad, "gru_cell has no gradient: detach, .data and NumPy cut it off")
    gradients = torch.autograd.grad(result, theirs, cotangent, allow_unused=True)
    expected = torch.autograd.grad(torch.gru_cell(*ours), ours, cotangent)
    for actual, right in zip(gradients, expected, strict=True):
        check(actual is not None, "there is no gradient with respect to one of the arguments")
        assert_right(actual, right, hint=f"the gradient is wrong: {GRU}")


def assert_cut_off(actual, state):
    """The same structure and values, and no gradient."""
    if isinstance(state, torch.Tensor):
        hint = "the same values as before, only without a graph"
        assert_tensor(actual, shape=state.shape, dtype=state.dtype, hint=hint)
        check(
            torch.equal(actual, state),
            "detach_state changed the values: the state must be handed on, not reset",
        )
        check(
            not actual.requires_grad,
            "a gradient still runs back through what detach_state returns (or the state itself has lost its graph: "
            "detach() makes a new tensor, detach_() changes the argument)",
        )
        return
    same = type(actual) is type(state) and len(actual) == len(state)
    words = f"a {type(state).__name__} of {len(state)} must come back as such, not as {kind(actual)}"
    check(same, words)
    for part, right in zip(actual, state, strict=True):
        assert_cut_off(part, right)


@weight(1)
def test_detached_tensor(submission, generator):
    """detach_state of a tensor has the same values and no gradient."""
    h = normal(generator, B, H).requires_grad_()

    assert_cut_off(submission.detach_state(h), h)
    assert_cut_off(submission.detach_state(2 * h), 2 * h)


@weight(1)
def test_detached_structures(submission, generator):
    """Lists and tuples of states, nested to any depth, come back in the same form, each part cut off."""
    a, b, c = (normal(generator, B, H).requires_grad_() for _ in range(3))

    for state in ((a, b), [a, b, c], [(a, b), (c, a)], ([a, (b, [c])],)):
        assert_cut_off(submission.detach_state(state), state)


@weight(1)
def test_lists_are_left_alone(submission, generator):
    """A list that is given to detach_state keeps its states and their graph; what comes back is a new list."""
    a, b, c = (normal(generator, B, H).requires_grad_() for _ in range(3))

    for state in ([a, b], [(a, b), [c]], ([c, a],)):
        assert_cut_off(left_alone(submission, "detach_state", state), state)
