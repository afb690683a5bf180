# %% [shapes] padding counted once
# says: n + 2p
def out_size(n, k, s=1, p=0, d=1):
    return max(0, (n + p - d * (k - 1) - 1) // s + 1)


# %% [shapes] rounded up
# says: round *down*
def out_size(n, k, s=1, p=0, d=1):
    return max(0, -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1)


# %% [shapes] dilation off by one
# says: d·(k-1)+1
def out_size(n, k, s=1, p=0, d=1):
    return max(0, (n + 2 * p - d * k) // s + 1)


# %% [shapes] dilation ignored
# says: d·(k-1)+1
def out_size(n, k, s=1, p=0, d=1):
    return max(0, (n + 2 * p - k) // s + 1)


# %% [shapes] the first place forgotten
# says: the first 0
def out_size(n, k, s=1, p=0, d=1):
    return max(0, (n + 2 * p - d * (k - 1) - 1) // s)


# %% [shapes] a negative number of outputs
# says: if it does not fit
def out_size(n, k, s=1, p=0, d=1):
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


# %% [shapes] truncated towards zero: one output of a kernel that does not fit
# says: if it does not fit
def out_size(n, k, s=1, p=0, d=1):
    return max(0, int((n + 2 * p - d * (k - 1) - 1) / s) + 1)


# %% [shapes] half the kernel, rounded down, on both sides
# says: the odd one after
def same_pad(k, s=1, d=1):
    return d * (k - 1) // 2, d * (k - 1) // 2


# %% [shapes] the odd zero before
# says: the odd one after
def same_pad(k, s=1, d=1):
    total = max(0, d * (k - 1) + 1 - s)
    return total - total // 2, total // 2


# %% [shapes] the stride does not count for the padding
# says: n / s
def same_pad(k, s=1, d=1):
    total = d * (k - 1)
    return total // 2, total - total // 2


# %% [shapes] padding below zero
# says: Never less than 0
def same_pad(k, s=1, d=1):
    total = d * (k - 1) + 1 - s
    return total // 2, total - total // 2


# %% [shapes] the padding as one number
# says: a pair
def same_pad(k, s=1, d=1):
    return d * (k - 1) // 2


# %% [shapes] field of view without strides
# says: strides *in front of* it
def receptive_field(layers):
    return 1 + sum(d * (k - 1) for k, s, d in layers)


# %% [shapes] field of view with each layer's own stride
# says: not its own
def receptive_field(layers):
    field, step = 1, 1
    for k, s, d in layers:
        step *= s
        field += d * (k - 1) * step
    return field


# %% [shapes] field of view without dilation
# says: d·(k-1)
def receptive_field(layers):
    field, step = 1, 1
    for k, s, d in layers:
        field += (k - 1) * step
        step *= s
    return field


# %% [shapes] field of view from the back
# says: strides *in front of* it
def receptive_field(layers):
    field, step = 1, 1
    for k, s, d in reversed(layers):
        field += d * (k - 1) * step
        step *= s
    return field


# %% [shapes] the prediction is all of them
# says: one pixel further inwards
ANSWERS = {"equal_to_the_middle": 100}


# %% [shapes] the prediction of a single layer
# says: one pixel further inwards
ANSWERS = {"equal_to_the_middle": 64}


# %% [shapes] no prediction
# says: write your prediction there
ANSWERS = {"equal_to_the_middle": None}


# %% [conv2d_naive] the kernel is flipped
# says: flipped
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w.flip(2, 3), b, stride, pad, dilation)


# %% [conv2d_naive] only the first channel
# says: over the channels too
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x[:, :1], w[:, :1], b, stride, pad, dilation)


# %% [conv2d_naive] the same kernel for all output channels
# says: does not follow the formula
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w[:1].expand_as(w), b, stride, pad, dilation)


# %% [conv2d_naive] height and width of the image swapped
# says: its shape is
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x.transpose(2, 3), w, b, stride, pad, dilation)


# %% [conv2d_naive] pairs read width first
# says: rows first
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, b, stride[::-1], pad[::-1], dilation[::-1])


# %% [conv2d_naive] the stride for rows only
# says: steps to the right second
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, b, (stride[0], stride[0]), pad, dilation)


# %% [conv2d_naive] the stride ignored
# says: stride=
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, b, (1, 1), pad, dilation)


# %% [conv2d_naive] padding above and to the left only
# says: on *both* sides
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(F.pad(x, (pad[1], 0, pad[0], 0)), w, b, stride, (0, 0), dilation)


# %% [conv2d_naive] padding for rows only
# says: rows first, columns second
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, b, stride, (pad[0], 0), dilation)


# %% [conv2d_naive] padding repeats the edge
# says: zeros on *both* sides
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), mode="replicate")
    return convolve(x, w, b, stride, (0, 0), dilation)


