while true do
  tide.scope()
  local _ = tide.ones(8)
end
