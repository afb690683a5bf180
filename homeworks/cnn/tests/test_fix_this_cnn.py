"""The eight planted faults, a test each. Each one fails for its own fault and passes with the other seven still there.

`head` with its weight set to zero makes the logits equal to its bias, whatever is wrong in front of it.
"""

import numpy as np
import torch
from oracles import assert_right

from grading.judge import assert_tensor, check

EACH_ITS_OWN = (4, 1, 20, 16)


def sheets(generator, *shape):
    return torch.rand(*shape, generator=generator)


def with_bias_only(submission, bias):
    """A net whose `head` has this bias and no weights."""
    net = submission.DigitNet()
    state = net.state_dict()
    check(
        isinstance(state, dict) and {"head.weight", "head.bias"} <= set(state),
        "net.state_dict() has no head.weight and head.bias: keep the linear layer `head`",
    )
    net.load_state_dict({**state, "head.weight": torch.zeros(10, 16), "head.bias": bias})
    return net


def test_parameters_are_known(submission):
    """Fault: layers that never learn. The numbers of each layer are among the parameters of the network."""
    net = submission.DigitNet()

    kernels = [p for p in net.parameters() if isinstance(p, torch.Tensor) and p.ndim == 4]

    check(
        len(kernels) >= 2,
        "however long it trains, some kernels stay as they began: net.parameters() does not know all convolutions. In "
        "what does an nn.Module look for its layers?",
    )


def test_height_and_width_alike(submission, generator):
    """Fault: one direction is treated otherwise than the other. Images from 8 pixels on are read, low or narrow."""
    for height, width in ((8, 27), (27, 8), (8, 8)):
        net = submission.DigitNet()
        try:
            logits = net(sheets(generator, 3, 1, height, width))
        except Exception as error:
            raise AssertionError(
                f"images of {height}×{width} cannot be read, though they are not too small: what happens to height "
                f"*and* width on the way? ({error})"
            ) from None
        assert_tensor(logits, shape=(3, 10), hint=f"the logits of three images of {height}×{width}")
        for channels, conv in zip((1, 8), net.convs, strict=False):
            kept = conv(sheets(generator, 2, channels, height, width))
            check(
                isinstance(kept, torch.Tensor) and kept.shape[2:] == (height, width),
                "images become lower or narrower before any pooling: height *and* width should be kept",
            )


def test_drops_in_training_only(submission, generator):
    """Fault: noise in evaluation. Dropout is active in training mode, and in no other."""
    net = submission.DigitNet()
    images = sheets(generator, *EACH_ITS_OWN)

    net.train()
    dropped = not torch.equal(net(images), net(images))
    net.eval()
    steady = torch.equal(net(images), net(images))

    check(dropped, "in training mode two answers are the same: dropout is gone, and it should drop there")
    check(
        steady,
        "after net.eval() the same images get other answers each time: something in it does not know the mode",
    )


def test_no_image_sees_another(submission, generator):
    """Fault: images of one batch get mixed. In evaluation mode the answer for an image depends on that image alone."""
    own, others = False, False
    for _ in range(4):  # dropout that was left on may hide a gradient once, hardly four times
        net = submission.DigitNet()
        net.eval()
        images = sheets(generator, *EACH_ITS_OWN).requires_grad_()
        cotangent = torch.zeros(4, 10)
        cotangent[1] = torch.randn(10, generator=generator)
        logits = net(images)
        assert_tensor(logits, shape=(4, 10), hint="the logits of four images")
        check(logits.requires_grad, "the logits have no gradient")
        (gradient,) = torch.autograd.grad(logits, images, cotangent)
        own |= bool(gradient[1].any())
        others |= bool(gradient[[0, 2, 3]].any())

    check(own, "the answer for an image does not depend on the image")
    check(
        not others,
        "the answer for one image depends on other images of the batch: somewhere their numbers are mixed. Follow the "
        "dimensions, step by step: which one counts the images, which one the channels?",
    )


