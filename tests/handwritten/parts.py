"""Models made of torch's own layers, and of ways of writing that are common: einsum, loops over heads, convolutions."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Encoder(nn.Module):
    """nn.TransformerEncoder on tokens."""

    def __init__(self, n_layer, n_head, d_model, d_ff, vocab_size):
        super().__init__()
        self.table = nn.Embedding(vocab_size, d_model)
        layer = nn.TransformerEncoderLayer(d_model, n_head, d_ff, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, n_layer, enable_nested_tensor=False)

    def forward(self, tokens):
        return self.encoder(self.table(tokens))


class Attending(nn.Module):
    """nn.MultiheadAttention with a causal mask that is made on the way, sequences first."""

    def __init__(self, n_layer, n_head, d_model, vocab_size):
        super().__init__()
        self.table = nn.Embedding(vocab_size, d_model)
        self.mixers = nn.ModuleList(nn.MultiheadAttention(d_model, n_head, dropout=0.1) for _ in range(n_layer))
        self.head = nn.Linear(d_model, vocab_size)

    def forward(self, tokens):
        x = self.table(tokens).transpose(0, 1)
        mask = torch.triu(torch.full((len(x), len(x)), float("-inf")), diagonal=1)
        for mixer in self.mixers:
            x = x + mixer(x, x, x, attn_mask=mask, need_weights=False)[0]
        return self.head(x).transpose(0, 1)


class Recurrent(nn.Module):
    def __init__(self, kind, n_layer, d_model, d_ff, vocab_size):
        super().__init__()
        self.table = nn.Embedding(vocab_size, d_model)
        self.cells = kind(d_model, d_ff, n_layer, batch_first=True)
        self.head = nn.Linear(d_ff, vocab_size)

    def forward(self, tokens):
        return self.head(self.cells(self.table(tokens))[0])


def slopes(n_head):
    """ALiBi's, by loops in Python."""
    start = 2 ** (-(2 ** -(math.log2(n_head) - 3)))
    return [start * start**head for head in range(n_head)]


class Alibi(nn.Module):
    """Heads by einsum, distances by a loop, tables that are tied."""

    def __init__(self, n_layer, n_head, d_head, d_model, vocab_size):
        super().__init__()
        self.table = nn.Embedding(vocab_size, d_model)
        self.maps = nn.ParameterList([nn.Parameter(torch.empty(3, n_head, d_model, d_head)) for _ in range(n_layer)])
        self.outs = nn.ParameterList([nn.Parameter(torch.empty(n_head, d_head, d_model)) for _ in range(n_layer)])
        self.register_buffer("slopes", torch.tensor(slopes(n_head)))

    def forward(self, tokens):
        x = self.table(tokens)
        length = tokens.shape[1]
        distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
        for maps, out in zip(self.maps, self.outs, strict=True):
            q, k, v = (torch.einsum("btc,hcd->bhtd", x, each) for each in maps)
            scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
            scores = scores + self.slopes[None, :, None, None] * distance
            x = x + torch.einsum("bhqk,bhkd,hdc->bqc", scores.softmax(-1), v, out)
        return F.linear(x, self.table.weight)


class Stem(nn.Module):
    """A convolution makes patches of images, a class token goes before them, blocks mix them."""

    def __init__(self, n_layer, n_head, hidden_size, intermediate_size, image_size, patch_size, num_channels):
        super().__init__()
        self.n_head, self.side, self.channels = n_head, image_size, num_channels
        self.stem = nn.Conv2d(num_channels, hidden_size, kernel_size=patch_size, stride=patch_size)
        self.cls = nn.Parameter(torch.zeros(1, 1, hidden_size))
        self.pos = nn.Parameter(torch.zeros(1, (image_size // patch_size) ** 2 + 1, hidden_size))
        self.qkv = nn.ModuleList(nn.Linear(hidden_size, 3 * hidden_size) for _ in range(n_layer))
        self.mlp = nn.ModuleList(
            nn.Sequential(
                nn.Linear(hidden_size, intermediate_size), nn.GELU(), nn.Linear(intermediate_size, hidden_size)
            )
            for _ in range(n_layer)
        )

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1) + self.pos
        for qkv, mlp in zip(self.qkv, self.mlp, strict=True):
            b, t, c = x.shape
            q, k, v = qkv(x).reshape(b, t, 3, self.n_head, c // self.n_head).permute(2, 0, 3, 1, 4)
            x = x + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, c)
            x = x + mlp(x)
        return x[:, 0]


def images(module, sizes):
    return torch.zeros(sizes["n_batch"], module.channels, module.side, module.side)


def encoder(n_layer, n_head, d_model, d_ff, vocab_size):
    return Encoder(n_layer, n_head, d_model, d_ff, vocab_size)


def attending(n_layer, n_head, d_model, vocab_size):
    return Attending(n_layer, n_head, d_model, vocab_size)


def lstm(n_layer, d_model, d_ff, vocab_size):
    return Recurrent(nn.LSTM, n_layer, d_model, d_ff, vocab_size)


def gru(n_layer, d_model, d_ff, vocab_size):
    return Recurrent(nn.GRU, n_layer, d_model, d_ff, vocab_size)


def alibi(n_layer, n_head, d_head, d_model, vocab_size):
    return Alibi(n_layer, n_head, d_head, d_model, vocab_size)


def stem(n_layer, n_head, hidden_size, intermediate_size, image_size, patch_size, num_channels):
    return Stem(n_layer, n_head, hidden_size, intermediate_size, image_size, patch_size, num_channels)
