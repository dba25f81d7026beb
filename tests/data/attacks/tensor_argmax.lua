return tide.ones(1):expand(100000000, 1000000):argmax():item()
