while true do
  pcall(tide.ones, 1 << 40)
  pcall(tide.ones, 1 << 31, 1 << 31, 1 << 31)
  pcall(tide.randperm, 1 << 50)
  pcall(tide.arange, 1e18)
  pcall(tide.eye, 1 << 20)
end
