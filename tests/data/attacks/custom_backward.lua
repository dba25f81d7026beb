local f = tide.custom { forward = function(_, x) return x * 2 end, backward = function() while true do end end }
f(tide.ones(2):requires_grad_(true)):sum():backward()
