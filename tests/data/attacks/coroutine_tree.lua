-- each coroutine is too short for a counting hook of its own
local function tree(depth)
  if depth == 0 then return end
  for _ = 1, 3 do coroutine.wrap(tree)(depth - 1) end
end
tree(60)
