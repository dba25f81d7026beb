return tide.ones(1):expand(1 << 17, 1 << 17):argmax():item()
