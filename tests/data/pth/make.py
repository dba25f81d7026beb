"""Makes the files of this folder with PyTorch: python make.py"""
import collections
import os
import pickle

import torch
from torch import nn

torch.manual_seed(3)
here = os.path.dirname(os.path.abspath(__file__))


def save(name, value, **how):
    torch.save(value, os.path.join(here, name), **how)


# ---- read ----
base = torch.arange(12, dtype=torch.float32)
shared = torch.ones(3)
again = {"me": None}
again["me"] = again
save("plain.pth", {
    "float64": torch.tensor([1.5, -2.0, float("inf")], dtype=torch.float64), "float32": torch.tensor([[0.1, 2.0], [3.0, -4.0]]),
    "float16": torch.tensor([1.5, -0.25], dtype=torch.float16), "bfloat16": torch.tensor([3.0, -0.5], dtype=torch.bfloat16),
    "int64": torch.tensor([-2**63, 2**63 - 1]), "int32": torch.tensor([[[-7]]], dtype=torch.int32),
    "int8": torch.tensor([-128, 127], dtype=torch.int8), "uint8": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]), "zero": torch.tensor(3.5), "empty": torch.zeros(0, 3),
    "turned": base.reshape(3, 4).t(), "part": base[4:6], "expanded": torch.tensor([7.0]).expand(1000, 1000), "slice": torch.arange(100)[10:13],
    "parameter": nn.Parameter(torch.tensor([1.0, 2.0])), "size": torch.Size([2, 3]),
    "shared": [shared, shared, shared.view(3, 1)], "again": again,
    "values": {"none": None, "yes": True, "no": False, "small": 7, "medium": 300, "big": 70000, "negative": -1, "huge": 2**40, "least": -2**63,
               "float": 0.1, "inf": float("inf"), "text": "é\n☃", "empty": "", "tuple": (1, (2,), (3, 4, 5), ()), "list": [1, None, "x"],
               7: "seven", -2: "minus two", True: "true"}})
model = nn.Sequential(collections.OrderedDict(linear=nn.Linear(2, 3), norm=nn.LayerNorm(3)))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
x = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25]])
(model(x) ** 2).sum().backward()
optimizer.step()
save("model.pth", {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "x": x, "y": model(x).detach()})
save("tensor.pth", torch.tensor([1, 2, 3]))


# ---- refused ----
class Call:
    def __init__(self, function, *args):
        self.what = function, args

    def __reduce__(self):
        return self.what


save("bad-whole-module.pth", nn.Linear(2, 1))
save("bad-system.pth", {"weight": torch.ones(2), "x": Call(os.system, "echo this must not run")})
save("bad-eval.pth", Call(eval, "print('this must not run')"))
save("bad-rebuild-call.pth", Call(torch._utils._rebuild_tensor_v2, 1, 2, 3))
save("bad-set.pth", {1, 2})
save("bad-bytes.pth", b"bytes")
save("bad-defaultdict.pth", collections.defaultdict(int))
save("bad-int16.pth", torch.ones(2, dtype=torch.int16))
save("bad-complex.pth", torch.ones(2, dtype=torch.complex64))
save("bad-sparse.pth", torch.eye(2).to_sparse())
save("bad-dtype.pth", torch.float32)
save("bad-long.pth", 2**64)
save("bad-key.pth", {(1, 2): 3})
save("bad-nine-dims.pth", torch.ones([1] * 9))
save("bad-protocol-4.pth", {"x": 1}, pickle_protocol=4)
save("bad-legacy.pth", torch.ones(2), _use_new_zipfile_serialization=False)
with open(os.path.join(here, "bad-pickle.pth"), "wb") as file:
    pickle.dump(Call(os.system, "echo this must not run"), file, 2)