def test_logits(submission, generator):
    """Fault: a loss that stays high. The network returns logits, which may be any numbers."""
    net = submission.DigitNet()
    net.eval()

    logits = net(sheets(generator, *EACH_ITS_OWN))

    assert_tensor(logits, shape=(4, 10), hint="the logits of four images")
    check(
        not torch.allclose(logits.sum(1), torch.ones(4), atol=1e-5),
        "the ten outputs of each image sum to 1, so however sure the network is, the loss stays above 1.46 and its "
        "gradient is tiny: what does F.cross_entropy do itself?",
    )


def test_old_gradients_are_cleared(submission, generator):
    """Fault: steps that grow too long. A training step follows the gradient of its own batch and of no earlier one."""
    labels = torch.tensor([7, 7, 1, 2])
    moved = []
    for earlier in (0, 3):
        net = with_bias_only(submission, torch.zeros(10))
        net.eval()
        for _ in range(earlier):  # with lr = 0 these leave no trace in the parameters
            submission.train_step(net, sheets(generator, *EACH_ITS_OWN), labels, 0.0)
        submission.train_step(net, sheets(generator, *EACH_ITS_OWN), labels, 0.5)
        moved.append(net.state_dict()["head.bias"])

    check(net.training, "train_step does not put the network into training mode: net.train() comes first")
    check(
        moved[0][7] > 1e-4 and moved[0][0] < -1e-5,
        "a step of train_step does not raise the logit of the right class, or does not lower that of a wrong one",
    )
    hint = "after earlier steps, a step goes further than its own batch asks for: what of those batches is still there?"
    assert_right(moved[1], moved[0], rtol=1e-3, atol=1e-6, hint=hint)


def test_measuring_changes_nothing(submission, generator):
    """Fault: testing trains. What the network has learned is not changed when its accuracy is measured."""
    net = with_bias_only(submission, torch.zeros(10))
    net.train()
    before = net.state_dict()
    statistics = [name for name in before if "running" in name]
    check(statistics, "there is no batch norm left: keep `norms`")

    submission.accuracy(net, sheets(generator, 10, 1, 20, 16), torch.arange(10))

    after = net.state_dict()
    check(
        all(torch.equal(before[name], after[name]) for name in statistics),
        "after it was measured the network is another one: its batch norm has learned from the test images. How does "
        "it know that this is a test?",
    )


def test_strongest_class(submission, generator):
    """Fault: a wrong fraction. accuracy compares the strongest of each image's ten logits with its label."""
    for said in torch.randperm(9, generator=generator)[:2].tolist():
        says = said + 1  # never 0, which is what comes out along the wrong dimension
        net = with_bias_only(submission, torch.nn.functional.one_hot(torch.tensor(says), 10).float())
        for right, count in ((4, 10), (3, 13)):
            labels = torch.zeros(count, dtype=torch.int64)
            labels[torch.randperm(count, generator=generator)[:right]] = says
            check(
                abs(measured(submission, net, sheets(generator, count, 1, 20, 16), labels) - right / count)
                < 1e-4,
                "a network that always says the same class gets another accuracy than the fraction of images with this "
                "label: the strongest of *what* is compared with the label?",
            )
    for _ in range(3):
        net = submission.DigitNet()
        net.eval()
        images = sheets(generator, *EACH_ITS_OWN)
        logits = net(images)
        if not torch.equal(logits, net(images)):
            continue  # the noise is a fault of its own; what comes out cannot be foretold before it is mended
        labels = logits.argmax(dim=1)
        labels[0] = (labels[0] + 1) % 10
        check(
            abs(measured(submission, net, images, labels) - 3 / 4) < 1e-4,
            "three of four images have the class of their largest logit as their label, and accuracy finds another "
            "fraction: each image has a strongest class of its own",
        )


def measured(submission, net, images, labels):
    fraction = submission.accuracy(net, images, labels)
    check(
        isinstance(fraction, int | float | torch.Tensor | np.ndarray)
        and torch.as_tensor(fraction).numel() == 1,
        "accuracy must return one number",
    )
    return float(fraction)
