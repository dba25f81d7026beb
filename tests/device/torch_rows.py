"""PyTorch's own times on this GPU, for the probe: torch_rows.py OUT SECONDS writes lines `"key":value` to OUT."""
import json
import math
import sys
import time
import traceback

started = time.monotonic()


class Rows:
    def __init__(self, path, seconds):
        self.file, self.end = open(path, "w"), started + seconds

    def left(self):
        return self.end - time.monotonic()

    def add(self, key, value):
        self.file.write(json.dumps(key) + ":" + json.dumps(clean(value)) + "\n")
        self.file.flush()

    def section(self, key, needs, fn):
        """One section; what goes wrong in it is its value. `needs`: seconds, below which it is not begun."""
        if self.left() < needs:
            self.add(key, {"error": "no time left"})
            return
        begun = time.monotonic()
        try:
            value = fn()
        except Exception as e:
            value = {"error": f"{type(e).__name__}: {e}"[:500], "at": traceback.format_exc()[-500:]}
        value["seconds"] = time.monotonic() - begun
        self.add(key, value)


def clean(value):  # JSON has no NaN
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def main():
    rows = Rows(sys.argv[1], float(sys.argv[2]))
    try:
        import torch
    except ImportError as e:
        rows.add("error", f"python3 has no torch: {e}")
        return 1
    rows.add("import_seconds", time.monotonic() - started)
    rows.add("torch", torch.__version__)
    rows.add("cuda", str(torch.version.cuda))
    if not torch.cuda.is_available():
        rows.add("error", "torch finds no GPU")
        return 1
    import torch.nn as nn
    import torch.nn.functional as F
    device = "cuda"
    torch.manual_seed(0)
    torch.zeros(1, device=device)

    def micros(fn, budget=0.2):
        """Time of one fn() in microseconds, on the GPU's clock, back to back."""
        fn()
        torch.cuda.synchronize()
        begun = time.perf_counter()
        fn()
        torch.cuda.synchronize()
        rounds = max(3, min(200, int(budget / (time.perf_counter() - begun + 1e-6))))
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        for _ in range(rounds):
            fn()
        b.record()
        b.synchronize()
        return a.elapsed_time(b) * 1e3 / rounds

    # ---- GPT-2 124M ----

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            batch, length, width = x.shape
            q, k, v = self.qkv(self.ln_1(x)).split(width, dim=2)
            q, k, v = (t.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for t in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))

    class GPT2(nn.Module):
        def __init__(self, vocabulary, length=1024, width=768, heads=12, layers=12):
            super().__init__()
            self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
            self.ln_f = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.token.weight
            self.apply(self.initialise)

        @staticmethod
        def initialise(m):
            if isinstance(m, (nn.Linear, nn.Embedding)):
                nn.init.normal_(m.weight, std=0.02)
            if isinstance(m, nn.Linear) and m.bias is not None:
                nn.init.zeros_(m.bias)

        def forward(self, ids, targets):
            x = self.token(ids) + self.position(torch.arange(ids.shape[1], device=ids.device))
            for block in self.blocks:
                x = block(x)
            logits = self.head(self.ln_f(x))
            return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))

    def gpt2(vocabulary, batch, compiled, steps):
        torch.cuda.reset_peak_memory_stats()
        model = GPT2(vocabulary).to(device)
        opt = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1, fused=True)
        forward = torch.compile(model) if compiled else model
        ids = torch.randint(0, 50257, (batch, 1025), device=device)
        x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

        def step():
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = forward(x, y)
            loss.backward()
            opt.step()
            opt.zero_grad(set_to_none=True)
            return loss

        begun = time.perf_counter()
        first = step().item()
        first_seconds = time.perf_counter() - begun
        for _ in range(3):
            step()
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(steps):
            loss = step()
        last = loss.item()
        seconds = (time.perf_counter() - begun) / steps
        parameters = sum(p.numel() for p in model.parameters())
        return {"parameters": parameters, "batch": batch, "length": 1024, "vocabulary": vocabulary,
                "first_step_seconds": first_seconds, "step_ms": seconds * 1e3, "tokens_per_second": batch * 1024 / seconds,
                "tflops_by_6nd": 6 * parameters * batch * 1024 / seconds * 1e-12, "first_loss": first, "last_loss": last,
                "peak_gib": torch.cuda.max_memory_allocated() / 2**30}

    # ---- parts ----

    def rows_of_8192():
        out = {}
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(8192, 8192, device=device, dtype=dtype, requires_grad=True)
            w = torch.ones(8192, device=device, dtype=dtype, requires_grad=True)
            b = torch.zeros(8192, device=device, dtype=dtype, requires_grad=True)
            gy = torch.randn_like(x)
            plain = x.detach()
            for name, fn, inputs in (("softmax", lambda v: torch.softmax(v, 1), [x]),
                                     ("layer_norm", lambda v: F.layer_norm(v, (8192,), w, b), [x, w, b])):
                key = f"{name}_{str(dtype)[6:]}"
                with torch.no_grad():
                    us = micros(lambda: fn(plain))
                out[key + "_us"] = us
                out[key + "_gb_s"] = 2 * x.numel() * x.element_size() / us * 1e-3
                out[key + "_with_backward_us"] = micros(lambda: torch.autograd.grad(fn(x), inputs, gy))
        return out

    def attention():
        out = {}
        for head in (64, 128):
            for length, batch in ((1024, 16), (4096, 4)):
                heads = 768 // head
                q, k, v = (torch.randn(batch, heads, length, head, device=device, dtype=torch.bfloat16,
                                       requires_grad=True) for _ in range(3))
                gy = torch.randn_like(q)
                key = f"head_{head}_length_{length}"
                flops = 2 * batch * heads * length * length * head  # causal: half of 4 T^2 d
                forward = micros(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))
                both = micros(lambda: torch.autograd.grad(F.scaled_dot_product_attention(q, k, v, is_causal=True),
                                                          (q, k, v), gy))
                out[key] = {"batch": batch, "heads": heads, "forward_us": forward, "forward_backward_us": both,
                            "forward_tflops": flops / forward * 1e-6, "forward_backward_tflops": 3.5 * flops / both * 1e-6}
        return out

    def adamw():
        out = {}
        shapes = [p.shape for p in GPT2(50257).parameters()]
        for name, options in (("default", {}), ("loop", {"foreach": False}), ("foreach", {"foreach": True}),
                              ("fused", {"fused": True})):
            params = [torch.randn(s, device=device).requires_grad_() for s in shapes]
            for p in params:
                p.grad = torch.randn_like(p)
            opt = torch.optim.AdamW(params, lr=1e-4, weight_decay=0.1, **options)
            us = micros(opt.step)
            count = sum(p.numel() for p in params)
            out[name] = {"us": us, "gb_s": count * 28 / us * 1e-3}  # reads 16 bytes a parameter, writes 12
        out["tensors"], out["parameters"] = len(shapes), count
        return out

    def mlp():
        out = {}
        x, y = torch.randn(32, 64, device=device), torch.randint(0, 10, (32,), device=device)

        def fresh(**options):
            model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
            return model, torch.optim.Adam(model.parameters(), lr=1e-3, **options)

        def wall(step, rounds=500):
            for _ in range(20):
                step()
            torch.cuda.synchronize()
            begun = time.perf_counter()
            for _ in range(rounds):
                step()
            torch.cuda.synchronize()
            return (time.perf_counter() - begun) / rounds * 1e6

        for name, mode in (("eager", None), ("compile", "default"), ("reduce_overhead", "reduce-overhead")):
            for optimizer, options in (("default", {}), ("fused", {"fused": True})):
                model, opt = fresh(**options)

                def loss_of(a, b, model=model):
                    return F.cross_entropy(model(a), b)

                if mode:
                    loss_of = torch.compile(loss_of, mode=mode)

                def step(loss_of=loss_of, opt=opt):
                    loss = loss_of(x, y)
                    loss.backward()
                    opt.step()
                    opt.zero_grad()

                begun = time.perf_counter()
                step()
                torch.cuda.synchronize()
                first = time.perf_counter() - begun
                out[f"{name}_adam_{optimizer}"] = {"step_us": wall(step), "first_step_seconds": first}

        model, opt = fresh(capturable=True)  # the whole step as one graph: the least that PyTorch can take
        side = torch.cuda.Stream()

        def whole():
            opt.zero_grad(set_to_none=True)
            F.cross_entropy(model(x), y).backward()
            opt.step()

        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                whole()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            whole()
        out["cuda_graph_adam_default"] = {"step_us": wall(graph.replay)}
        return out

    rows.section("rows_of_8192", 5, rows_of_8192)
    rows.section("attention", 5, attention)
    rows.section("adamw_124m", 5, adamw)
    rows.section("gpt2_eager", 8, lambda: gpt2(50257, 16, False, 8))
    rows.section("gpt2_eager_padded_vocabulary", 8, lambda: gpt2(50304, 16, False, 8))
    rows.section("mlp_64_128_10_batch_32", 15, mlp)
    rows.section("gpt2_compile_padded_vocabulary", 30, lambda: gpt2(50304, 16, True, 8))
    return 0


if __name__ == "__main__":
    sys.exit(main())