# %% [conv2d_naive] padding around the channels
# says: around the channels
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0], pad[0], 0))[:, : w.shape[1]]
    return convolve(x, w, b, stride, (0, 0), dilation)


# %% [conv2d_naive] dilation off by one: so many zeros between
# says: zeros between
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    wider = tuple(d + (d > 1) for d in dilation)
    return convolve(x, w, b, stride, pad, wider)


# %% [conv2d_naive] dilation ignored
# says: dilation=
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, b, stride, pad)


# %% [conv2d_naive] no bias
# says: b[o] is added
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, None, stride, pad, dilation)


# %% [conv2d_naive] the bias added once for each product
# says: b[o] is added
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, None if b is None else b * w[0].numel(), stride, pad, dilation)


# %% [conv2d_naive] the mean of the biases at all channels
# says: b[o] is added
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, None if b is None else b.mean().expand_as(b), stride, pad, dilation)


# %% [conv2d_naive] a bias is a must
# says: your code raised
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, None, stride, pad, dilation) + b[:, None, None]


# %% [conv2d_naive] a new tensor without a dtype
# says: float32
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    y = convolve(x, w, b, stride, pad, dilation)
    result = torch.zeros(y.shape)
    result[:] = y
    return result


# %% [conv2d_naive] always float64
# says: dtype
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve(x, w, b, stride, pad, dilation).double()


# %% [conv2d_naive] the image is scaled in place
# says: in place
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    x *= 1.5
    y = convolve(x, w, None, stride, pad, dilation) / 1.5
    return y if b is None else y + b[:, None, None]


# %% [conv2d_naive] the library's
# says: torch.nn.functional.conv2d
def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return F.conv2d(x, w, b, stride, pad, dilation)


# %% [conv2d_naive] the library's, as a module
# says: torch.nn.Conv2d
def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    layer = nn.Conv2d(w.shape[1], w.shape[0], w.shape[2:], stride, pad, dilation)
    layer.weight.data, layer.bias.data = w, b if b is not None else w.new_zeros(len(w))
    return layer(x).detach()


# %% [conv2d_naive] one product with the columns of the library
# says: torch.nn.functional.unfold
def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    y = w.flatten(1) @ F.unfold(x, w.shape[2:], dilation, pad, stride)
    y = y if b is None else y + b[:, None]
    height = out_size(x.shape[2], w.shape[2], stride[0], pad[0], dilation[0])
    return y.unflatten(2, (height, -1))


# %% [conv2d_naive] row by row, by NumPy's correlation
# says: numpy.correlate
def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    image, kernel = F.pad(x, (pad[1], pad[1], pad[0], pad[0])).numpy(), w.numpy()
    y = torch.zeros(
        len(x), len(w), *(out_size(*sizes) for sizes in zip(x.shape[2:], w.shape[2:], stride, pad, dilation)), dtype=x.dtype
    )
    spread = np.zeros((*kernel.shape[:3], dilation[1] * (kernel.shape[3] - 1) + 1), kernel.dtype)
    spread[..., :: dilation[1]] = kernel
    for n, o, i in np.ndindex(*y.shape[:3]):
        for c, u in np.ndindex(*kernel.shape[1:3]):
            row = np.correlate(image[n, c, i * stride[0] + u * dilation[0]], spread[o, c, u], "valid")
            y[n, o, i] += torch.from_numpy(row[:: stride[1]].copy())
    return y if b is None else y + b[:, None, None]


# %% [conv2d_naive] zeros of the right shape
# says: same number everywhere
convolve = conv2d_naive


def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return torch.zeros_like(convolve(x, w, b, stride, pad, dilation))


# %% [im2col] channels last in the rows
# says: row (c·KH + u)·KW + v
columns_of = im2col


def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    columns = columns_of(x, kernel, stride, pad, dilation)
    return columns.unflatten(1, (x.shape[1], -1)).transpose(1, 2).flatten(1, 2)


# %% [im2col] the kernel's columns before its rows
# says: row (c·KH + u)·KW + v
columns_of = im2col


def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    columns = columns_of(x, kernel, stride, pad, dilation)
    return columns.unflatten(1, (x.shape[1], *kernel)).transpose(2, 3).flatten(1, 3)


# %% [im2col] the places column by column
# says: column i·OW + j
columns_of = im2col


def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    columns = columns_of(x, kernel, stride, pad, dilation)
    height = len(range(0, x.shape[2] + 2 * pad[0] - dilation[0] * (kernel[0] - 1), stride[0]))
    return columns.unflatten(2, (height, -1)).transpose(2, 3).flatten(2)


# %% [im2col] patches as rows, not columns
# says: its shape is
columns_of = im2col


def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return columns_of(x, kernel, stride, pad, dilation).transpose(1, 2)


# %% [im2col] pads at the end only
# says: zeros on both sides
columns_of = im2col


def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return columns_of(F.pad(x, (0, 2 * pad[1], 0, 2 * pad[0])), kernel, stride, (0, 0), dilation)


