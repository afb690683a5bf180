"""Convolution: values, several channels, gradients. Plain pytest: the usual way runs it too."""

import torch
import torch.nn.functional as F


def test_values(submission, generator):
    """Each output is the sum of a window of the input times the weights."""
    x = torch.randn(1, 101, generator=generator, dtype=torch.float64)
    weight = torch.randn(1, 1, 5, generator=generator, dtype=torch.float64)

    y = submission.conv1d(x, weight)

    assert y.shape == (1, 97), "the window must fit: length - width + 1 outputs"
    assert torch.allclose(y, F.conv1d(x, weight)), "is the kernel flipped?"


def test_channels(submission, generator):
    """Input channels are summed, and each output channel has weights of its own."""
    x = torch.randn(3, 53, generator=generator)
    weight = torch.randn(4, 3, 7, generator=generator)

    y = submission.conv1d(x, weight)

    assert torch.allclose(y, F.conv1d(x, weight), rtol=1e-4, atol=1e-5), "sum over the input channels"


def test_gradient(submission, generator):
    """The gradients with respect to input and weights are right."""
    x = torch.randn(2, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(submission.conv1d, (x, weight))
