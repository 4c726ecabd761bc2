"""Training steps as one would first write them: torch.distributions, autograd, torch's optimizers.

The fast steps are timed beside these and have to give the same losses. Nothing here is clever.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.distributions import Bernoulli, Normal


def bernoulli(logits):
    return Bernoulli(logits=logits, validate_args=False)


class PlainIWAE:
    """The importance-weighted bound of a VAE with one hidden layer of tanh units on each side."""

    def __init__(self, visible=784, hidden=400, latent=20, k=25):
        self.k = k
        self.encoder = nn.Sequential(
            nn.Linear(visible, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, visible)
        )
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(parameters)

    def step(self, x):
        mean, log_std = self.encoder(x).chunk(2, -1)
        q = Normal(mean, log_std.exp(), validate_args=False)
        z = q.rsample((self.k,))
        prior = Normal(torch.zeros(()), torch.ones(()), validate_args=False)
        log_w = bernoulli(self.decoder(z)).log_prob(x).sum(-1)
        log_w = log_w + prior.log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        loss = -(torch.logsumexp(log_w, 0) - torch.log(torch.tensor(float(self.k)))).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class PlainBeliefNet:
    """A sigmoid belief net and its recognition net; all tensors are expanded over K samples."""

    def __init__(self, sizes):
        pairs = list(pairwise(sizes))
        self.q = nn.ModuleList(nn.Linear(below, above) for below, above in pairs)
        self.p = nn.ModuleList(nn.Linear(above, below) for below, above in pairs)
        self.top = nn.Parameter(torch.zeros(sizes[-1]))
        self.optimizer = torch.optim.Adam([*self.q.parameters(), *self.p.parameters(), self.top])

    def log_p(self, x, h):
        below = [x, *h]
        log_p = bernoulli(self.top).log_prob(h[-1]).sum(-1)
        for layer, b, a in zip(self.p, below, h, strict=False):
            log_p = log_p + bernoulli(layer(a)).log_prob(b).sum(-1)
        return log_p

    def log_q(self, x, h):
        log_q = 0
        for layer, b, a in zip(self.q, [x, *h], h, strict=False):
            log_q = log_q + bernoulli(layer(b)).log_prob(a).sum(-1)
        return log_q

    @torch.no_grad()
    def infer(self, x):
        h, a = [], x
        for layer in self.q:
            a = bernoulli(layer(a)).sample()
            h.append(a)
        return h

    @torch.no_grad()
    def dream(self, n):
        a = bernoulli(self.top).sample((n,))
        dream = [a]
        for layer in reversed(self.p):
            a = bernoulli(layer(a)).sample()
            dream.insert(0, a)
        return dream[0], dream[1:]

    def descend(self, loss):
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def reweighted(self, x, k=5, wake=True):
        """Reweighted wake-sleep; k = 1 without the wake update of q is wake-sleep."""
        x_k = x.expand(k, *x.shape)
        h = self.infer(x_k)
        log_p, log_q = self.log_p(x_k, h), self.log_q(x_k, h)
        w = (log_p - log_q).detach().softmax(0)
        loss = -(w * (log_p + log_q if wake else log_p)).sum(0).mean()
        x_dream, h_dream = self.dream(len(x))
        return self.descend(loss - self.log_q(x_dream, h_dream).mean())

    def reinforce(self, x, k=5):
        """REINFORCE with the mean over the other samples as baseline."""
        x_k = x.expand(k, *x.shape)
        h = self.infer(x_k)
        log_p, log_q = self.log_p(x_k, h), self.log_q(x_k, h)
        signal = (log_q - log_p).detach()
        baseline = (signal.sum(0) - signal) / (k - 1)
        return self.descend(((signal - baseline) * log_q - log_p).mean())


class PlainRBM:
    """Contrastive divergence of an RBM; with `chains` they persist."""

    def __init__(self, visible=784, hidden=500, k=1, chains=None, weight_decay=2e-4):
        self.k, self.chains, self.weight_decay = k, chains, weight_decay
        self.weight = nn.Parameter(0.01 * torch.randn(visible, hidden))
        self.b, self.c = nn.Parameter(torch.zeros(visible)), nn.Parameter(torch.zeros(hidden))
        self.optimizer = torch.optim.SGD([self.weight, self.b, self.c], lr=0.05, momentum=0.9)

    def free_energy(self, x):
        return -x @ self.b - nn.functional.softplus(x @ self.weight + self.c).sum(-1)

    @torch.no_grad()
    def gibbs(self, x):
        for _ in range(self.k):
            h = bernoulli(x @ self.weight + self.c).sample()
            x = bernoulli(h @ self.weight.t() + self.b).sample()
        return x

    def step(self, x):
        negative = self.gibbs(x if self.chains is None else self.chains)
        if self.chains is not None:
            self.chains = negative
        loss = self.free_energy(x).mean() - self.free_energy(negative).mean()
        loss = loss + 0.5 * self.weight_decay * self.weight.square().sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class PlainDBM:
    """A joint step of a two-layer deep Boltzmann machine: mean field, chains, sparsity."""

    def __init__(self, x, sizes=(784, 500, 1000), iterations=10, sweeps=5, chains=100):
        self.iterations, self.sweeps = iterations, sweeps
        self.weights = nn.ParameterList(0.01 * torch.randn(a, b) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(n) for n in sizes)
        self.v, self.h2 = x[:chains], torch.zeros(chains, sizes[2])
        self.targets = [0.2, 0.1]
        self.activity = [torch.full((n,), t) for n, t in zip(sizes[1:], self.targets, strict=True)]
        self.optimizer = torch.optim.SGD([*self.weights, *self.biases], lr=1e-3, momentum=0.9)

    def inputs(self, v, h1, h2):
        (w1, w2), (_, b1, b2) = self.weights, self.biases
        return v @ w1 + h2 @ w2.t() + b1, h1 @ w2 + b2

    def energy(self, v, h1, h2):
        (w1, w2), (b0, b1, b2) = self.weights, self.biases
        pairs = ((v @ w1) * h1).sum(-1) + ((h1 @ w2) * h2).sum(-1)
        return -(v @ b0 + h1 @ b1 + h2 @ b2 + pairs)

    @torch.no_grad()
    def mean_field(self, x):
        (w1, w2), (_, b1, b2) = self.weights, self.biases
        m1 = torch.sigmoid(2 * (x @ w1) + b1)
        m2 = torch.sigmoid(m1 @ w2 + b2)
        for _ in range(self.iterations):
            m1 = torch.sigmoid(self.inputs(x, m1, m2)[0])
            m2 = torch.sigmoid(self.inputs(x, m1, m2)[1])
        return m1, m2

    @torch.no_grad()
    def gibbs(self):
        (w1, w2), (b0, b1, b2) = self.weights, self.biases
        for _ in range(self.sweeps):
            h1 = bernoulli(self.v @ w1 + self.h2 @ w2.t() + b1).sample()
            self.v = bernoulli(h1 @ w1.t() + b0).sample()
            self.h2 = bernoulli(h1 @ w2 + b2).sample()
        return torch.sigmoid(self.v @ w1 + self.h2 @ w2.t() + b1)

    def step(self, x):
        means = self.mean_field(x)
        h1 = self.gibbs()
        loss = self.energy(x, *means).mean() - self.energy(self.v, h1, self.h2).mean()
        for weight in self.weights:
            loss = loss + 1e-4 * weight.square().sum()
        inputs = self.inputs(x, *means)
        for i, (m, target) in enumerate(zip(means, self.targets, strict=True)):
            self.activity[i] = 0.9 * self.activity[i] + 0.1 * m.mean(0)
            loss = loss + 1e-3 * (inputs[i].mean(0) * (self.activity[i] - target)).sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()