# %% [im2col] col2im assigns where it should add
# says: +=
def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    N, C, H, W = shape
    x = columns.new_zeros(N, C, H + 2 * pad[0], W + 2 * pad[1])
    starts = [n - d * (k - 1) for n, k, d in zip(x.shape[2:], kernel, dilation)]
    outputs = [len(range(0, n, s)) for n, s in zip(starts, stride)]
    patches = columns.reshape(N, C, *kernel, *outputs)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            top, left = u * dilation[0], v * dilation[1]
            x[:, :, top : top + starts[0] : stride[0], left : left + starts[1] : stride[1]] = patches[:, :, u, v]
    return x[:, :, pad[0] : pad[0] + H, pad[1] : pad[1] + W]


# %% [im2col] col2im by an index that repeats: += counts it once
# says: counts a repeated one once
def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    N, C, H, W = shape
    size = H + 2 * pad[0], W + 2 * pad[1]
    pixels = torch.arange(size[0] * size[1], dtype=torch.float64).reshape(1, 1, *size)
    homes = im2col(pixels, kernel, stride, (0, 0), dilation)[0].long().flatten()
    flat = columns.new_zeros(N, C, size[0] * size[1])
    flat[:, :, homes] += columns.reshape(N, C, -1)
    return flat.reshape(N, C, *size)[:, :, pad[0] : pad[0] + H, pad[1] : pad[1] + W]


# %% [im2col] col2im divides by how often a pixel is seen, as if it were an inverse
# says: col2im
home = col2im


def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    seen = home(torch.ones_like(columns), shape, kernel, stride, pad, dilation)
    return home(columns, shape, kernel, stride, pad, dilation) / seen.clamp(min=1)


# %% [im2col] col2im keeps the padding
# says: cut the padding off
home = col2im


def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    larger = *shape[:2], shape[2] + 2 * pad[0], shape[3] + 2 * pad[1]
    return home(columns, larger, kernel, stride, (0, 0), dilation)


# %% [im2col] col2im cuts the padding off at the end only
# says: all four sides
home = col2im


def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    larger = *shape[:2], shape[2] + 2 * pad[0], shape[3] + 2 * pad[1]
    return home(columns, larger, kernel, stride, (0, 0), dilation)[:, :, : shape[2], : shape[3]]


# %% [im2col] col2im by the library's fold
# says: torch.nn.functional.fold
def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return F.fold(columns, shape[2:], kernel, dilation, pad, stride)


# %% [im2col] col2im by autograd
# says: torch.autograd.grad
def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    x = torch.zeros(shape, dtype=columns.dtype, requires_grad=True)
    return torch.autograd.grad(im2col(x, kernel, stride, pad, dilation), x, columns)[0]


# %% [im2col] col2im by autograd, in a helper
# says: Tensor.backward
def back(y, x, g):
    y.backward(g)
    return x.grad


def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    x = torch.zeros(shape, dtype=columns.dtype, requires_grad=True)
    return back(im2col(x, kernel, stride, pad, dilation), x, columns)


# %% [im2col] the library's unfold
# says: torch.nn.functional.unfold
def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return F.unfold(x, kernel, dilation, pad, stride)


# %% [im2col] the library's unfold, as a module
# says: torch.nn.Unfold
def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return nn.Unfold(kernel, dilation, pad, stride)(x)


