"""What is measured, on PyTorch's side: the rows of rows.lua, under the same names.

A row is a function that prepares and returns the work of one call, or (work, what was chosen)."""
import os
import signal
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

rows = {}


def row(function):
    rows[function.__name__] = function
    return function


def leaf(*shape):
    return torch.randn(*shape, requires_grad=True)


# ---- where overhead is all ----
@row
def add16():
    a, b = torch.randn(16), torch.randn(16)
    torch.set_grad_enabled(False)
    return lambda: a + b


@row
def add16_grad():
    a, b = leaf(16), torch.randn(16)
    return lambda: a + b


@row
def chain():
    w, b = leaf(16), torch.randn(16)

    def call():
        y = ((w * b + b).tanh() * b).sum()
        w.grad = None
        y.backward()
    return call


# ---- training steps ----
def mlp():
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)), torch.randn(32, 64), torch.arange(32) % 10


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(128, 10)), torch.randn(64, 1, 8, 8), torch.arange(64) % 10


def trainer(make, compiled="", **options):
    model, x, y = make()
    opt = torch.optim.Adam(model.parameters(), lr=1e-3, **options)
    update = torch.compile(opt.step) if "optimizer" in compiled else opt.step
    forward = torch.compile(lambda: F.cross_entropy(model(x), y)) if "model" in compiled else \
        lambda: F.cross_entropy(model(x), y)

    def step():
        loss = forward()
        opt.zero_grad()
        loss.backward()
        update()
        return loss
    return step


def best_trainer(make):
    """The fastest of PyTorch's own ways; one that needs longer than two minutes to compile does not count."""
    def late(*_):
        raise TimeoutError
    signal.signal(signal.SIGALRM, late)
    best = None
    for name, ways in {"fused": dict(fused=True), "compiled": dict(compiled="model"),
                       "compiled+fused": dict(compiled="model", fused=True),
                       "compiled+optimizer": dict(compiled="model optimizer")}.items():
        try:
            signal.alarm(120)
            step = trainer(make, **ways)
            for _ in range(20):
                step()
            signal.alarm(0)
        except Exception:  # no compiler, or a time that ran out
            signal.alarm(0)
            continue
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(50):
                step()
            seconds.append(time.perf_counter() - start)
        if best is None or min(seconds) < best[0]:
            best = min(seconds), step, name
    return best[1:]


rows["mlp_eager"] = lambda: trainer(mlp)
rows["cnn_eager"] = lambda: trainer(cnn)
rows["mlp_compiled"] = lambda: best_trainer(mlp)
rows["cnn_compiled"] = lambda: best_trainer(cnn)


# ---- kernels ----
def matmul(n):
    a, b = torch.randn(n, n), torch.randn(n, n)
    torch.set_grad_enabled(False)
    return lambda: a @ b


for power in range(4, 12):
    rows[f"matmul_{1 << power}"] = lambda n=1 << power: matmul(n)


def there_and_back(forward, inputs, gradient):
    def call():
        for x in inputs:
            x.grad = None
        forward().backward(gradient)
    return call


def softmax(dim):
    x = leaf(4096, 1024)
    return there_and_back(lambda: x.softmax(dim), [x], torch.randn(4096, 1024))


def total(dim):
    x = leaf(4096, 1024)
    return there_and_back(lambda: x.sum(dim), [x], torch.randn(4096 if dim else 1024))


for dim in (0, 1):
    rows[f"softmax_dim{dim + 1}"] = lambda dim=dim: softmax(dim)
    rows[f"sum_dim{dim + 1}"] = lambda dim=dim: total(dim)


@row
def gelu():
    x = leaf(4096, 1024)
    return there_and_back(lambda: F.gelu(x), [x], torch.randn(4096, 1024))


@row
def layer_norm():
    x, w, b = leaf(4096, 1024), leaf(1024), leaf(1024)
    return there_and_back(lambda: F.layer_norm(x, (1024,), w, b), [x, w, b], torch.randn(4096, 1024))


# ---- memory ----
@row
def adamw():
    shapes = [(50304, 384), (256, 384)] + 6 * [(384,), (384,), (1152, 384), (384, 384), (1536, 384), (384, 1536)]
    params = [leaf(*s) for s in shapes]
    for p in params:
        p.grad = torch.randn(p.shape)
    opt = torch.optim.AdamW(params, fused=True)
    return opt.step, "fused"


@row
def copy():
    x, y = torch.randn(30000000), torch.zeros(30000000)
    return lambda: y.copy_(x)


def read_csv(name):
    import pandas
    path = os.environ["BENCH_DIR"] + "/" + name + ".csv"
    if hasattr(pandas.options.mode, "max_threads"):  # else it has one
        pandas.options.mode.max_threads = int(os.environ["TIDE_THREADS"])
    return lambda: pandas.read_csv(path, engine="c").dropna(), "pandas"


@row
def csv():
    return read_csv("mixed")


@row
def csv_floats():
    return read_csv("floats")
