# %% [bpe] pairs counted in a dict, replaced by index, encoded by the lowest rank that is left
def train_bpe(text, n_merges):
    ids = [int(b) for b in text.encode("utf-8")]
    merges = []
    for new in range(256, 256 + n_merges):
        counts = {}
        for i in range(len(ids) - 1):
            pair = (ids[i], ids[i + 1])
            counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        most = max(counts.values())
        best = sorted(pair for pair, count in counts.items() if count == most)[-1]
        merges.append(best)
        ids = swap(ids, best, new)
    return merges


def swap(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and ids[i] == pair[0] and ids[i + 1] == pair[1]:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def encode(text, merges):
    rank = {tuple(pair): i for i, pair in enumerate(merges)}
    ids = list(bytearray(text, "utf-8"))
    while True:
        known = [rank[pair] for pair in zip(ids, ids[1:]) if pair in rank]
        if not known:
            return ids
        ids = swap(ids, merges[min(known)], 256 + min(known))


def decode(ids, merges):
    def spell(token):
        if token < 256:
            return bytes((token,))
        left, right = merges[token - 256]
        return spell(left) + spell(right)

    data = bytearray()
    for token in ids:
        data += spell(token)
    return str(data, "utf-8", "replace")


# %% [bpe] by NumPy, merges as lists
import numpy as np


def train_bpe(text, n_merges):
    ids, merges = np.frombuffer(text.encode(), np.uint8).astype(np.int64), []
    for number in range(n_merges):
        if len(ids) < 2:
            break
        pairs, counts = np.unique(np.stack([ids[:-1], ids[1:]], 1), axis=0, return_counts=True)
        best = pairs[len(counts) - 1 - counts[::-1].argmax()]
        merges.append([int(best[0]), int(best[1])])
        ids = np.array(swapped(ids, merges[-1], 256 + number), np.int64)
    return merges


def swapped(ids, pair, new):
    out, ids = [], [int(i) for i in ids]
    while ids:
        if ids[:2] == list(pair):
            out.append(new)
            ids = ids[2:]
        else:
            out.append(ids.pop(0))
    return out


def encode(text, merges):
    ids = np.frombuffer(text.encode(), np.uint8)
    for number in range(len(merges)):
        ids = swapped(ids, merges[number], number + 256)
    return [int(i) for i in ids]


# %% [ngram] a table of tables, and a class with __call__
class Table:
    def __init__(self, text, n, k):
        self.n, self.k, self.alphabet = n, k, {*text}
        self.following = {}
        history = ["\n"] * (n - 1)
        for char in text:
            here = self.following.setdefault("".join(history), {})
            here[char] = here.get(char, 0) + 1
            history = (history + [char])[1:] if n > 1 else []

    def __call__(self, context, char):
        if self.n == 1:
            context = ""
        else:
            context = context.rjust(self.n - 1, "\n")[-(self.n - 1) :]
        here = self.following.get(context, {})
        return (here.get(char, 0) + self.k) / (sum(here.values()) + self.k * (1 + len(self.alphabet)))


def ngram_lm(text, n, k):
    return Table(text, n, k)


def bits_per_char(lm, text, n):
    total = 0.0
    for i in range(len(text)):
        total += math.log(lm(text[:i] if i < n else text[i - n : i], text[i])) / math.log(2)
    return -total / len(text)


# %% [ngram] all of the text before as context
def bits_per_char(lm, text, n):
    return sum(-math.log2(lm(text[:i], char)) for i, char in enumerate(text)) / len(text)


# %% [ngram] logs by torch, context filled up by the caller, keywords
def bits_per_char(lm, text, n):
    padded = "\n" * (n - 1) + text
    p = [lm(context=padded[i : i + n - 1], char=char) for i, char in enumerate(text)]
    return torch.tensor(p, dtype=torch.float64).log2().neg().mean().item()


def ngram_lm(text, n, k):
    padded = "\n" * (n - 1) + text
    counts = Counter(zip(*(padded[i:] for i in range(n))))
    totals = Counter()
    for gram, count in counts.items():
        totals[gram[:-1]] += count
    size = len(Counter(text)) + 1

    def lm(context, char):
        last = tuple(("\n" * n + context)[len(context) + 1 :])
        return (counts[(*last, char)] + k) / (totals[last] + size * k)

    return lm


# %% [batching] loops
def pad_batch(sequences, pad=0):
    longest = max(len(s) for s in sequences)
    ids = torch.tensor([s + [pad] * (longest - len(s)) for s in sequences])
    mask = torch.tensor([[i < len(s) for i in range(longest)] for s in sequences])
    return [ids, mask]


def masked_mean(x, mask):
    rows = [x[i][mask[i]].mean(0) if mask[i].any() else x.new_zeros(x.shape[2]) for i in range(len(x))]
    return torch.stack(rows)


def masked_ce(logits, targets, mask):
    total, count = 0, 0
    for i in range(len(logits)):
        for t in range(logits.shape[1]):
            if mask[i, t]:
                total = total + logits[i, t].logsumexp(0) - logits[i, t, targets[i, t]]
                count += 1
    return total / count


# %% [batching] copies that grow, tokens put in one by one
def pad_batch(sequences, pad=0):
    rows = [list(sequence) for sequence in sequences]
    longest = max(map(len, rows))
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for row, real in zip(rows, mask):
        real[: len(row)] = True
        while len(row) < longest:
            row.append(pad)
    return torch.tensor(rows), mask


# %% [batching] masked_fill, einsum and ignore_index
def masked_mean(x, mask):
    x = x.masked_fill(mask.logical_not().unsqueeze(2), 0.0)
    return torch.einsum("btd,bt->bd", x, mask.to(x.dtype)) / mask.sum(1).clamp_min(1).unsqueeze(1)


def masked_ce(logits, targets, mask):
    logits = torch.where(mask[..., None], logits, torch.zeros_like(logits))
    targets = torch.where(mask, targets, -1)
    return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-1)