# %% [im2col] the order of the kernels is not that of the columns
# says: order of the kernel's numbers
def conv2d_fast(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    y = w.transpose(1, 2).flatten(1) @ im2col(x, w.shape[2:], stride, pad, dilation)
    y = y if b is None else y + b[:, None]
    height = out_size(x.shape[2], w.shape[2], stride[0], pad[0], dilation[0])
    return y.unflatten(2, (height, -1))


# %% [im2col] OW × OH for OH × OW
# says: its shape is
def conv2d_fast(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    y = w.flatten(1) @ im2col(x, w.shape[2:], stride, pad, dilation)
    y = y if b is None else y + b[:, None]
    height = out_size(x.shape[2], w.shape[2], stride[0], pad[0], dilation[0])
    return y.unflatten(2, (-1, height))


# %% [im2col] fast without its bias
# says: with a bias
convolve_fast = conv2d_fast


def conv2d_fast(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return convolve_fast(x, w, None, stride, pad, dilation)


# %% [im2col] the slow one under a new name
# says: times as fast as four Python loops
conv2d_fast = conv2d_naive


# %% [im2col] a loop over the places, with a matrix product in each
# says: over the places of the picture
def conv2d_fast(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    down, right = (d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:]))
    tops = range(0, x.shape[2] - down + 1, stride[0])
    lefts = range(0, x.shape[3] - right + 1, stride[1])
    kernels = w.flatten(1).T
    y = x.new_zeros(len(x), len(w), len(tops), len(lefts))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            patch = x[:, :, top : top + down : dilation[0], left : left + right : dilation[1]]
            y[:, :, i, j] = patch.flatten(1) @ kernels
    return y if b is None else y + b[:, None, None]


# %% [im2col] fast because it does nothing
# says: same number everywhere
def conv2d_fast(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    size = [out_size(*sizes) for sizes in zip(x.shape[2:], w.shape[2:], stride, pad, dilation)]
    return x.new_zeros(len(x), len(w), *size)


def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    size = [out_size(*sizes) for sizes in zip(x.shape[2:], kernel, stride, pad, dilation)]
    return x.new_zeros(len(x), x.shape[1] * kernel[0] * kernel[1], size[0] * size[1])


def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return columns.new_zeros(shape)


# %% [im2col] through float32
# says: float32 on the way
columns_of = im2col


def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return columns_of(x.float(), kernel, stride, pad, dilation).to(x.dtype)


# %% [im2col] the columns are in float64, always
# says: dtype
columns_of = im2col


def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return columns_of(x, kernel, stride, pad, dilation).double()


def conv2d_fast(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return conv2d_naive(x, w, b, stride, pad, dilation)


# %% [conv2d_backward] dw not summed over the batch
# says: its shape is
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    dx, _, db = gradients_of(g, x, w, stride, pad, dilation)
    columns = im2col(x, w.shape[2:], stride, pad, dilation)
    return dx, (g.flatten(2) @ columns.mT).reshape(-1, *w.shape), db


# %% [conv2d_backward] dw of the first image only
# says: over *all* images
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    dx, _, db = gradients_of(g, x, w, stride, pad, dilation)
    return dx, gradients_of(g[:1], x[:1], w, stride, pad, dilation)[1], db


# %% [conv2d_backward] means over the batch for sums
# says: off by one common factor
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    dx, dw, db = gradients_of(g, x, w, stride, pad, dilation)
    return dx, dw / len(x), db / len(x)


# %% [conv2d_backward] db for each place
# says: over images, rows and columns
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    dx, dw, _ = gradients_of(g, x, w, stride, pad, dilation)
    return dx, dw, g.sum(0)


# %% [conv2d_backward] dx with the padding left on
# says: cut the padding off
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    _, dw, db = gradients_of(g, x, w, stride, pad, dilation)
    widened = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    return gradients_of(g, widened, w, stride, (0, 0), dilation)[0], dw, db


# %% [conv2d_backward] dx with a flipped kernel
# says: used the kernel as it is
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    _, dw, db = gradients_of(g, x, w, stride, pad, dilation)
    return gradients_of(g, x, w.flip(2, 3), stride, pad, dilation)[0], dw, db


# %% [conv2d_backward] dx assigns where patches overlap
# says: is added
def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    dx, dw = torch.zeros_like(x), torch.zeros_like(w)
    down, right = (d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:]))
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            rows = slice(i * stride[0], i * stride[0] + down, dilation[0])
            columns = slice(j * stride[1], j * stride[1] + right, dilation[1])
            dx[:, :, rows, columns] = torch.einsum("no,ocuv->ncuv", g[:, :, i, j], w)
            dw += torch.einsum("no,ncuv->ocuv", g[:, :, i, j], x[:, :, rows, columns])
    dx = dx[:, :, pad[0] : dx.shape[2] - pad[0], pad[1] : dx.shape[3] - pad[1]]
    return dx, dw, g.sum((0, 2, 3))


# %% [conv2d_backward] the stride forgotten in dw
# says: what did the kernel meet
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    dx, _, db = gradients_of(g, x, w, stride, pad, dilation)
    height, width = (d * (k - 1) + n for d, k, n in zip(dilation, w.shape[2:], g.shape[2:]))
    corner = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))[:, :, :height, :width]
    return dx, gradients_of(g, corner, w, (1, 1), (0, 0), dilation)[1], db


# %% [conv2d_backward] dilation forgotten in dx
# says: dx with stride
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    _, dw, db = gradients_of(g, x, w, stride, pad, dilation)
    dx = F.pad(torch.zeros_like(x), (pad[1], pad[1], pad[0], pad[0]))
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            rows = slice(i * stride[0], i * stride[0] + w.shape[2])
            columns = slice(j * stride[1], j * stride[1] + w.shape[3])
            dx[:, :, rows, columns] += torch.einsum("no,ocuv->ncuv", g[:, :, i, j], w)
    return dx[:, :, pad[0] : dx.shape[2] - pad[0], pad[1] : dx.shape[3] - pad[1]], dw, db


# %% [conv2d_backward] the three in another order
# says: dx
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    dx, dw, db = gradients_of(g, x, w, stride, pad, dilation)
    return dw, db, dx


# %% [conv2d_backward] no gradient for the bias
# says: three tensors
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    return gradients_of(g, x, w, stride, pad, dilation)[:2]


