"""Kernels written down by hand: what they do to pictures, and the Game of Life."""

import pytest
import torch
import torch.nn.functional as F
from oracles import ask, assert_right, tensor

from grading.judge import assert_tensor, weight

RULES = "a living cell with two or three living neighbours lives on, a dead one with three comes alive, all others die"


def uniform(rng, low, high):
    return float(rng.uniform(low, high))


def bell(k, sigma):
    u = torch.arange(k, dtype=torch.float64) - (k - 1) / 2
    values = torch.exp(-(u[:, None] ** 2 + u[None, :] ** 2) / (2 * sigma**2))
    return values / values.sum()


@weight(2)
@pytest.mark.parametrize("sizes", [(3, 5, 7), (2, 4)], ids=["odd", "even"])
def test_bell(submission, rng, sizes):
    """gaussian_kernel is a bell around the centre of the kernel, and its sum is 1."""
    for k in sizes:
        sigma = uniform(rng, 0.6, 2.5)
        kernel = submission.gaussian_kernel(k, sigma)
        hint = f"gaussian_kernel({k}, {sigma:.2f}): exp(-(u² + v²) / (2·sigma²)), divided by the sum of all"
        value = assert_tensor(kernel, shape=(k, k), dtype=torch.float64, hint=hint)
        if abs(value.sum().item() - 1) > 1e-9:
            hint = f"its sum is not 1. {hint}"
        elif not torch.allclose(value, value.flip(0, 1)):
            hint = f"the bell's centre is not the kernel's, from which it is (k-1)/2 to the edge. {hint}"
        assert_right(kernel, bell(k, sigma), hint=hint)


@weight(3)
def test_slopes(submission, rng):
    """On a plane, `right` measures the slope to the right and `down` the slope downwards, in brightness per pixel."""
    kernels = list(submission.sobel_kernels())
    assert len(kernels) == 2, "return a pair (right, down)"
    rows, columns = (t.double() for t in torch.meshgrid(torch.arange(5), torch.arange(6), indexing="ij"))
    a, b, c = uniform(rng, 1, 3), uniform(rng, -3, -1), uniform(rng, -5, 5)
    plane = a * columns + b * rows + c

    for kernel, slope, name in zip(kernels, (a, b), ("right", "down"), strict=True):
        value = assert_tensor(kernel, shape=(3, 3), dtype=torch.float64, hint=f"the kernel `{name}`")
        response = F.conv2d(plane[None, None], value.detach()[None, None])[0, 0]
        hint = (
            f"`{name}` on a plane: positive when it grows brighter in its direction, 0 across, divided by 8"
        )
        assert_right(response, torch.full_like(response, slope), hint=hint)


@weight(1)
def test_smoothed_across(submission):
    """Both Sobel kernels take a difference in their direction and smooth by (1, 2, 1) across it."""
    right, down = submission.sobel_kernels()

    expected = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64) / 8
    assert_right(right, expected, hint="`right`: (-1, 0, 1) in each row, and the middle row counts twice")
    assert_right(down, expected.T, hint="`down`: the transpose of `right`")


@weight(2)
def test_difference_from_the_surroundings(submission, rng, generator):
    """sharpen_kernel adds amount times what makes a pixel different from the mean of its four neighbours."""
    image = tensor(generator, 7, 9)
    pixel = image[1:-1, 1:-1]
    around = (image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]) / 4

    for amount in (uniform(rng, 0.2, 0.8), uniform(rng, 1.5, 3), 0.0):
        kernel = submission.sharpen_kernel(amount)
        hint = (
            f"amount={amount:.2f}: 1 + amount in the middle, minus amount / 4 for each of the four neighbours. A "
            "constant picture stays as it is, and with amount 0 every picture does"
        )
        value = assert_tensor(kernel, shape=(3, 3), dtype=torch.float64, hint=hint)
        response = F.conv2d(image[None, None], value.detach()[None, None])[0, 0]
        assert_right(response, pixel + amount * (pixel - around), hint=hint)


def next_generation(board):
    """By counting, cell by cell, on a board without edges."""
    neighbours = sum(board.roll((i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
    return ((neighbours == 3) | ((neighbours == 2) & (board == 1))).to(board.dtype)


def random_board(generator, height, width):
    return torch.randint(0, 2, (height, width), generator=generator)


@weight(2)
def test_glider(submission, generator):
    """A glider moves by one row and one column in four generations."""
    row, column = torch.randint(0, 4, (2,), generator=generator).tolist()
    board = torch.zeros(10, 11, dtype=torch.int64)
    for i, j in ((0, 1), (1, 2), (2, 0), (2, 1), (2, 2)):
        board[row + i + 1, column + j + 1] = 1

    after = board
    for _ in range(4):
        after = ask(submission, "life_step", after)
        assert_tensor(after, shape=board.shape, dtype=board.dtype, hint="the next generation of a board")

    assert_right(after, board.roll((1, 1), (0, 1)), hint=f"the glider went elsewhere or is gone: {RULES}")


@weight(3)
def test_inside_the_board(submission, generator):
    """life_step follows the rules, on cells far from the edge of the board."""
    board = F.pad(random_board(generator, 12, 17), (2, 2, 2, 2))

    after = ask(submission, "life_step", board)

    hint = f"the eight neighbours are counted, not the cell itself: {RULES}"
    assert_right(after, next_generation(board), hint=hint)


@weight(2)
def test_no_edge(submission, generator):
    """What lies at one edge of the board neighbours what lies at the opposite one."""
    for height, width in ((5, 8), (3, 4), (7, 3)):
        board = random_board(generator, height, width)
        after = ask(submission, "life_step", board)
        hint = (
            f"on a board of {height}×{width}: above the first row is the last one, left of the first column the last "
            'one; F.pad knows mode="circular"'
        )
        assert_right(after, next_generation(board), hint=hint)


@weight(1)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32, torch.float64], ids=str)
def test_boards_of_any_dtype(submission, generator, dtype):
    """A board of any dtype gives a board of the same dtype."""
    board = F.pad(random_board(generator, 6, 9), (1, 1, 1, 1)).to(dtype)

    after = ask(submission, "life_step", board)

    assert_right(
        after,
        next_generation(board.long()).to(dtype),
        hint=f"for a board of {dtype}: the same dtype comes back",
    )