# %% [recurrent] weights side by side, F.linear, split, and another form of the gate
def rnn_forward(x, h, w_ih, w_hh, b):
    both, states = torch.cat([w_ih, w_hh], 1), x.new_empty(0, *h.shape)
    for t in range(x.shape[1]):
        h = F.linear(torch.cat([x[:, t], h], -1), both, b).tanh()
        states = torch.cat([states, h[None]])
    return [states.transpose(0, 1), states[-1]]


def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    n_hidden = h.size(1)
    a, c = F.linear(x, w_ih, b_ih), torch.addmm(b_hh, h, w_hh.t())
    gates = torch.sigmoid(a[:, : 2 * n_hidden] + c[:, : 2 * n_hidden])
    r, z = gates.split(n_hidden, 1)
    new = torch.tanh(a[:, 2 * n_hidden :] + r * c[:, 2 * n_hidden :])
    return torch.lerp(new, h, z)


def detach_state(state):
    if isinstance(state, list):
        return [detach_state(part) for part in state]
    if isinstance(state, tuple):
        return tuple(map(detach_state, state))
    return state.data.clone()


# %% [recurrent] einsum, the input's part for all steps at once, states written into a tensor
def rnn_forward(x, h, w_ih, w_hh, b):
    inputs = torch.einsum("bti,hi->bth", x, w_ih) + b
    states = []
    for t in range(inputs.size(1)):
        h = (inputs[:, t, :] + torch.einsum("bh,gh->bg", h, w_hh)).tanh()
        states += [h]
    states = torch.stack(states).permute(1, 0, 2)
    return states, states[:, -1]


def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    def part(i, v, w, b):
        size = h.shape[1]
        return v @ w[i * size : (i + 1) * size].T + b[i * size : (i + 1) * size]

    r, z = (torch.sigmoid(part(i, x, w_ih, b_ih) + part(i, h, w_hh, b_hh)) for i in (0, 1))
    n = torch.tanh(part(2, x, w_ih, b_ih) + r * part(2, h, w_hh, b_hh))
    return n + z * (h - n)


# %% [attention] einsum, -inf, and rows without a place to look set to 0
def attention(q, k, v, mask=None):
    scores = torch.einsum("...td,...sd->...ts", q, k) * q.size(-1) ** -0.5
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    mask = mask.expand(scores.shape)
    nowhere = ~mask.any(-1, keepdim=True)
    scores = torch.where(mask, scores, -torch.inf).masked_fill(nowhere, 0.0)
    weights = torch.softmax(scores, -1).masked_fill(nowhere, 0.0)
    return torch.einsum("...ts,...se->...te", weights, v), weights


def causal_mask(length):
    return ~torch.ones(length, length, dtype=torch.bool).triu(1)


# %% [attention] an added bias of -1e9, exp by hand; heads one after the other
def attention(q, k, v, mask=None):
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + (1 - mask.to(scores.dtype)) * -1e9
    e = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = e / e.sum(-1, keepdim=True)
    return [weights.matmul(v), weights]


