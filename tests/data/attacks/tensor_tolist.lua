return tide.ones(1):expand(1000000, 1000000):tolist()