# %% [conv2d_backward] g is scaled in place
# says: in place
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    g *= 2
    return tuple(gradient / 2 for gradient in gradients_of(g, x, w, stride, pad, dilation))


# %% [conv2d_backward] by autograd
# says: torch.autograd.grad
def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    x, w, b = x.clone().requires_grad_(), w.clone().requires_grad_(), w.new_zeros(len(w), requires_grad=True)
    y = conv2d_fast(x, w, b, stride, pad, dilation)
    return torch.autograd.grad(y, (x, w, b), g)


# %% [conv2d_backward] by the library's own gradients
# says: torch.nn.grad
def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    dx = torch.nn.grad.conv2d_input(x.shape, w, g, stride, pad, dilation)
    dw = torch.nn.grad.conv2d_weight(x, w.shape, g, stride, pad, dilation)
    return dx, dw, g.sum((0, 2, 3))


# %% [conv2d_backward] db in float32
# says: dtype
gradients_of = conv2d_backward


def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    dx, dw, db = gradients_of(g, x, w, stride, pad, dilation)
    return dx, dw, torch.zeros(len(w)) + db.float()


# %% [pooling] zero padding in maxpool
# says: -inf, not with 0
def maxpool(x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    return x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).amax((4, 5))


# %% [pooling] padding on one side
# says: on both sides
def maxpool(x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (2 * pad[1], 0, 2 * pad[0], 0), value=-math.inf)
    return x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).amax((4, 5))


# %% [pooling] height and width of the window swapped
# says: rows come first
pool = maxpool


def maxpool(x, kernel, stride, pad=(0, 0)):
    return pool(x, kernel[::-1], stride[::-1], pad[::-1])


# %% [pooling] the stride is the size of the window
# says: start every `stride` pixels
pool = maxpool


def maxpool(x, kernel, stride, pad=(0, 0)):
    return pool(x, kernel, kernel, pad)


# %% [pooling] the maximum over the channels too
# says: each channel for itself
pool = maxpool


def maxpool(x, kernel, stride, pad=(0, 0)):
    y = pool(x, kernel, stride, pad)
    return y.amax(1, keepdim=True).expand_as(y)


# %% [pooling] the last, incomplete window is used too
# says: not used
pool = maxpool


def maxpool(x, kernel, stride, pad=(0, 0)):
    more = [-(n + 2 * p - k) % s for n, p, k, s in zip(x.shape[2:], pad, kernel, stride)]
    return pool(F.pad(x, (0, more[1], 0, more[0]), value=-math.inf), kernel, stride, pad)


# %% [pooling] the full gradient to every tie
# says: it does not go in full to each
def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), value=-math.inf)
    dx = torch.zeros_like(x)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            rows = slice(i * stride[0], i * stride[0] + kernel[0])
            columns = slice(j * stride[1], j * stride[1] + kernel[1])
            window = x[:, :, rows, columns]
            wins = window == window.amax((2, 3), keepdim=True)
            dx[:, :, rows, columns] += wins * g[:, :, i : i + 1, j : j + 1]
    return dx[:, :, pad[0] : dx.shape[2] - pad[0], pad[1] : dx.shape[3] - pad[1]]


# %% [pooling] a tied gradient is lost
# says: shares of tied pixels
route = maxpool_backward


def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    ties = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), value=-math.inf)
    windows = ties.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)
    single = (windows == windows.amax(4, keepdim=True)).sum(4) == 1
    return route(g * single, x, kernel, stride, pad)


# %% [pooling] gradients of overlapping windows overwrite each other
# says: do not assign
def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), value=-math.inf)
    dx = torch.zeros_like(x)
    for n in range(g.shape[0]):
        for c in range(g.shape[1]):
            for i in range(g.shape[2]):
                for j in range(g.shape[3]):
                    top, left = i * stride[0], j * stride[1]
                    window = x[n, c, top : top + kernel[0], left : left + kernel[1]]
                    row, column = divmod(window.argmax().item(), kernel[1])
                    dx[n, c, top + row, left + column] = g[n, c, i, j]
    return dx[:, :, pad[0] : dx.shape[2] - pad[0], pad[1] : dx.shape[3] - pad[1]]


# %% [pooling] the argmax of a window taken for a place in the image
# says: its place counts in the image
def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), value=-math.inf)
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)
    dx = torch.zeros_like(x).flatten(2)
    dx.scatter_add_(2, windows.argmax(4).flatten(2), g.flatten(2))
    dx = dx.reshape(x.shape)
    return dx[:, :, pad[0] : dx.shape[2] - pad[0], pad[1] : dx.shape[3] - pad[1]]


