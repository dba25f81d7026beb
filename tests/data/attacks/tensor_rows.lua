return tide.ones(1):expand(1000, 1000000000):sum(2):tolist()
