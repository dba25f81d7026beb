local function handler() error "again" end
while true do xpcall(error, handler, "x") end
