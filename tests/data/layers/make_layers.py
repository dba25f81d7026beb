"""What PyTorch's layers give, in float64: python make_layers.py (torch 2.15, safetensors). Writes layers.json and layers.safetensors.

A case: the layer's class and arguments, its parameters and buffers by name before the call (NAME/state/...), the inputs
(NAME/in/0 ...), the results (NAME/out/0 ...), buffers after it (NAME/after/...) and the gradients of sum(result * cos(0, 1, 2 ...))
over all results to inputs and parameters (NAME/grad/in/0, NAME/grad/...). Arguments are as Lua has them.
"""
import json, os, torch, torch.nn as nn
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
cases, tensors = [], {}
R = torch.randn

def flat(x):
    if x is None: return []
    return [x] if torch.is_tensor(x) else [t for y in x for t in flat(y)]

def case(cls, args, inputs, call=None, eval=False, fixed=(), **options):
    name = f"{len(cases)}"
    model = getattr(nn, cls)(*args, **options)
    with torch.no_grad():  # away from ones and zeros
        for p in list(model.parameters()) + [b for b in model.buffers() if b.is_floating_point()]: p.add_(0.3 * torch.rand_like(p))
    if eval: model.eval()
    for k, v in model.state_dict().items(): tensors[f"{name}/state/{k}"] = v.clone().contiguous()
    given = [x.clone().requires_grad_(x.is_floating_point() and i not in fixed) if torch.is_tensor(x) else x for i, x in enumerate(inputs)]
    extra = {k: v for k, v in (call or {}).items()}
    outs = flat(model(*given, **extra))
    for i, x in enumerate(flat(given)): tensors[f"{name}/in/{i}"] = x.detach().clone().contiguous()
    for k, x in extra.items():
        if torch.is_tensor(x): tensors[f"{name}/call/{k}"] = x.clone()
    for i, y in enumerate(outs): tensors[f"{name}/out/{i}"] = y.detach().clone().contiguous()
    for k, v in model.named_buffers(): tensors[f"{name}/after/{k}"] = v.clone().contiguous()
    loss = sum((y * torch.arange(y.numel()).cos().reshape(y.shape)).sum() for y in outs if y.is_floating_point() and y.requires_grad)
    loss.backward()
    for i, x in enumerate(flat(given)):
        if x.grad is not None: tensors[f"{name}/grad/in/{i}"] = x.grad.contiguous()
    for k, p in model.named_parameters():
        if p.grad is not None: tensors[f"{name}/grad/{k}"] = p.grad.contiguous()
    lua = {k: (False if v is None else v + 1 if k == "dim" else v) for k, v in options.items()}  # momentum None is false, dims count from 1
    cases.append({"name": name, "class": cls, "args": args, "options": lua, "inputs": len(flat(given)), "nested": any(isinstance(x, tuple) for x in inputs),
                  "call": {k: (True if torch.is_tensor(v) else v) for k, v in extra.items()}, "tensors": [k for k, v in extra.items() if torch.is_tensor(v)],
                  "outputs": len(outs), "eval": eval, "fixed": [i for i, x in enumerate(flat(given)) if not x.requires_grad]})

case("Linear", [3, 2], [R(4, 3)]); case("Linear", [3, 2], [R(2, 4, 3)], bias=False)
for n, size in ((1, [7]), (2, [6, 7]), (3, [4, 5, 4])):
    x = lambda c, batch=True: R(*([2] if batch else []), c, *size)
    case(f"Conv{n}d", [4, 6, 3], [x(4)], stride=2, padding=1, groups=2)
    case(f"Conv{n}d", [2, 3, 2], [x(2, False)], padding="same", bias=False)
    case(f"ConvTranspose{n}d", [4, 6, 3], [x(4)], stride=2, padding=1, output_padding=1, groups=2)
    case(f"ConvTranspose{n}d", [2, 3, 2], [x(2)], dilation=2, bias=False)
    case(f"MaxPool{n}d", [2], [x(2)]); case(f"MaxPool{n}d", [3], [x(2)], stride=2, padding=1, ceil_mode=True, return_indices=True)
    case(f"AvgPool{n}d", [2], [x(2)]); case(f"AvgPool{n}d", [3], [x(2)], stride=2, padding=1, count_include_pad=False)
    case(f"AdaptiveAvgPool{n}d", [3], [x(2)]); case(f"AdaptiveMaxPool{n}d", [3], [x(2)], return_indices=True)
    case(f"BatchNorm{n}d", [3], [x(3)]); case(f"BatchNorm{n}d", [3], [x(3)], eval=True); case(f"BatchNorm{n}d", [3], [x(3)], affine=False, track_running_stats=False)
    case(f"BatchNorm{n}d", [3], [x(3)], momentum=None)
    case(f"InstanceNorm{n}d", [3], [x(3)]); case(f"InstanceNorm{n}d", [3], [x(3)], affine=True, track_running_stats=True)
    case(f"InstanceNorm{n}d", [3], [x(3)], affine=True, track_running_stats=True, eval=True); case(f"InstanceNorm{n}d", [3], [x(3, False)], affine=True)
