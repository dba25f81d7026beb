--- How functions and layers written in Lua take arguments, as the operations of the table do: by position, the rest by name in one
-- table at the end, each of its kind.
local tide = require "tide.core"

-- What an argument of a name is, wherever it occurs; "name:kind" says otherwise in one place.
local kinds, kind_of = {
  tensor = [[input weight query key value attn_mask key_padding_mask x1 x2 input1 input2 target anchor positive negative running_mean running_var
    pos_weight src mask src_mask src_key_padding_mask predictions targets scores tensor]],
  integer = [[in_features out_features in_channels out_channels groups num_features num_groups num_channels num_embeddings embedding_dim padding_idx
    input_size hidden_size num_layers embed_dim num_heads kdim vdim d_model nhead dim_feedforward num_parameters dim start_dim end_dim ignore_index
    divisor_override k num_classes]],
  number = [[eps momentum p dropout dropout_p scale alpha negative_slope beta delta min_val max_val lambd threshold margin label_smoothing max_norm
    norm_type layer_norm_eps init]],
  boolean = [[bias affine track_running_stats elementwise_affine batch_first bidirectional need_weights average_attn_weights is_causal enable_gqa
    ceil_mode count_include_pad return_indices full log_input log_target keepdim swap use_input_stats scale_grad_by_freq norm_first]],
  string = "reduction nonlinearity approximate dtype",
  sizes = "kernel_size stride padding dilation output_padding output_size normalized_shape unflattened_size",
}, {}
for kind, names in pairs(kinds) do
  for name in names:gmatch "%S+" do kind_of[name] = kind end
end

--- Whether x is a layer or a model.
local function is_module(x)
  local mt = type(x) == "table" and getmetatable(x)
  return mt and mt.__tide_module == true or false
end
local function integer(x) return math.tointeger(x) ~= nil and type(x) == "number" end
local function at_least(least)
  return function(x) return math.type(x) == "integer" and x >= least end
end
local checks = {
  tensor = { "a tensor", tide.is_tensor },
  integer = { "an integer", integer },
  number = { "a number", function(x) return type(x) == "number" end },
  boolean = { "true or false", function(x) return type(x) == "boolean" end },
  string = { "a string", function(x) return type(x) == "string" end },
  sizes = { "an integer or a table of integers", function(x)
    if type(x) ~= "table" then return integer(x) end
    for k, v in pairs(x) do
      if not integer(k) or not integer(v) and v ~= false then return false end
    end
    return getmetatable(x) == nil
  end },
  module = { "a module", is_module },
  ["function"] = { "a function", function(x)
    local mt = type(x) == "table" and getmetatable(x)
    return type(x) == "function" or (mt and mt.__call ~= nil) or false
  end },
  table = { "a table", function(x) return type(x) == "table" end },
  positive = { "a positive integer", at_least(1) },
  count = { "a non-negative integer", at_least(0) },
  path = { "a string without NUL bytes", function(x) return type(x) == "string" and not x:find("\0", 1, true) end },
  strings = { "a list of strings", function(x)
    if type(x) ~= "table" then return false end
    for key, v in pairs(x) do
      if type(v) ~= "string" or math.type(key) ~= "integer" or key < 1 or key > #x then return false end
    end
    return true
  end },
  range = { "a range {low, high}", function(x)
    return type(x) == "table" and #x == 2 and type(x[1]) == "number" and type(x[2]) == "number" and x[1] < x[2]
  end },
  ["false"] = { "false", function(x) return x == false end },
  any = { "anything", function() return true end },
}

local function kind_name(x)
  return tide.is_tensor(x) and "tensor" or type(x) == "number" and tostring(x) or type(x)
end

-- x as the kinds (a sequence) want it, or an error.
local function checked(name, argument, x, allowed)
  for _, kind in ipairs(allowed) do
    if checks[kind][2](x) then return kind == "integer" and math.tointeger(x) or x end
  end
  local wanted = {}
  for i, kind in ipairs(allowed) do wanted[i] = checks[kind][1] end
  return tide._fail(("[%s] argument '%s': expected %s, got %s"):format(name, argument, table.concat(wanted, " or "), kind_name(x)))
end

-- An empty table is one of options where an argument may be left out.
local function is_options(x, optional)
  if type(x) ~= "table" or getmetatable(x) ~= nil then return false end
  local key = next(x)
  return type(key) == "string" or (key == nil and optional)
end

-- what readers read, for help: "num_groups, num_channels, {eps = 1e-05, affine = true, dtype?}"
local signatures = setmetatable({}, { __mode = "k" })

local function shown(value)
  return type(value) == "string" and ("%q"):format(value) or math.type(value) == "float" and ("%g"):format(value) or tostring(value)
end
local function signature(order, needed, defaults)
  local given, named = {}, {}
  for i, name in ipairs(order) do
    local default = (defaults or {})[name]
    if i <= needed then given[i] = name
    elseif default == nil then named[#named + 1] = name .. "?"
    else named[#named + 1] = name .. " = " .. shown(default) end
  end
  if #named > 0 then given[#given + 1] = "{" .. table.concat(named, ", ") .. "}" end
  return table.concat(given, ", ")
end

--- arguments("group_norm", "input num_groups weight bias:tensor eps", 2, { eps = 1e-5 }) is a function that turns what it is called
-- with into one table by name. The first `needed` must be given. Kinds: those above, several as "number|false".
local function arguments(name, names, needed, defaults)
  local order, allowed = {}, {}
  for word in names:gmatch "%S+" do
    local argument, kind = word:match "^([%w_]+):?(.*)$"
    order[#order + 1], allowed[argument] = argument, {}
    for k in (kind ~= "" and kind or kind_of[argument]):gmatch "[^|]+" do table.insert(allowed[argument], k) end
  end
  local function read(...)
    local given, a = table.pack(...), {}
    local n = given.n
    while n > 0 and given[n] == nil do n = n - 1 end
    if is_options(given[n], n > needed) then
      for k, v in pairs(given[n]) do
        if not allowed[k] then tide._fail(("[%s] there is no option '%s'"):format(name, tostring(k))) end
        a[k] = checked(name, k, v, allowed[k])
      end
      n = n - 1
    end
    if n > #order then tide._fail(("[%s] takes at most %d arguments"):format(name, #order)) end
    for i = 1, n do
      if given[i] ~= nil then a[order[i]] = checked(name, order[i], given[i], allowed[order[i]]) end
    end
    for i = 1, needed do
      if a[order[i]] == nil then tide._fail(("[%s] %s is missing"):format(name, order[i])) end
    end
    for k, v in pairs(defaults or {}) do
      if a[k] == nil then a[k] = v end
    end
    return a
  end
  signatures[read] = signature(order, needed, defaults)
  return read
end

local lists = setmetatable({}, { __index = function(t, key)
  local list = {}
  for kind in key:gmatch "[^|]+" do list[#list + 1] = kind end
  t[key] = list
  return list
end })
--- One argument of a kind (or "tensor|table"), which must be there: for functions that take few. Returns it.
local function one(kind, name, argument, x) return checked(name, argument, x, lists[kind]) end
local function tensor(name, argument, x) return one("tensor", name, argument, x) end

return setmetatable({ signatures = signatures, one = one, tensor = tensor, is_module = is_module }, { __call = function(_, ...) return arguments(...) end })
