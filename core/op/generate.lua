-- Makes tide_ops.h and op_table.c from the rows in FAMILY.lua.    lua5.4 generate.lua SRC_DIR OUT_DIR
-- A row:  { "name", "signature", program = true | kernel = true | compose = true | view = true, ... , doc = [[...]] }
-- Signature:  "input: operand, dim: dims? = {}, *, keepdim: bool = false"; after the * only by name; `?` may be left
-- out; `!` may vary in a plan; a row whose infer looks at such a number has numbers = true.

local src, out = arg[1], arg[2]
local families = { "create", "pointwise", "activation", "compare", "reduce", "norm", "loss", "view", "index", "join", "scan", "linear", "conv", "recurrent", "update", "gradient" }

local ctype = {
  operand = "tide_num", number = "tide_num", float = "double", int = "int64_t", bool = "int64_t", dim = "int64_t", dims = "tide_dims",
  shape = "tide_shape", pair = "tide_pair", position = "int64_t", dtype = "int64_t", enum = "int64_t",
}

local function fail(op, ...) error(("%s: "):format(op) .. string.format(...), 0) end

local function parse(row)
  local op = { name = row[1], args = {}, fields = {}, slots = {}, inputs = {}, row = row }
  local keyword = false
  for part in (row[2] .. ","):gmatch("%s*(.-)%s*,") do
    if part == "*" then
      keyword = true
    elseif part ~= "" then
      local name, spec, dflt = part:match("^([%w_]+):%s*([^=]-)%s*=%s*(.+)$")
      if not name then name, spec = part:match("^([%w_]+):%s*(.-)$") end
      if not name then fail(op.name, "cannot read argument '%s'", part) end
      local kind = spec:match("^%a+")
      local a = { name = name, type = kind, optional = spec:find("?", 1, true) ~= nil or dflt ~= nil, slot = spec:find("!", 1, true) ~= nil, raw = spec:find("^", 1, true) ~= nil,
        keyword = keyword, dflt = dflt, choices = spec:match("%((.-)%)"), input = -1 }
      if kind == "tensor" or kind == "operand" or kind == "tensors" then
        a.input = #op.inputs
        op.inputs[#op.inputs + 1] = a
      end
      if ctype[kind] then
        op.fields[#op.fields + 1] = a
      elseif kind ~= "tensor" and kind ~= "tensors" then
        fail(op.name, "unknown type '%s'", kind)
      end
      op.args[#op.args + 1] = a
    end
  end
  if row.random then -- filled by the front of the door
    for _, n in ipairs { "seed", "call" } do
      op.fields[#op.fields + 1] = { name = n, type = "int", slot = true, hidden = true }
    end
  end
  return op
end

local ops = {}
for _, family in ipairs(families) do
  local f = io.open(("%s/%s.lua"):format(src, family))
  if f then
    f:close()
    for _, row in ipairs(dofile(("%s/%s.lua"):format(src, family))) do
      local op = parse(row)
      op.family = family
      ops[#ops + 1] = op
    end
  end
end

local function enum_value(a, want)
  local i = 0
  for c in a.choices:gmatch("[^|]+") do
    if c == want then return i end
    i = i + 1
  end
  fail(a.name, "default '%s' is no choice", want)
end

local function field(a) return a.name == "end" and "end_" or a.name end -- a word of Lua, but the name PyTorch gives

local function initial(a)
  local d = a.dflt
  if a.type == "operand" then return "{{0}, TIDE_NONE, 0}" end
  if a.type == "number" then
    if not d then return "{{0}, TIDE_NONE, 0}" end
    if math.type(tonumber(d)) == "integer" then return ("{{.i = %s}, TIDE_INTEGER, 0}"):format(d) end
    return ("{{.f = %s}, TIDE_FLOAT, 0}"):format(d)
  end
  if a.type == "dims" then return d and ("{1, {%s}}"):format(d) or "{-1, {0}}" end
  if a.type == "shape" then return "{-1, {0}}" end
  if a.type == "pair" then return d and ("{{%s, %s}}"):format(d, d) or "{{TIDE_ABSENT, TIDE_ABSENT}}" end
  if a.type == "bool" then return d == "true" and "1" or "0" end
  if a.type == "enum" then return d and tostring(enum_value(a, d)) or "0" end
  if a.type == "float" then return d or "0" end
  if a.type == "dtype" then return "0" end
  if a.type == "dim" or a.type == "position" or a.type == "int" then return d or "TIDE_ABSENT" end
  return "0"
end

local function write(path, text)
  local f <close> = assert(io.open(path, "w"))
  f:write(text)
end

local h = { [[
/* Generated from the operation table by core/op/generate.lua. */
#ifndef TIDE_OPS_H
#define TIDE_OPS_H
#include "tide.h"
#ifdef __cplusplus
extern "C" {
#endif

#define TIDE_ABSENT INT64_MIN /* an integer attribute that is not given */
typedef struct { int64_t n; int64_t v[TIDE_MAXDIM]; } tide_shape; /* n = -1: not given */
typedef struct { int64_t n; int64_t v[TIDE_MAXDIM]; } tide_dims;  /* n = -1: not given */
typedef struct { int64_t v[2]; } tide_pair;                       /* rows, columns; TIDE_ABSENT: not given */

]] }
local function H(fmt, ...) h[#h + 1] = fmt:format(...) end
H("typedef enum {\n")
for _, op in ipairs(ops) do H("    TIDE_OP_%s,\n", op.name:upper()) end
H("    TIDE_NOPS\n} tide_opcode;\n\n")
for _, op in ipairs(ops) do
  for _, a in ipairs(op.fields) do
    if a.type == "enum" and not a.shared then
      local i = 0
      H("enum {")
      for c in a.choices:gmatch("[^|]+") do
        H("%s TIDE_%s_%s", i > 0 and "," or "", op.name:upper(), c:upper())
        i = i + 1
      end
      H(" }; /* %s of %s */\n", a.name, op.name)
    end
  end
  if #op.fields > 0 then
    H("typedef struct {\n")
    for _, a in ipairs(op.fields) do H("    %s %s;\n", ctype[a.type], field(a)) end
    H("} tide_%s_attr;\n", op.name)
  end
end
H("\n")
local call = {}
for _, op in ipairs(ops) do
  local row, params, ins = op.row, {}, {}
  if not row.internal and row.c ~= false then
    if #op.inputs == 0 then params[1] = "tide_context *cx" end
    for _, a in ipairs(op.inputs) do
      if a.type == "tensors" then
        params[#params + 1] = "tide_tensor *const *" .. a.name
        params[#params + 1] = "int n" .. a.name
      else
        params[#params + 1] = "tide_tensor *" .. a.name
        ins[#ins + 1] = a.name
      end
    end
    if #op.fields > 0 then params[#params + 1] = ("const tide_%s_attr *attr"):format(op.name) end
    local doc = (row.doc or ""):gsub("%s+$", ""):gsub("\n%s*", "\n * ")
    local many = (row.shown or row.outputs or 1) > 1
    if many then params[#params + 1] = ("tide_tensor *out[%d]"):format(row.shown or row.outputs) end
    local proto = ("%s tide_%s(%s)"):format(many and "tide_status" or "tide_tensor *", op.name, table.concat(params, ", ")):gsub("%* tide", "*tide")
    H("/* %s */\nTIDE_API %s;\n", doc, proto)
    local list = op.inputs[1] and op.inputs[1].type == "tensors"
    local c = { proto, " {\n" }
    if list then
      c[#c + 1] = ("    return tide_front(n%s > 0 && %s[0] ? %s[0]->cx : NULL, TIDE_OP_%s, %s, n%s, %s, NULL);\n"):format(
        op.inputs[1].name, op.inputs[1].name, op.inputs[1].name, op.name:upper(), op.inputs[1].name, op.inputs[1].name, #op.fields > 0 and "attr" or "NULL")
    else
      local cx = #op.inputs == 0 and "cx" or ("tide_front_context((tide_tensor *const[]){%s}, %d, %d)"):format(table.concat(ins, ", "), #ins,
        (op.inputs[1].optional or op.inputs[1].type == "operand") and 0 or 1)
      c[#c + 1] = ("    %stide_front(%s, TIDE_OP_%s, %s, %d, %s, %s)%s;\n"):format(many and "return " or "return ", cx, op.name:upper(),
        #ins > 0 and ("(tide_tensor *const[]){%s}"):format(table.concat(ins, ", ")) or "NULL", #ins, #op.fields > 0 and "attr" or "NULL",
        many and "out" or "NULL", many and " ? TIDE_OK : TIDE_EARG" or "")
    end
    c[#c + 1] = "}\n"
    call[#call + 1] = table.concat(c)
  end
end
H("\n#ifdef __cplusplus\n}\n#endif\n#endif\n")
write(out .. "/tide_ops.h", table.concat(h))

local t = { '/* Generated from the operation table by core/op/generate.lua. */\n#include "op/op.h"\n#include "op/front.h"\n\n' }
local function T(fmt, ...) t[#t + 1] = fmt:format(...) end
local function quote(s) return s and ('"%s"'):format(s:gsub("\\", "\\\\"):gsub('"', '\\"'):gsub("\n", "\\n")) or "NULL" end
for _, op in ipairs(ops) do
  local n, r = op.name, op.row
  if r.program == true then T("void %s_program(tide_prog *p, const void *attr, const tide_val *x, tide_val *y);\n", n) end
  if r.compose then T("tide_status %s_compose(tide_context *cx, tide_call *call);\n", n) end
  if r.kernel then T("tide_status %s_kernel(tide_context *cx, const tide_call *call);\n", n) end
  if r.view then T("tide_status %s_view(tide_context *cx, const tide_call *call, tide_seen *out);\n", n) end
  if r.infer == true then T("tide_status %s_infer(tide_shapes *s);\n", n) end
  if r.space == true then T("tide_status %s_space(const tide_shapes *s, tide_space *out);\n", n)
  elseif r.space then T("tide_status %s(const tide_shapes *s, tide_space *out);\n", r.space) end
  if type(r.infer) == "string" then T("tide_status %s(tide_shapes *s);\n", r.infer) end
  if r.vjp_program then
    T("void %s(tide_prog *p, const void *attr, const tide_val *x, const tide_val *y, const tide_val *gy, tide_val *gx);\n",
      r.vjp_program == true and n .. "_vjp_program" or r.vjp_program)
  end
  if r.vjp == true then T("tide_status %s_vjp(tide_context *cx, const tide_call *call, tide_tensor *const *gy, uint32_t need, tide_tensor **gx);\n", n)
  elseif r.vjp then T("tide_status %s(tide_context *cx, const tide_call *call, tide_tensor *const *gy, uint32_t need, tide_tensor **gx);\n", r.vjp) end
  if #op.fields > 0 then
    T("static const tide_%s_attr %s_attr0 = {", n, n)
    for i, a in ipairs(op.fields) do T("%s%s", i > 1 and ", " or "", initial(a)) end
    T("};\n")
  end
  local slots = {}
  for _, a in ipairs(op.fields) do
    -- a number's value may vary; its kind, which decides dtypes, may not
    if a.slot or a.type == "operand" then slots[#slots + 1] = ("offsetof(tide_%s_attr, %s)"):format(n, field(a)) end
  end
  op.nslot = #slots
  if #slots > 0 then T("static const uint16_t %s_slots[] = {%s};\n", n, table.concat(slots, ", ")) end
  if #op.fields > 0 then T('_Static_assert(sizeof(tide_%s_attr) %% 8 == 0, "attributes are compared word by word");\n', n) end
  -- where shapes depend on numbers, only the key of random ones makes no difference to a launch
  local unseen = {}
  for _, a in ipairs(op.fields) do
    if (a.slot or a.type == "operand") and (not r.numbers or a.hidden) then
      unseen[#unseen + 1] = ("[offsetof(tide_%s_attr, %s) / 8] = UINT64_MAX"):format(n, field(a))
    end
  end
  op.nunseen = #unseen
  if #unseen > 0 then T("static const uint64_t %s_unseen[sizeof(tide_%s_attr) / 8] = {%s};\n", n, n, table.concat(unseen, ", ")) end
  if #op.args > 0 then
    T("static const tide_arg %s_args[] = {\n", n)
    for _, a in ipairs(op.args) do
      T('    {"%s", TIDE_ARG_%s, %s, %s, %s, %s, %d, %s, %s, %s},\n', a.name, a.type:upper(), a.optional, a.keyword, a.slot, a.raw, a.input,
        ctype[a.type] and ("offsetof(tide_%s_attr, %s)"):format(n, field(a)) or "0", quote(a.choices), quote(a.dflt))
    end
    T("};\n")
  end
end
T("\nconst tide_op tide_op_table[TIDE_NOPS] = {\n")
for _, op in ipairs(ops) do
  local n, r = op.name, op.row
  local flags = {}
  for key, flag in pairs { view = "TIDE_F_VIEW", list = "TIDE_F_LIST", sync = "TIDE_F_SYNC", floating = "TIDE_F_FLOATING",
    promotes = "TIDE_F_PROMOTES", bool = "TIDE_F_BOOL", random = "TIDE_F_RANDOM", numbers = "TIDE_F_NUMBERS", writes = "TIDE_F_MUTATES" } do
    if r[key] then flags[#flags + 1] = flag end
  end
  table.sort(flags)
  T("    [TIDE_OP_%s] = {.name = %s, .lua = %s, .doc = %s,\n", n:upper(), quote(n), quote(r.lua or (not r.internal and n or nil)), quote(r.doc))
  local required = 0
  for i, a in ipairs(op.args) do
    if not a.optional and not a.keyword then required = required | 1 << (i - 1) end
  end
  T("        .nin = %d, .nout = %d, .nshown = %d, .narg = %d, .required = %d, .flags = %s, .nattr = %s, .writes = %d, .group = %d,\n", #op.inputs, r.outputs or 1,
    r.shown or r.outputs or 1, #op.args, required, #flags > 0 and table.concat(flags, " | ") or "0",
    #op.fields > 0 and ("sizeof(tide_%s_attr)"):format(n) or "0", r.writes or 0, r.list or 0)
  local method = r.method
  if method == nil then method = op.inputs[1] ~= nil and not (r.lua or ""):find("%.") and not r.internal and op.inputs[1].type ~= "tensors" end
  T("        .method = %s, .inplace = %s, .arg = %s, .attr0 = %s, .slot = %s, .nslot = %d, .unseen = %s,\n", method, r.inplace or false, #op.args > 0 and n .. "_args" or "NULL",
    #op.fields > 0 and "&" .. n .. "_attr0" or "NULL", op.nslot > 0 and n .. "_slots" or "NULL", op.nslot,
    op.nunseen > 0 and n .. "_unseen" or "NULL")
  local function hook(key, default)
    local v = r[key]
    if v == nil then v = default end
    if v then T("        .%s = %s,\n", key, v == true and n .. "_" .. key or v) end
  end
  hook("infer", r.program and (r.promotes or r.floating or r.bool) and "rule_broadcast" or nil)
  hook("program") hook("compose") hook("kernel") hook("view") hook("space") hook("vjp_program") hook("vjp")
  T("        .saves_in = %d, .saves_out = %d, .nograd = %s},\n", r.saves_in or 0, r.saves_out or 0, quote(r.nograd))
end
T("};\n\n/* The C functions: one call of the door's front each. */\n")
for _, c in ipairs(call) do T("%s", c) end
write(out .. "/op_table.c", table.concat(t))