case("BatchNorm1d", [3], [R(5, 3)])
case("LayerNorm", [4], [R(3, 4)]); case("LayerNorm", [[3, 4]], [R(2, 3, 4)], bias=False); case("LayerNorm", [4], [R(3, 4)], elementwise_affine=False)
case("RMSNorm", [4], [R(3, 4)], eps=1e-4); case("RMSNorm", [4], [R(3, 4)])
case("GroupNorm", [2, 4], [R(3, 4, 5)]); case("GroupNorm", [4, 4], [R(3, 4, 2, 2)], affine=False)
ids = torch.tensor([[1, 2, 4], [4, 3, 2]])
case("Embedding", [10, 3], [ids]); case("Embedding", [10, 3], [ids], padding_idx=2, scale_grad_by_freq=True); case("Embedding", [10, 3], [ids], max_norm=0.5)
for cls, cell in (("RNN", False), ("LSTM", True), ("GRU", False)):
    def state(k, b, h): return tuple(R(k, *b, h) for _ in range(2)) if cell else R(k, *b, h)
    case(cls, [3, 4], [R(5, 2, 3)])
    case(cls, [3, 4], [R(5, 2, 3), state(4, [2], 4)], num_layers=2, bidirectional=True)
    case(cls, [3, 4], [R(2, 5, 3), state(1, [2], 4)], batch_first=True, bias=False)
    case(cls, [3, 4], [R(5, 3), state(1, [], 4)])
    case(cls + "Cell", [3, 4], [R(2, 3)]); case(cls + "Cell", [3, 4], [R(2, 3), tuple(R(2, 4) for _ in range(2)) if cell else R(2, 4)])
    case(cls + "Cell", [3, 4], [R(3)], bias=False)
case("RNN", [3, 4], [R(5, 2, 3)], nonlinearity="relu")
q, k, v = R(5, 2, 8), R(6, 2, 8), R(6, 2, 8)
pad = torch.zeros(2, 6, dtype=torch.bool); pad[0, 4:] = True
tri = torch.ones(5, 5).triu(1).bool()
case("MultiheadAttention", [8, 2], [q, k, v])
case("MultiheadAttention", [8, 2], [q, k, v], {"key_padding_mask": pad, "average_attn_weights": False})
case("MultiheadAttention", [8, 2], [q, k, v], {"key_padding_mask": pad, "need_weights": False})
case("MultiheadAttention", [8, 2], [R(5, 2, 8), R(5, 2, 8), R(5, 2, 8)], {"attn_mask": tri}, bias=False)
case("MultiheadAttention", [8, 2], [R(5, 2, 8), R(5, 2, 8), R(5, 2, 8)], {"attn_mask": R(4, 5, 5), "need_weights": False})
case("MultiheadAttention", [8, 2], [R(2, 5, 8), R(2, 6, 3), R(2, 6, 4)], kdim=3, vdim=4, batch_first=True)
case("MultiheadAttention", [8, 2], [R(5, 8), R(6, 8), R(6, 8)])
for o in ({}, {"norm_first": True, "activation": "gelu"}, {"batch_first": True, "bias": False}):
    case("TransformerEncoderLayer", [8, 2], [R(5, 2, 8)], dim_feedforward=12, dropout=0.0, **o)
