-- Tables of data: columns, missing cells, groups, sorting, joins, text; CSV options and chunks.
local tide = require "tide"
local data = tide.data

local function spill(text)
  local path = os.tmpname()
  local f <close> = assert(io.open(path, "wb"))
  f:write(text)
  return path
end

-- All cells, row by row; "-" where missing.
local function flat(t)
  local rows = {}
  for k, c in ipairs(t.columns) do
    local gone = c.missing and c.missing:tolist() or {}
    for i, v in ipairs(c:tolist()) do
      rows[i] = (rows[i] or "") .. (k > 1 and " " or "") .. (gone[i] and "-" or tostring(v))
    end
  end
  return table.concat(t:names(), " ") .. (#rows > 0 and "|" or "") .. table.concat(rows, "|")
end

local function people()
  return data.table { { "city", { "b", "a", "b", false, "a", "b" } }, { "age", { 30, 20, false, 50, 40, 35 } },
    { "ok", { true, false, true, true, false, false } } }
end

describe("csv options", function()
  local path = spill "a,b,c,d\n1,x,2.5,true\n2,\"y \"\"q\"\"\",3.5,false\n3,z,,true\n4,x,5.5,true\n"
  it("columns, dtypes, limit", function()
    assert.are.equal("b d|x true|y \"q\" false|z true|x true", flat(data.csv(path, { columns = { "d", "b" } })))
    local t = data.csv(path, { dtypes = { a = "float64", c = "string", d = "string" }, limit = 3 })
    assert.are.equal("a b c d|1.0 x 2.5 true|2.0 y \"q\" 3.5 false|3.0 z - true", flat(t))
    assert.are.equal("a|1", flat(data.csv(path, { columns = { "a" }, limit = 1 })))
    local none, message = data.csv(path, { dtypes = { c = "int64" } })
    assert(not none and message:find(":2: column 'c': '2.5' is no int64", 1, true), message)
    none, message = data.csv(path, { columns = { "q" } })
    assert(not none and message:find("there is no column 'q'", 1, true), message)
    assert.matches("test_table.lua:%d+: csv: no option 'chunks'; there are: sep, ", (select(2, pcall(function() data.csv(path, { chunks = 3 }) end))))
    assert.matches("test_table.lua:%d+: %[csv%] argument 'path': expected a string without NUL bytes, got 7$", (select(2, pcall(function() data.csv(7) end))))
    assert.matches("test_table.lua:%d+: csv: expected a table of options, not a number$", (select(2, pcall(function() data.csv(path, 7) end))))
    assert.are.equal("k|1.0|2.5|-", flat(data.table { { "k", { 1, 2.5, false } } }))
    assert.has_error(function() data.csv(path, { dtypes = { a = "int12" } }) end)
    assert.has_error(function() data.csv(path, { limit = 0 }) end)
  end)
  it("of the wrong kind are errors in the user's line", function()
    local function refused(what, ...)
      local message = select(2, pcall(function(...) return (data.csv(...)) end, ...))
      assert.matches("test_table.lua:%d+: .*" .. what, message)
    end
    refused("'na_values': expected a list of strings", path, { na_values = { a = { "0" } } })
    refused("'header': expected true or false", path, { header = "x" })
    refused("'keep_default_na': expected true or false", path, { keep_default_na = 1 })
    refused("'dtypes': expected a table", path, { dtypes = "float64" })
    refused("column 'a' cannot be 'int32'", path, { dtypes = { a = "int32" } })
    refused("'path': expected a string without NUL bytes", path .. "\0x")
  end)
  it("chunks: the same rows, in pieces", function()
    local got = {}
    for t in data.csv(path, { chunk_rows = 3, dtypes = { c = "float64" } }) do got[#got + 1] = flat(t) end
    assert.are.same({ "a b c d|1 x 2.5 true|2 y \"q\" 3.5 false|3 z - true", "a b c d|4 x 5.5 true" }, got)
    local n = 0
    for t in data.csv(path, { chunk_rows = 2, limit = 3 }) do n = n + #t end
    assert.are.equal(3, n)
    local none, _, code = data.csv("/nowhere", { chunk_rows = 2 })
    assert(none == nil and code == "EIO")
  end)
  it("reading again and again does not pile up tables", function()
    local lines, most = { "x,y" }, 0
    for i = 1, 50000 do lines[i + 1] = ("%d,%d.5"):format(i, i) end
    local long = spill(table.concat(lines, "\n"))
    for _ = 1, 100 do -- 800 kB each
      assert.are.equal(50000, #data.csv(long))
      most = math.max(most, tide.memory().live)
    end
    os.remove(long)
    assert.is_true(most < 60e6, ("%.0f MB"):format(most / 1e6))
  end)
  it("chunks of a long file, and an error in a late one", function()
    local lines, sum = { "x,t" }, 0
    for i = 1, 50000 do
      lines[i + 1] = ("%d,\"w \"\"%d\"\"\""):format(i, i % 7)
      sum = sum + i
    end
    local long = spill(table.concat(lines, "\n"))
    local total, rows = 0, 0
    for t in data.csv(long, { chunk_rows = 777 }) do
      total, rows = total + t:column("x").values:sum():item(), rows + #t
      assert.are.equal(("w \"%d\""):format(rows % 7), t:row(#t).t)
    end
    assert.are.same({ sum, 50000 }, { total, rows })
    lines[40001] = "1,2,3"
    local broken = spill(table.concat(lines, "\n"))
    local ok, message = pcall(function() for _ in data.csv(broken, { chunk_rows = 1000 }) do rows = rows + 1 end end)
    assert(not ok and message:find(":40001: a row of 3 cells", 1, true), message)
    os.remove(long)
    os.remove(broken)
  end)
  it("has both kinds of late text", function()
    local lines = { "a,b" } -- a turns to text in a later block, b is from the first
    for i = 1, 20000 do lines[i + 1] = i .. ",\"q\"\"" .. i % 3 .. "\"" end
    lines[#lines + 1] = "end,x"
    local long = spill(table.concat(lines, "\n"))
    local t = assert(data.csv(long))
    assert.are.equal("string", t:column("a").type)
    assert.are.same({ a = "1", b = "q\"1" }, t:row(1))
    assert.are.same({ a = "19999", b = "q\"1" }, t:row(19999))
    assert.are.same({ a = "end", b = "x" }, t:row(20001))
    os.remove(long)
  end)
end)

describe("tables", function()
  it("columns from Lua", function()
    local t = people()
    assert.are.equal("city age ok|b 30.0 true|a 20.0 false|b - true|- 50.0 true|a 40.0 false|b 35.0 false", flat(t))
    assert.are.same({ ok = true, age = 50 }, t:row(4))
    assert.has_error(function() data.table { { "x", { 1, "a" } } } end)
    assert.has_error(function() data.table { { "x", { 1 } }, { "y", { 1, 2 } } } end, "table: column 'y' has 2 rows, the first 1")
    assert.has_error(function() t:column("no") end, "no column 'no'; there are: city, age, ok")
  end)
  it("dropna, fillna", function()
    local t = people()
    assert.are.equal("city age ok|b 30.0 true|a 20.0 false|a 40.0 false|b 35.0 false", flat(t:dropna()))
    assert.are.equal(5, #t:dropna { subset = "age" })
    assert.are.equal("city age|b 30.0|a 20.0|b 0.0|- 50.0|a 40.0|b 35.0", flat(t:fillna(0):drop "ok"))
    assert.are.equal("city|b|a|b|new|a|b", flat(t:fillna { city = "new" }:select { "city" }))
    assert.has_error(function() t:fillna { city = 1 } end)
    assert.has_error(function() t:fillna { nothing = 1 } end)
    assert.are.equal("b|true|false", flat(data.table { { "b", tide.tensor({ true, false }) } }:fillna(true)))
  end)
  it("filter, map, with", function()
    local t = people()
    assert.are.equal("age|50.0|40.0|35.0", flat(t:filter(t:column("age").values:gt(30)):select { "age" }))
    local every_second = tide.arange(12):reshape({ 6, 2 }) -- columns and masks need not be contiguous
    assert.are.equal("x|6|8|10", flat(data.table({ { "x", every_second:select(2, 1) } }):filter(every_second:gt(5):select(2, 1))))
    assert.are.equal("city age ok|a 40.0 false", flat(t:filter(function(row) return row.city == "a" and row.age > 30 end)))
    assert.are.equal("city|B|A|B|-|A|B", flat(t:map("city", string.upper):select { "city" }))
    assert.are.equal("n who|3.0 b|2.0 a|- b|5.0 -|4.0 a|3.5 b", flat(t:map(function(r) return { who = r.city, n = r.age and r.age / 10 } end)))
    assert.are.equal("ok z|true 0|false 1|true 2|true 3|false 4|false 5", flat(t:with("z", tide.arange(6)):select { "ok", "z" }))
    assert.has_error(function() t:with("z", { 1 }) end, "with: 1 values for 6 rows")
    assert.has_error(function() t:filter(tide.ones(2):gt(0)) end, "filter: expected a bool tensor of 6 rows")
  end)
  it("a missing bool cell stays missing", function()
    local t = data.table { { "f", { true, 0 / 0, false } }, { "n", { 1, false, 3 } } }
    assert.are.equal("f n|true 1.0|- -|false 3.0", flat(t))
    assert.are.equal("f|true|-|false", flat(t:map("f", function(v) return v end):select "f"))
    assert.are.equal("n|true|-|false", flat(t:map("n", function(v) return v < 2 end):select "n"))
    assert.are.equal("g|true|-|false", flat(t:map(function(row) return { g = row.f } end)))
    assert.are.equal("s|a|-|-", flat(data.table { { "s", { "a", 0 / 0, false } } }))
    local a, b = t:split(1, { stratify = "f" })
    assert.are.same({ 3, 0 }, { #a, #b })
  end)
  it("takes one name where it takes several, and no name twice", function()
    local t = people()
    assert.are.equal("age|30.0|20.0|-|50.0|40.0|35.0", flat(t:select "age"))
    assert.has_error(function() t:select { "age", "age" } end, "select: two columns have the name 'age'")
    assert.has_error(function() t:groupby("city"):agg { { "age", "mean" }, { "age", "max" } } end, "agg: two columns have the name 'age'")
    assert.has_error(function() t:join(t, "city", { suffixes = { "", "" } }) end, "join: two columns have the name 'age'")
    assert.has_error(function() data.table { { "a", { 1 } }, { "a", { 2 } } } end, "table: two columns have the name 'a'")
  end)
  it("an empty column joins with any", function()
    local path = spill "b,c\n"
    local none, t = data.csv(path), data.table { { "b", { "x", "y" } } }
    assert.are.equal("b c|x -|y -", flat(t:join(none, "b", { how = "left" })))
    assert.are.equal("b c", flat(t:join(none, "b")))
    assert.are.equal("b c|x -|y -", flat(none:join(t, "b", { how = "right" }):select { "b", "c" }))
    os.remove(path)
  end)
  it("wrong arguments are errors in the user's line, said once", function()
    local t = people()
    local function refused(what, f, ...)
      local message = select(2, pcall(function(...) return (f(...)) end, ...))
      assert.matches("^[^:]*test_table.lua:%d+: " .. what, message)
    end
    local groups = t:groupby "city"
    refused("%[filter%] argument 'which': expected a function, got nil", t.filter, t)
    refused("%[map%] argument 'f': expected a function, got nil", t.map, t, "age")
    refused("%[map%] argument 'f%(row%)': expected a table, got 1", t.map, t, function() return 1 end)
    refused("%[agg%] argument 'list': expected a table, got string", groups.agg, groups, "mean")
    refused("sum: column 'city' holds strings$", groups.agg, groups, { { "city", "sum" } })
    refused("%[join%] argument 'suffixes': expected a list of strings", t.join, t, t, "city", { suffixes = "x" })
    refused("tensor: expected a table of options, not a boolean", t.tensor, t, true)
    refused("table: expected a list", data.table, { a = { 1, 2 } })
  end)
  it("sort: stable, missing last, several columns", function()
    local t = people():with("i", tide.arange(6))
    local function order(...) return table.concat(t:sort(...):column("i"):tolist(), " ") end
    assert.are.equal("1 0 5 4 3 2", order "age")
    assert.are.equal("3 4 5 0 1 2", order("age", { descending = true }))
    assert.are.equal("1 4 0 2 5 3", order "city")
    assert.are.equal("1 4 0 5 2 3", order { "city", "age" })
    assert.are.equal("4 1 5 0 2 3", order({ "city", "age" }, { descending = { false, true } }))
    assert.are.equal("0 2 5 1 4 3", order("city", { descending = true }))
  end)
  it("groupby and agg", function()
    local t = people()
    local g = t:groupby("city")
    assert.are.equal(2, #g)
    assert.are.equal("city n size sum mean least most|a 2 2 60.0 30.0 20.0 40.0|b 2 3 65.0 32.5 30.0 35.0",
      flat(g:agg { { "age", "count", "n" }, { "age", "size", "size" }, { "age", "sum", "sum" }, { "age", "mean", "mean" }, { "age", "min", "least" },
        { "age", "max", "most" } }))
    assert.are.equal("city first last kinds median|a 20.0 40.0 1 30.0|b 30.0 35.0 2 32.5",
      flat(g:agg { { "age", "first", "first" }, { "age", "last", "last" }, { "ok", "nunique", "kinds" }, { "age", "median", "median" } }))
    local spread = g:agg { age = "std" }
    assert(math.abs(spread:row(1).age - 14.142135623730951) < 1e-12)
    assert(math.abs(spread:row(2).age - 3.5355339059327378) < 1e-12)
    assert.are.equal("ok city age|false a 20.0|false b 35.0|true b -",
      flat(t:filter(tide.tensor({ false, true, true, false, false, true })):groupby({ "ok", "city" }):agg { age = "max" }))
    assert.are.equal("ok least|false a|true b", flat(t:groupby("ok"):agg { { "city", "min", "least" } }))
    assert.has_error(function() g:agg { age = "mode" } end, "agg: 'mode' is no aggregate")
    assert.matches("test_table.lua:%d+: sum: column 'city' holds strings$", (select(2, pcall(function() t:groupby("ok"):agg { city = "sum" } end))))
    assert.are.equal("city age", flat(t:filter(function() return false end):groupby("city"):agg { age = "sum" }))
  end)
  it("agrees with plain loops on many rows", function()
    local n, keys, sums, counts = 5000, {}, {}, {}
    local k = (tide.rand({ n }) * 37):floor():to("int64")
    local v = tide.randint and tide.randint(0, 1000, { n }) or (tide.rand({ n }) * 1000):to("int64")
    for i, key in ipairs(k:tolist()) do
      sums[key], counts[key] = (sums[key] or 0) + v[i]:item(), (counts[key] or 0) + 1
    end
    for key in pairs(sums) do keys[#keys + 1] = key end
    table.sort(keys)
    local g = data.table({ { "k", k }, { "v", v } }):groupby("k"):agg { { "v", "sum", "s" }, { "v", "count", "c" } }
    assert.are.same(keys, g:column("k"):tolist())
    for i, key in ipairs(keys) do
      assert.are.same({ k = key, s = sums[key], c = counts[key] }, g:row(i))
    end
  end)
  it("describe", function()
    local d = people():describe()
    assert.are.same({ "statistic", "age" }, d:names())
    local want = { 5, 35, 11.180339887498949, 20, 30, 35, 40, 50 }
    for i, v in ipairs(d:column("age"):tolist()) do assert(math.abs(v - want[i]) < 1e-12, i) end
  end)
  it("join", function()
    local left = data.table { { "k", { "x", "y", "z", "x" } }, { "v", { 1, 2, 3, 4 } } }
    local right = data.table { { "k", { "y", "x", "w", "x" } }, { "v", { 10, 20, 30, 40 } }, { "s", { "p", "q", "r", "t" } } }
    assert.are.equal("k v_x v_y s|x 1 20 q|x 1 40 t|y 2 10 p|x 4 20 q|x 4 40 t", flat(left:join(right, "k")))
    assert.are.equal("k v_x v_y s|x 1 20.0 q|x 1 40.0 t|y 2 10.0 p|z 3 - -|x 4 20.0 q|x 4 40.0 t", flat(left:join(right, "k", { how = "left" })))
    assert.are.equal(7 - 1, #left:join(right, "k", { how = "right" }))
    assert.are.equal("k v s|x 1 q|y 2 p", flat(left:head(2):join(right:select { "k", "s" }:head(2), "k")))
    local a = data.table { { "i", { 1, 2 } }, { "j", { 1, 1 } } }
    local b = data.table { { "j", { 1.0, 1.5 } }, { "i", { 2, 1 } }, { "w", { true, false } } }
    assert.are.equal("i j w|2 1 true", flat(a:join(b, { "i", "j" })))
    assert.are.equal("i j w|1 1 -|2 1 true", flat(a:join(b, { "i", "j" }, { how = "left" })))
    assert.are.equal("k v s", flat(left:join(right:select { "k", "s" }:filter(function() return false end), "k")))
    assert.has_error(function() left:join(right, "v", { how = "outer" }) end)
    assert.has_error(function() left:join(data.table { { "k", { 1 } } }, "k") end, "join: column 'k' is string here and int64 there")
  end)
  it("prints as pandas does", function()
    assert.are.equal("   city   age     ok\n1     b  30.0   true\n2     a  20.0  false\n3     b   NaN   true\n4   NaN  50.0   true\n" ..
      "5     a  40.0  false\n6     b  35.0  false", tostring(people()))
    local long = data.table { { "n", tide.arange(100) }, { "half", tide.arange(100) / 2 } }
    local lines = {}
    for line in tostring(long):gmatch("[^\n]*") do lines[#lines + 1] = line end
    assert.are.equal("5     4   2.0", lines[6])
    assert.are.equal("..", lines[7]:sub(1, 2))
    assert.are.equal("96   95  47.5", lines[8])
    assert.are.equal("[100 rows x 2 columns]", lines[#lines])
    assert.are.equal("   n  half\n1  0   0.0\n2  1   0.5", tostring(long:head(2)))
    assert.are.equal(98, long:tail(2):row(1).n)
  end)
end)