# %% [pooling] the argmax has the wrong shape: divided by the height of the window
# says: look for the winner in each window
def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1] + 9, pad[0], pad[0] + 9), value=-math.inf)
    dx = torch.zeros_like(x)
    for n in range(g.shape[0]):
        for c in range(g.shape[1]):
            for i in range(g.shape[2]):
                for j in range(g.shape[3]):
                    top, left = i * stride[0], j * stride[1]
                    window = x[n, c, top : top + kernel[0], left : left + kernel[1]]
                    row, column = divmod(window.argmax().item(), kernel[0])
                    dx[n, c, top + row, left + column] += g[n, c, i, j]
    return dx[:, :, pad[0] : dx.shape[2] - pad[0] - 9, pad[1] : dx.shape[3] - pad[1] - 9]


# %% [pooling] the winner of the first image taken for all
# says: look for the winner in each window
route = maxpool_backward


def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    return route(g, x[:1].expand_as(x), kernel, stride, pad)


# %% [pooling] the gradient spread over the window, as for a mean
# says: look for the winner in each window
def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    dx = torch.zeros_like(F.pad(x, (pad[1], pad[1], pad[0], pad[0])))
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            rows = slice(i * stride[0], i * stride[0] + kernel[0])
            columns = slice(j * stride[1], j * stride[1] + kernel[1])
            dx[:, :, rows, columns] += g[:, :, i : i + 1, j : j + 1] / (kernel[0] * kernel[1])
    return dx[:, :, pad[0] : dx.shape[2] - pad[0], pad[1] : dx.shape[3] - pad[1]]


# %% [pooling] the padding is left on the gradient
# says: cut the padding off
route = maxpool_backward


def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), value=-math.inf)
    return route(g, x, kernel, stride)


# %% [pooling] zero padding in the backward pass
# says: padded with -inf
route = maxpool_backward


def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    dx = route(g, F.pad(x, (pad[1], pad[1], pad[0], pad[0])), kernel, stride)
    return dx[:, :, pad[0] : dx.shape[2] - pad[0], pad[1] : dx.shape[3] - pad[1]]


# %% [pooling] padding counts in the mean
# says: number of *real* pixels
def avgpool(x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    return x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).mean((4, 5))


# %% [pooling] sums for means
# says: divided by the number of pixels
def avgpool(x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    return x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).sum((4, 5))


# %% [pooling] divided by the number of zeros-free pixels: all of them negative, so fine, but by rows only
# says: divided by the number of pixels
def avgpool(x, kernel, stride, pad=(0, 0)):
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    return x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).sum((4, 5)) / kernel[0] ** 2


# %% [pooling] the mean through float32
# says: float32 on the way
mean = avgpool


def avgpool(x, kernel, stride, pad=(0, 0)):
    return mean(x.float(), kernel, stride, pad).to(x.dtype)


# %% [pooling] float64 whatever goes in
# says: dtype
pool = maxpool


def maxpool(x, kernel, stride, pad=(0, 0)):
    return pool(x, kernel, stride, pad).double()


# %% [pooling] the library's
# says: torch.nn.functional.max_pool2d
def maxpool(x, kernel, stride, pad=(0, 0)):
    return F.max_pool2d(x, kernel, stride, pad)


# %% [pooling] the library's gradient
# says: torch.autograd
def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(maxpool(x, kernel, stride, pad), x, g)[0]


# %% [kernels] the bell is not divided by its sum
# says: its sum is not 1
def gaussian_kernel(k, sigma):
    u = torch.arange(k, dtype=torch.float64) - (k - 1) / 2
    bell = torch.exp(-(u**2) / (2 * sigma**2))
    return torch.outer(bell, bell) / (2 * math.pi * sigma**2)


# %% [kernels] the 2 under sigma is missing
# says: 2·sigma²
bell_of = gaussian_kernel


def gaussian_kernel(k, sigma):
    return bell_of(k, sigma / math.sqrt(2))


# %% [kernels] sigma is not squared
# says: 2·sigma²
bell_of = gaussian_kernel


def gaussian_kernel(k, sigma):
    return bell_of(k, math.sqrt(sigma))


# %% [kernels] the centre of an even kernel on a pixel
# says: the bell's centre is not the kernel's
def gaussian_kernel(k, sigma):
    u = torch.arange(k, dtype=torch.float64) - k // 2
    bell = torch.exp(-(u**2) / (2 * sigma**2))
    return torch.outer(bell, bell) / bell.sum() ** 2


# %% [kernels] a box for a bell
# says: exp(-(u² + v²) / (2·sigma²))
def gaussian_kernel(k, sigma):
    return torch.full((k, k), 1 / k**2, dtype=torch.float64)


# %% [kernels] the bell in float32
# says: dtype
bell_of = gaussian_kernel


def gaussian_kernel(k, sigma):
    return bell_of(k, sigma).float()


# %% [kernels] Sobel without the divisor
# says: divided by 8
slopes = sobel_kernels


def sobel_kernels():
    return tuple(8 * kernel for kernel in slopes())


# %% [kernels] Sobel flipped: positive when it grows darker
# says: wrong sign
slopes = sobel_kernels


