--- tide.nn.functional beyond the operation table: functions that are made of others.
for _, file in ipairs { "activation", "conv", "pool", "norm", "attention", "loss", "margins", "embedding", "image" } do require("tide.nn.functional." .. file) end
return require("tide.core").nn.functional
