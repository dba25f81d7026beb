while true do tide.report("x", 0.5) end
