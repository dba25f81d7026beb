-- catches the error that stops it, for ever
while true do pcall(function() while true do end end) end