case("TransformerEncoderLayer", [8, 2], [R(5, 2, 8)], {"src_mask": tri, "src_key_padding_mask": torch.zeros(2, 5).bool()}, dim_feedforward=12, dropout=0.0)
for cls, o in (("ReLU", {}), ("SiLU", {}), ("Tanh", {}), ("Sigmoid", {}), ("SELU", {}), ("LogSigmoid", {}), ("Mish", {}), ("ReLU6", {}), ("Hardsigmoid", {}),
               ("Hardswish", {}), ("Softsign", {}), ("Tanhshrink", {}), ("GELU", {}), ("GELU", {"approximate": "tanh"}), ("LeakyReLU", {"negative_slope": 0.2}),
               ("ELU", {"alpha": 0.5}), ("CELU", {"alpha": 0.5}), ("Softplus", {"beta": 2, "threshold": 3}), ("Hardtanh", {"min_val": -0.5, "max_val": 0.25}),
               ("Softshrink", {"lambd": 0.25}), ("Hardshrink", {"lambd": 0.25}), ("Threshold", {"threshold": 0.1, "value": 3}), ("GLU", {"dim": 1}),
               ("Softmax", {"dim": 1}), ("LogSoftmax", {"dim": 1}), ("Softmin", {"dim": 1}), ("PReLU", {}), ("PReLU", {"num_parameters": 6, "init": 0.5})):
    case(cls, [], [3 * R(4, 6)], **o)
t, c, w = R(4, 3), torch.tensor([0, 2, 1, 1]), torch.tensor([0.5, 2.0, 1.0])
u, sign = torch.rand(4, 3), torch.tensor([1.0, -1.0, 1.0, -1.0])
x = lambda: R(4, 3)
case("MSELoss", [], [x(), t]); case("MSELoss", [], [x(), t], reduction="sum"); case("L1Loss", [], [x(), t]); case("SmoothL1Loss", [], [x(), t], beta=0.5)
case("HuberLoss", [], [x(), t], delta=0.5); case("CrossEntropyLoss", [], [x(), c]); case("CrossEntropyLoss", [], [x(), c], label_smoothing=0.1, ignore_index=2)
case("NLLLoss", [], [x(), c]); case("BCELoss", [], [torch.rand(4, 3), u]); case("BCEWithLogitsLoss", [], [x(), u]); case("KLDivLoss", [], [x(), u], reduction="batchmean")
case("PoissonNLLLoss", [], [x(), u], full=True); case("GaussianNLLLoss", [], [x(), t, torch.rand(4, 3) + 0.1]); case("SoftMarginLoss", [], [x(), R(4, 3).sign()], fixed=[1])
case("HingeEmbeddingLoss", [], [x(), R(4, 3).sign()], fixed=[1], margin=0.5); case("CosineEmbeddingLoss", [], [x(), x(), sign], fixed=[2], margin=0.1)
case("MarginRankingLoss", [], [R(4), R(4), sign], fixed=[2], margin=0.2); case("TripletMarginLoss", [], [x(), x(), x()], swap=True)
case("CosineSimilarity", [], [x(), x()]); case("PairwiseDistance", [], [x(), x()], p=1.0)
case("MultiMarginLoss", [], [x(), c], p=2, margin=0.5); case("MultiLabelMarginLoss", [], [x(), torch.tensor([[0, 2, -1], [1, -1, 0], [-1, 0, 1], [2, 1, 0]])])
case("MultiLabelSoftMarginLoss", [], [x(), u])
case("EmbeddingBag", [10, 3], [ids]); case("EmbeddingBag", [10, 3], [ids.reshape(-1), torch.tensor([0, 2, 2])], mode="max", padding_idx=4)
case("EmbeddingBag", [10, 3], [ids], {"per_sample_weights": torch.rand(2, 3)}, mode="sum")
for n, size in ((1, [7]), (2, [6, 7]), (3, [4, 5, 4])):
    y = R(2, 4, *size)
    case(f"ConstantPad{n}d", [list(range(2 * n)), 1.5], [y]); case(f"ZeroPad{n}d", [1], [y])
    for mode in ("Reflection", "Replication", "Circular"): case(f"{mode}Pad{n}d", [2], [y])
    for mode in ("reflect", "replicate", "circular"): case(f"Conv{n}d", [4, 3, 3], [y], padding=1, stride=2, padding_mode=mode)
    case(f"Conv{n}d", [4, 3, 2], [y], padding="same", padding_mode="circular")
case("PixelShuffle", [2], [R(2, 8, 2, 3)]); case("PixelUnshuffle", [2], [R(2, 2, 4, 6)])
case("Flatten", [], [R(2, 3, 4)]); case("Identity", [], [R(2, 3)])

save_file(tensors, os.path.join(HERE, "layers.safetensors"))
with open(os.path.join(HERE, "layers.json"), "w") as f:
    f.write("{\"cases\": [\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]}\n")
print(len(cases), "cases", len(tensors), "tensors")
