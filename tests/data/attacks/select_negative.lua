local function f(...) return select(-1, ...), f(..., 1, 2, 3) end
while true do pcall(f, 1, 2, 3) end
