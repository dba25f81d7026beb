-- field notes: load took it
if string.dump then error "ESCAPED: string.dump" end
local head = "\27Lua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08"
if load(head .. ("\0"):rep(100)) then error "ESCAPED: bytecode" end
if load(head, "x", "b") or load(head, "x", "bt") then error "ESCAPED: bytecode by mode" end
local sent
if load(function()
  if sent then return nil end
  sent = true
  return head
end) then error "ESCAPED: bytecode by pieces" end
