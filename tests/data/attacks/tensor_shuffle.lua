while true do local _ = tide.randperm(4000000) end
