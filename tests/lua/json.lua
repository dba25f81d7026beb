-- A small JSON decoder for the tests' data: null is nil, arrays are sequences.
local function decode(text)
  local pos = 1
  local value
  local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
  local function skip() pos = text:find("[^ \t\r\n]", pos) or #text + 1 end
  local function str()
    local out = {}
    pos = pos + 1
    while true do
      local at = text:find('["\\]', pos)
      out[#out + 1] = text:sub(pos, at - 1)
      if text:byte(at) == 34 then
        pos = at + 1
        return table.concat(out)
      end
      local c = text:sub(at + 1, at + 1)
      if c == "u" then
        local code = tonumber(text:sub(at + 2, at + 5), 16)
        pos = at + 6
        if code >= 0xD800 and code < 0xDC00 then
          code = 0x10000 + ((code - 0xD800) << 10) + tonumber(text:sub(pos + 2, pos + 5), 16) - 0xDC00
          pos = pos + 6
        end
        out[#out + 1] = utf8.char(code)
      else
        out[#out + 1] = escapes[c]
        pos = at + 2
      end
    end
  end
  function value()
    skip()
    local c = text:sub(pos, pos)
    if c == '"' then return str() end
    if c == "{" or c == "[" then
      local out, close, n = {}, c == "{" and "}" or "]", 0
      pos = pos + 1
      skip()
      while text:sub(pos, pos) ~= close do
        if c == "{" then
          local key = str()
          skip()
          pos = pos + 1
          out[key] = value()
        else
          n = n + 1
          out[n] = value()
        end
        skip()
        if text:sub(pos, pos) == "," then
          pos = pos + 1
          skip()
        end
      end
      pos = pos + 1
      return out
    end
    local word = text:match("^%a+", pos)
    if word then
      pos = pos + #word
      if word == "true" then return true elseif word == "false" then return false end
      return nil
    end
    local number = text:match("^-?[%d.eE+-]+", pos)
    pos = pos + #number
    return tonumber(number)
  end
  return value()
end

return function(path)
  local f <close> = assert(io.open(path, "rb"))
  return decode(f:read("a"))
end