def sobel_kernels():
    return tuple(-kernel for kernel in slopes())


# %% [kernels] right and down swapped
# says: in its direction
slopes = sobel_kernels


def sobel_kernels():
    return slopes()[::-1]


# %% [kernels] Prewitt: no row counts twice
# says: counts twice
def sobel_kernels():
    right = torch.tensor([[-1.0, 0, 1]] * 3, dtype=torch.float64) / 6
    return right, right.T


# %% [kernels] sharpen by the sum of the neighbours
# says: minus amount / 4
def sharpen_kernel(amount):
    kernel = torch.zeros(3, 3, dtype=torch.float64)
    kernel[1, :] = kernel[:, 1] = -amount
    kernel[1, 1] = 1 + 4 * amount
    return kernel


# %% [kernels] sharpen that darkens: the centre forgets its 1
# says: A constant picture stays as it is
sharper = sharpen_kernel


def sharpen_kernel(amount):
    kernel = sharper(amount)
    kernel[1, 1] = amount
    return kernel


# %% [kernels] sharpen against all eight neighbours
# says: the four neighbours
def sharpen_kernel(amount):
    kernel = torch.full((3, 3), -amount / 8, dtype=torch.float64)
    kernel[1, 1] = 1 + amount
    return kernel


# %% [kernels] sharpen does nothing
# says: 1 + amount in the middle
def sharpen_kernel(amount):
    kernel = torch.zeros(3, 3, dtype=torch.float64)
    kernel[1, 1] = 1.0
    return kernel


# %% [kernels] the cell counts itself
# says: not the cell itself
def life_step(board):
    around = F.pad(board[None, None].float(), (1, 1, 1, 1), mode="circular")
    count = F.conv2d(around, torch.ones(1, 1, 3, 3))[0, 0]
    return ((count == 3) | ((count == 2) & (board == 1))).to(board.dtype)


# %% [kernels] four neighbours instead of eight
# says: eight neighbours
def life_step(board):
    count = sum(board.float().roll(shift, dim) for shift in (-1, 1) for dim in (0, 1))
    return ((count == 3) | ((count == 2) & (board == 1))).to(board.dtype)


# %% [kernels] two neighbours bring the dead to life
# says: a dead one with three
def life_step(board):
    kernel = torch.ones(1, 1, 3, 3)
    kernel[0, 0, 1, 1] = 0
    count = F.conv2d(F.pad(board[None, None].float(), (1, 1, 1, 1), mode="circular"), kernel)[0, 0]
    return ((count == 3) | (count == 2)).to(board.dtype)


# %% [kernels] a living cell needs three neighbours
# says: two or three living neighbours
def life_step(board):
    kernel = torch.ones(1, 1, 3, 3)
    kernel[0, 0, 1, 1] = 0
    count = F.conv2d(F.pad(board[None, None].float(), (1, 1, 1, 1), mode="circular"), kernel)[0, 0]
    return (count == 3).to(board.dtype)


# %% [kernels] beyond the edge all are dead
# says: circular
def life_step(board):
    kernel = torch.ones(1, 1, 3, 3)
    kernel[0, 0, 1, 1] = 0.5
    count = F.conv2d(board[None, None].float(), kernel, padding=1)[0, 0]
    return ((count > 2) & (count < 4)).to(board.dtype)


# %% [kernels] around the edge in one direction only
# says: left of the first column the last one
def life_step(board):
    kernel = torch.ones(1, 1, 3, 3)
    kernel[0, 0, 1, 1] = 0.5
    around = F.pad(board[None, None].float(), (0, 0, 1, 1), mode="circular")
    count = F.conv2d(around, kernel, padding=(0, 1))[0, 0]
    return ((count > 2) & (count < 4)).to(board.dtype)


# %% [kernels] a board of floats, whatever came in
# says: the same dtype comes back
generation = life_step


def life_step(board):
    return generation(board).float()


# %% [kernels] the board is changed in place
# says: in place
generation = life_step


def life_step(board):
    board.copy_(generation(board))
    return board


# %% [kernels] nobody is ever born or dies
# says: the glider went elsewhere
def life_step(board):
    return board.clone()


# %% [fix_this_cnn] the layers in a plain list
# says: does not know all convolutions
class DigitNet(DigitNet):
    def __init__(self):
        super().__init__()
        convs = list(self.convs)
        del self.convs
        self.convs = convs


# %% [fix_this_cnn] padding for the height only
# says: height *and* width
class DigitNet(DigitNet):
    def __init__(self):
        super().__init__()
        for conv in self.convs:
            conv.padding = (1, 0)


# %% [fix_this_cnn] dropout in evaluation mode
# says: does not know the mode
class DigitNet(DigitNet):
    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = F.max_pool2d(torch.relu(norm(conv(x))), 2)
        return self.head(F.dropout(x.flatten(2).amax(2), 0.5))


