local x = tide.rand(16)
while true do x = x:exp():log() end
