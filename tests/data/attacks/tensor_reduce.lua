-- 10^14 elements without any memory
return tide.ones(1):expand(10000000, 10000000):sum():item()
