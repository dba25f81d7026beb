-- a graph that is never walked
local x = tide.rand(64):requires_grad_(true)
local y = x
while true do y = y * 1.0001 + x end
