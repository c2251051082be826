"""A mixture of experts in the manner of gpt-fast and of Mixtral's first code: experts in a loop, tokens by `where`."""

import torch
from torch import nn
from torch.nn import functional as F


class Expert(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.w1, self.w2, self.w3 = (
            nn.Linear(dim, hidden, bias=False),
            nn.Linear(hidden, dim, bias=False),
            nn.Linear(dim, hidden, bias=False),
        )

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Mixture(nn.Module):
    def __init__(self, dim, hidden, n_experts, n_active):
        super().__init__()
        self.n_active = n_active
        self.gate = nn.Linear(dim, n_experts, bias=False)
        self.experts = nn.ModuleList([Expert(dim, hidden) for _ in range(n_experts)])

    def forward(self, x):
        shape = x.shape
        x = x.view(-1, shape[-1])
        weights, selected = torch.topk(self.gate(x), self.n_active)
        weights = F.softmax(weights, dim=1, dtype=torch.float).to(x.dtype)
        results = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            token, nth = torch.where(selected == i)
            results[token] += weights[token, nth, None] * expert(x[token])
        return results.view(shape)


class Dense(nn.Module):
    """Every expert takes every token, weighted by a mask: nothing depends on data."""

    def __init__(self, dim, hidden, n_experts, n_active):
        super().__init__()
        self.n_active, self.gate = n_active, nn.Linear(dim, n_experts, bias=False)
        self.w1 = nn.Parameter(torch.empty(n_experts, dim, hidden))
        self.w2 = nn.Parameter(torch.empty(n_experts, hidden, dim))

    def forward(self, x):
        scores = self.gate(x)
        weights, chosen = scores.topk(self.n_active, dim=-1)
        share = torch.zeros_like(scores).scatter_(-1, chosen, weights.softmax(-1))
        hidden = F.relu(torch.einsum("btd,edh->bteh", x, self.w1))
        return torch.einsum("bteh,ehd,bte->btd", hidden, self.w2, share)


class Model(nn.Module):
    def __init__(self, layer, n_layer, dim, d_expert, vocab_size, num_experts, num_experts_per_tok):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, dim)
        self.layers = nn.ModuleList(layer(dim, d_expert, num_experts, num_experts_per_tok) for _ in range(n_layer))
        self.norm, self.output = nn.LayerNorm(dim), nn.Linear(dim, vocab_size, bias=False)

    def forward(self, idx):
        x = self.tokens(idx)
        for layer in self.layers:
            x = x + layer(x)
        return self.output(self.norm(x))


def routed(n_layer, dim, d_expert, vocab_size, num_experts, num_experts_per_tok):
    return Model(Mixture, n_layer, dim, d_expert, vocab_size, num_experts, num_experts_per_tok)


def dense(n_layer, dim, d_expert, vocab_size, num_experts, num_experts_per_tok):
    return Model(Dense, n_layer, dim, d_expert, vocab_size, num_experts, num_experts_per_tok)
