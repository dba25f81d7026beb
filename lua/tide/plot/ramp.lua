--- The colours of heat maps: dark to light, read the same without colour vision (the shape of matplotlib's viridis, at nine
-- places, straight between them).
local at = {
  { 68, 1, 84 }, { 71, 45, 123 }, { 59, 82, 139 }, { 44, 114, 142 }, { 33, 145, 140 }, { 40, 174, 128 }, { 94, 201, 98 }, { 173, 220, 48 }, { 253, 231, 37 },
}

--- Red, green and blue (0..255) for v in 0..1.
return function(v)
  local x = math.max(0, math.min(1, v)) * (#at - 1)
  local i = math.min(math.floor(x), #at - 2)
  local part, rgb = x - i, {}
  for k = 1, 3 do rgb[k] = math.floor(at[i + 1][k] + (at[i + 2][k] - at[i + 1][k]) * part + 0.5) end
  return rgb[1], rgb[2], rgb[3]
end
