-- 10^10 elements without any memory
return tide.ones(1):expand(1 << 17, 1 << 18):sum():item()