# %% [fix_this_cnn] dropout thrown out rather than mended
# says: dropout is gone
class DigitNet(DigitNet):
    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = F.max_pool2d(torch.relu(norm(conv(x))), 2)
        return self.head(x.flatten(2).amax(2))


# %% [fix_this_cnn] images mixed by reshape
# says: their numbers are mixed
class DigitNet(DigitNet):
    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = F.max_pool2d(torch.relu(norm(conv(x))), 2)
        x = x.reshape(x.shape[1], x.shape[0], -1).amax(2).T
        return self.head(F.dropout(x, 0.5, self.training))


# %% [fix_this_cnn] softmax before the cross-entropy
# says: what does F.cross_entropy do itself
class DigitNet(DigitNet):
    def forward(self, x):
        return torch.softmax(super().forward(x), dim=1)


# %% [fix_this_cnn] gradients pile up
# says: what of those batches is still there
def train_step(net, images, labels, lr):
    net.train()
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= lr * parameter.grad
    return loss.item()


# %% [fix_this_cnn] no step at all
# says: does not raise the logit of the right class
def train_step(net, images, labels, lr):
    net.train()
    return F.cross_entropy(net(images), labels).item()


# %% [fix_this_cnn] uphill
# says: does not raise the logit of the right class
def train_step(net, images, labels, lr):
    net.train().zero_grad()
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += lr * parameter.grad
    return loss.item()


# %% [fix_this_cnn] eval() is missing
# says: learned from the test images
def accuracy(net, images, labels):
    with torch.no_grad():
        return (net(images).argmax(dim=1) == labels).double().mean().item()


# %% [fix_this_cnn] the strongest image instead of the strongest class
# says: the strongest of *what*
def accuracy(net, images, labels):
    with torch.no_grad():
        predicted = net.eval()(images[:10]).argmax(dim=0)
    return (predicted[: len(labels)] == labels[:10]).double().mean().item()


# %% [fix_this_cnn] the number of hits, not their fraction
# says: the fraction of images
def accuracy(net, images, labels):
    with torch.no_grad():
        return (net.eval()(images).argmax(dim=1) == labels).sum().item()


# %% [wandering_digits] a global mean, with the weights of a maximum
# says: 80%, 88% and 92% earn points
def build():
    net = make_net()
    with np.load("wandering_digits.npz", allow_pickle=False) as file:
        net.load_state_dict({name: torch.from_numpy(array) for name, array in file.items()})
    net[5].forward = lambda x: x.mean((2, 3))
    return net


# %% [wandering_digits] untrained
# says: are the weights not loaded
def build():
    return make_net()


# %% [wandering_digits] hard-wired for 16×16
# says: your code raised
def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10))


# %% [wandering_digits] every sheet cut to 16×16
# says: depends on the size of the sheet
trained = build


class Cut(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x[:, :, :16, :16])


def build():
    return Cut(trained())


# %% [wandering_digits] every sheet shrunk to 16×16
# says: depends on the size of the sheet
trained = build


class Shrunk(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(F.interpolate(x, (16, 16), mode="bilinear"))


def build():
    return Shrunk(trained())


# %% [wandering_digits] more numbers than allowed
# says: more than 10,000
trained = build


def build():
    net = trained()
    net.register_parameter("more", nn.Parameter(torch.zeros(64, 64)))
    return net


# %% [wandering_digits] more numbers than allowed, in buffers that are not saved
# says: more than 10,000
trained = build


def build():
    net = trained()
    net.register_buffer("more", torch.zeros(64, 64), persistent=False)
    return net


# %% [wandering_digits] all digits learned by heart: the nearest one, at the place with the most ink
# says: what it knows must be in net.parameters()
class Nearest(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        with np.load("digits.npz") as file:
            images, labels = (torch.tensor(file[name]) for name in ("images", "labels"))
        images, labels = images.float() / 16, labels.long()
        self.known = [images, labels]

    def forward(self, x):
        patches = F.unfold(x, 8)
        place = patches.sum(1).argmax(1)
        patch = patches[torch.arange(len(x)), :, place]
        images, labels = self.known
        return F.one_hot(labels[torch.cdist(patch, images).argmin(1)], 10).float()


def build():
    return Nearest()


# %% [wandering_digits] the trained weights hidden from parameters()
# says: what it knows must be in net.parameters()
trained = build


class Hidden(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.nets = [net]
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.nets[0](x)


def build():
    return Hidden(trained())


# %% [wandering_digits] no file was read, because it is called otherwise
# says: your code raised
def build():
    net = make_net()
    with np.load("weights.npz", allow_pickle=False) as file:
        net.load_state_dict({name: torch.from_numpy(array) for name, array in file.items()})
    return net


# %% [wandering_digits] classes rather than logits
# says: its shape is
trained = build


class Classes(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x).argmax(1)


def build():
    return Classes(trained())