class MultiHead(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.w_in = torch.nn.Parameter(torch.empty(3 * width, width))
        self.w_out = torch.nn.Parameter(torch.empty(width, width))
        torch.nn.init.xavier_uniform_(self.w_in)
        torch.nn.init.xavier_uniform_(self.w_out)

    def forward(self, x, mask=None):
        width = x.shape[-1]
        d = width // self.heads
        outputs = []
        if mask is not None:
            mask = mask.expand(len(x), self.heads, x.shape[1], x.shape[1])
        for i in range(self.heads):
            q, k, v = (x @ self.w_in[j * width + i * d : j * width + (i + 1) * d].T for j in range(3))
            outputs.append(attention(q, k, v, None if mask is None else mask[:, i])[0])
        return torch.cat(outputs, -1) @ self.w_out.T


# %% [attention] NaN mended behind a masked_fill, which lets none of it into the gradient
def attention(q, k, v, mask=None):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask == False, float("-inf"))
    weights = torch.nan_to_num(scores.softmax(-1), 0.0)
    return weights @ v, weights


# %% [attention] fused: one einsum to heads, bmm within
class MultiHead(torch.nn.Module):
    def __init__(self, width, heads, dropout=0.0):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.w_in = torch.nn.Parameter(torch.randn(3 * width, width) * 0.02)
        self.w_out = torch.nn.Parameter(torch.randn(width, width) * 0.02)

    def forward(self, x, mask=None):
        B, T, W = x.shape
        parts = self.w_in.view(3, self.heads, self.size, W)
        q, k, v = torch.einsum("btw,phdw->pbhtd", x, parts)
        if mask is not None:
            mask = mask.broadcast_to(B, self.heads, T, T).reshape(-1, T, T)
        y = attention(q.reshape(-1, T, self.size), k.reshape(-1, T, self.size), v.reshape(-1, T, self.size), mask)[0]
        y = y.view(B, self.heads, T, self.size).permute(0, 2, 1, 3).reshape(B, T, W)
        return F.linear(y, self.w_out)


# %% [sampling] sorting, thresholds, and the inverse of the distribution function by NumPy
import numpy as np


def tempered(logits, temperature):
    if temperature == 0:
        return (logits == logits.max(-1, keepdim=True).values).type_as(logits)
    scaled = (logits - logits.amax(-1, keepdim=True)) / temperature
    e = scaled.exp()
    return e / e.sum(-1, keepdim=True)


def keep_top_k(logits, k):
    result = torch.full_like(logits, -torch.inf)
    best = logits.argsort(dim=-1, descending=True)[..., :k]
    return result.scatter(-1, best, logits.gather(-1, best))


def keep_top_p(logits, p):
    if p == 1:
        return logits
    probabilities, order = logits.softmax(-1).sort(-1, descending=True)
    gone = probabilities.cumsum(-1) >= p
    gone = torch.cat([torch.zeros_like(gone[..., :1]), gone[..., :-1]], -1)
    return logits.masked_fill(torch.zeros_like(gone).scatter(-1, order, gone), -torch.inf)


GENERATOR = np.random.default_rng()


def draw(probabilities, n):
    steps = np.cumsum(probabilities.double().numpy())
    return torch.from_numpy(np.searchsorted(steps, GENERATOR.random(n) * steps[-1], side="right"))


# %% [sampling] row by row, and Gumbel noise
def keep_top_k(logits, k):
    if k >= logits.shape[-1]:
        return logits.clone()
    limit = logits.kthvalue(logits.shape[-1] - k, -1, keepdim=True).values
    return torch.where(logits > limit, logits, -math.inf)


def keep_top_p(logits, p):
    rows = logits.reshape(-1, logits.shape[-1]).clone()
    for row in rows:
        probabilities, total = row.softmax(0), 0.0
        for token in row.argsort(descending=True).tolist():
            if p < 1 and total >= p:
                row[token] = -math.inf
            total += probabilities[token].item()
    return rows.reshape(logits.shape)


def draw(probabilities, n):
    gumbel = -torch.log(-torch.log(torch.rand(n, probabilities.numel(), dtype=torch.float64)))
    return (probabilities.double().log() + gumbel).max(1)[1]


