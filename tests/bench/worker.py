"""Runs rows for run.lua: reads "NAME COUNT" lines, answers "SECONDS CPU NOTE", wall and processor seconds of
COUNT calls, or "error MESSAGE"."""
import gc
import os
import sys
import time

import torch

from rows import rows

torch.set_num_threads(int(os.environ["TIDE_THREADS"]))
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what compilers print is not an answer
prepared, call, note = None, None, "-"
for line in sys.stdin:
    name, count = line.split()
    try:
        if name != prepared:
            prepared = call = None
            gc.collect()
            torch.manual_seed(1)
            torch.set_grad_enabled(True)
            made = rows[name]()
            call, note = made if isinstance(made, tuple) else (made, "-")
            for _ in range(3):
                call()
            prepared = name
        count = range(int(count))
        start, cpu = time.perf_counter(), time.process_time()
        for _ in count:
            call()
        answer = f"{time.perf_counter() - start:.9f} {time.process_time() - cpu:.6f} {note}"
    except Exception as error:
        answer = "error " + " ".join(str(error).split())
    print(answer, file=answers, flush=True)
