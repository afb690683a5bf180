"""Cross-entropy from logits: value and gradient, the mean over the batch, and logits of any size."""

import numpy as np
import torch
from oracles import assert_values_and_gradients, own, run_back

from grading.judge import assert_close, check, weight


def assert_agrees(submission, logits, labels, hint, cotangent):
    def expression(tensor):
        return submission.cross_entropy(tensor, labels)

    def oracle(tensor):
        return torch.nn.functional.cross_entropy(tensor, torch.from_numpy(labels.astype(np.int64)))

    assert_values_and_gradients(
        submission, "Tensor", expression, [logits], cotangent, hint=hint, oracle=oracle
    )
    check(not submission.changed(labels), "cross_entropy changed the labels")


def draw(rng, examples, classes):
    return 2 * rng.normal(size=(examples, classes)), rng.integers(classes, size=examples)


@weight(3)
def test_value(submission, rng):
    """The loss is -log of the probability of the right class, averaged over the examples."""
    for examples, classes in ((5, 3), (2, 7), (1, 4)):
        logits, labels = draw(rng, examples, classes)

        loss = own("Tensor", submission.cross_entropy(submission.Tensor(logits), labels), "the loss")

        expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
        hint = (
            "log(sum(exp(logits))) over the classes (axis 1), minus the logit of the right class; then the *mean* over "
            "the batch"
        )
        assert_close(loss.data, expected.item(), hint=hint)


@weight(4)
def test_gradient(submission, rng):
    """The gradient is (softmax - one-hot) / number of examples, times what comes from above."""
    for examples, classes in ((5, 3), (2, 7), (1, 4)):
        hint = "(softmax(logits) - one-hot(labels)) / n, times the gradient of the loss itself (which need not be 1)"
        assert_agrees(submission, *draw(rng, examples, classes), hint, float(rng.uniform(2, 3)))


@weight(3)
def test_large_logits(submission, rng):
    """Logits of ±10,000 are no reason for a NaN, neither in the value nor in the gradient."""
    logits, labels = draw(rng, 4, 3)
    logits += np.array([[1e4], [-1e4], [0.0], [3e3]])
    logits[2, (labels[2] + 1) % 3] += 2000.0  # the right class has a probability that rounds to 0

    hint = (
        "exp overflows, and log(softmax) is -inf where softmax rounds to 0: subtract the largest logit of each row "
        "first, and never take the log of a softmax"
    )
    assert_agrees(submission, logits, labels, hint, float(rng.uniform(2, 3)))


@weight(1)
def test_labels_of_any_integer_type(submission, rng):
    """Labels may be of any integer type (those of the digits are uint8), and stay as they are."""
    logits, labels = draw(rng, 6, 5)

    for kind in (np.uint8, np.int32):
        hint = f"labels of type {kind.__name__}"
        assert_agrees(submission, logits, labels.astype(kind), hint, 1.5)


@weight(1)
def test_the_logits_keep_their_data(submission, rng):
    """The data of the logits stays as it was, and their gradient adds to what is there already."""
    logits, labels = draw(rng, 5, 3)
    tensor = submission.Tensor(logits)

    loss = own("Tensor", submission.cross_entropy(tensor, labels) + (tensor * tensor).sum(), "the loss")
    run_back(submission, loss, np.array(1.0))

    assert_close(tensor.data, logits, hint="cross_entropy changed the logits in place")
    leaf = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(leaf, torch.from_numpy(labels)) + (leaf * leaf).sum()
    (gradient,) = torch.autograd.grad(expected, leaf)
    hint = "the logits had another consumer as well: add to their gradient, do not overwrite it"
    assert_close(tensor.grad, gradient.numpy(), hint=hint)
