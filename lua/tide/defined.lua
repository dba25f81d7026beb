--- Where the prompt's help finds a function that another made: fn -> {source, linedefined} (the comment above that line),
-- or {signature, text}.
return setmetatable({}, { __mode = "k" })
