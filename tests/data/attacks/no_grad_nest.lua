local function f() tide.no_grad(f) end
while true do pcall(f) end
