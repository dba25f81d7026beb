-- an error raised in a hook calls the handler without hooks
xpcall(function() while true do end end, function() while true do end end)
