-- a product over as many as can be told
return tide.ones(1):expand(8, 1 << 34):matmul(tide.ones(1):expand(1 << 34, 8)):tolist()