# %% [sampling] the sum of the tokens that are more probable, without sorting
def keep_top_p(logits, p):
    if p >= 1:
        return logits.clone()
    probabilities = logits.softmax(-1)
    better = logits[..., None, :] > logits[..., :, None]
    before = (probabilities[..., None, :] * better).sum(-1)
    return logits.where(before < p, -math.inf)


# %% [sampling] a loop over Python's own random numbers
def draw(probabilities, n):
    tokens = []
    weights = probabilities.tolist()
    for _ in range(n):
        left = random.random() * sum(weights)
        for token, weight in enumerate(weights):
            if weight > 0:
                last = token
            left -= weight
            if left < 0:
                break
        tokens.append(last)
    return torch.tensor(tokens)


# %% [date_whisperer] library functions, packed input gates, attention step by step
def gates(x, h, cell):
    return torch.gru_cell(x, h, *cell)


def memory_of(params, source):
    real = (source > 0).unsqueeze(-1)
    x = F.embedding(source, params["source"])
    sides = []
    for name in ("forward", "backward"):
        h, states = torch.zeros(len(source), HIDDEN), []
        steps = list(range(source.shape[1]))
        if name == "backward":
            steps.reverse()
        for t in steps:
            new = gates(x[:, t], h, params[name])
            h = new * real[:, t] + h * ~real[:, t]
            states.append(h)
        if name == "backward":
            states.reverse()
        sides.append((torch.stack(states, 1), h))
    (left, a), (right, b) = sides
    return torch.cat((left, right), 2), torch.tanh(F.linear(torch.cat((a, b), 1), params["start"])), real[..., 0]


def one_character(params, memory, keys, real, state, token):
    state = gates(params["target"][token], state, params["writer"])
    scores = torch.einsum("bh,blh->bl", state @ params["query"].T, keys) / math.sqrt(HIDDEN)
    weights = scores.masked_fill(~real, -torch.inf).softmax(1)
    context = torch.bmm(weights[:, None], memory)[:, 0]
    return F.linear(torch.cat((state, context), 1), params["out"], params["bias"]), weights, state


def date_loss(params, source, target):
    memory, state, real = memory_of(params, source)
    keys, token, losses = memory @ params["key"].T, torch.full((len(source),), BEGIN), []
    for j in range(target.shape[1]):
        logits, _, state = one_character(params, memory, keys, real, state, token)
        losses.append(F.cross_entropy(logits, target[:, j]))
        token = target[:, j]
    return sum(losses) / len(losses)


def translate(params, source):
    memory, state, real = memory_of(params, source)
    keys, token = memory @ params["key"].T, torch.full((len(source),), BEGIN)
    ids, looks = [], []
    for _ in range(10):
        logits, weights, state = one_character(params, memory, keys, real, state, token)
        token = logits.softmax(-1).argmax(-1)
        ids.append(token)
        looks.append(weights)
    return torch.stack(ids, 1), torch.stack(looks, 1)


# %% [date_whisperer] both readers as one batch, padding by packing to lengths
def read_dates(params, source):
    lengths = (source != PAD).sum(1)
    outputs = []
    for row, length in zip(source, lengths.tolist()):
        outputs.append(row[:length].flip(0))
    turned = torch.zeros_like(source)
    for i, row in enumerate(outputs):
        turned[i, : len(row)] = row
    weights = [torch.stack(pair) for pair in zip(params["forward"], params["backward"])]
    x = torch.stack([params["source"][source], params["source"][turned]])
    h, states = torch.zeros(2, len(source), HIDDEN), []
    inputs = torch.einsum("sbli,sgi->sblg", x, weights[0]) + weights[2][:, None, None]
    for t in range(source.shape[1]):
        a, c = inputs[:, :, t], torch.baddbmm(weights[3][:, None], h, weights[1].mT)
        r, z = torch.sigmoid(a[..., : 2 * HIDDEN] + c[..., : 2 * HIDDEN]).chunk(2, -1)
        new = torch.tanh(a[..., 2 * HIDDEN :] + r * c[..., 2 * HIDDEN :])
        h = torch.where((t < lengths)[None, :, None], new + z * (h - new), h)
        states.append(h)
    states = torch.stack(states, 2)
    places = torch.arange(source.shape[1])
    back = (lengths[:, None] - 1 - places).clamp(min=0)
    right = states[1].gather(1, back[..., None].expand(-1, -1, HIDDEN))
    memory = torch.cat([states[0], right], -1)
    return memory, torch.tanh(torch.cat([h[0], h[1]], -1) @ params["start"].T)
