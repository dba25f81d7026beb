-- Pictures: exact texts, and SVG that an XML reader takes.
local tide = require "tide"
local plot = tide.plot

local function text(figure, options)
  options = options or {}
  options.colour = options.colour or false
  return figure:text(options)
end
local function lines(...) return table.concat({ ... }, "\n") end
local function temporary()
  local name = os.tmpname()
  os.remove(name)
  return name .. ".svg"
end
local function read(path)
  local f = assert(io.open(path, "rb"))
  local all = f:read "a"
  f:close()
  return all
end
local xmllint = os.execute "xmllint --version 2>/dev/null"

local function saved(figure)
  local path = temporary()
  assert.is_true(figure:save(path))
  local svg = read(path)
  if xmllint then assert.is_truthy(os.execute("xmllint --noout " .. path), svg) end
  os.remove(path)
  return svg
end

describe("axes", function()
  local axis = require "tide.plot.axis"
  local function labels(lo, hi, count, options)
    local list = {}
    for i, t in ipairs(axis.new(lo, hi, count, options or {}).ticks) do list[i] = t.label end
    return table.concat(list, " ")
  end
  it("have ticks at round numbers", function()
    assert.same("0 20 40 60 80 100", labels(0, 100, 5))
    assert.same("-0.2 0.0 0.2", labels(-0.3, 0.3, 4))
    assert.same("0.00 0.05 0.10", labels(0, 0.1, 3))
    assert.same("2e6 4e6 6e6 8e6", labels(1e6, 9e6, 4))
    assert.same("1.0e6 1.5e6 2.0e6", labels(1e6, 2e6, 4))
    assert.same("-1e308 0 1e308", labels(-1.7e308, 1.7e308, 4))
    assert.same("1 2", labels(1, 2, 8, { whole = true }))
    assert.same("-0.5 0.0 0.5 1.0", labels(-0.3, 0.9, 4, { widen = true }))
  end)
  it("have room around a single value", function()
    assert.same("4.5 5.0 5.5", labels(5, 5, 4))
    assert.same("-1.0 -0.5 0.0 0.5 1.0", labels(0, 0, 4))
  end)
  it("count in powers of ten", function()
    assert.same("0.001 0.01 0.1 1 10", labels(1e-3, 10, 6, { log = true }))
    assert.same("0.0001 1 1e4", labels(1e-6, 1e6, 3, { log = true }))
    assert.same("1 2 5 10 20 50", labels(1, 60, 6, { log = true }))
    assert.same("2.0 2.2 2.4", labels(2, 2.5, 3, { log = true }))
    local a = axis.new(1, 100, 4, { log = true })
    assert.near(0.5, a.at(10), 1e-12)
  end)
  it("write numbers shortly", function()
    assert.same({ "0.25", "1e-5", "1e20", "nan", "3" }, { axis.short(0.25), axis.short(1e-5), axis.short(1e20), (axis.short(0 / 0):gsub("-", "")), axis.short(3) })
  end)
end)

describe("curves", function()
  it("are drawn in dots", function()
    local f = plot.line { 3, 1, 2, title = "loss", xlabel = "epoch" }
    assert.same(lines(
      "                   loss",
      "3.0 ┤⠑⠢⢄⡀",
      "2.5 ┤   ⠈⠑⠢⣀",
      "2.0 ┤       ⠉⠒⠤⣀                   ⢀⣀⠤⠤⠒",
      "1.5 ┤           ⠉⠢⢄⡀        ⢀⣀⡠⠤⠒⠒⠉⠁",
      "1.0 ┤              ⠈⠑⠢⢄⡠⠤⠔⠒⠉⠁",
      "    └┬────────────────┬────────────────┬",
      "     1                2                3",
      "                   epoch"), text(f, { width = 40, height = 5 }))
  end)
  it("differ by dashes, or by colours, and have labels", function()
    local f = plot.line { { y = tide.tensor { 0, 0 }, label = "train" }, { y = { 1, 1 }, label = "valid" } }
    local drawn = text(f, { width = 24, height = 4 })
    assert.same(lines(
      "1.0 ┤⠉⠉⠁ ⠉⠉⠁ ⠉⠉⠁ ⠉⠉⠁ ⠉⠉⠁",
      "0.5 ┤",
      "    │",
      "0.0 ┤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀",
      "    └┬─────────────────┬",
      "     1                 2",
      "     ⠒⠒⠒⠒ train   ⠒⠒⠂ valid"), drawn)
    local coloured = f:text { width = 24, height = 4, colour = true }
    assert.matches("\27[36m⠒\27[0m train", coloured, 1, true)
    assert.matches("\27[33m⠒\27[0m valid", coloured, 1, true)
  end)
  it("may be logarithmic, and leave out what cannot be drawn", function()
    local f = plot.line { { 1, 10, 0, 1000, 0 / 0, math.huge, 10, -5, 1000 }, logy = true }
    assert.same(lines(
      "1000 ┤          ⠈                ⠈",
      " 100 ┤",
      "     │",
      "  10 ┤  ⢀⠔                ⠐",
      "   1 ┤⡠⠊⠁",
      "     └───┬──────┬──────┬──────┬───",
      "         2      4      6      8"), text(f, { width = 34, height = 5 }))
  end)
  it("of any numbers are drawn within their room", function()
    for _, numbers in ipairs { {}, { 5 }, { 0 / 0 }, { 5e-324, 0 }, { 1, 1 + 2e-16 }, { 1e308, -1e308, 1.7e308 }, { math.huge, -math.huge, 1 }, { -1, -2 } } do
      for _, log in ipairs { false, true } do
        local f = plot.line { numbers, logy = log, logx = log }
        for line in text(f, { width = 50, height = 6 }):gmatch "[^\n]+" do assert.is_true(utf8.len(line) <= 50, line) end
        local svg = saved(f)
        assert.is_nil(svg:find "nan")
        assert.is_nil(svg:find "inf")
      end
    end
  end)
  it("are written as SVG", function()
    local svg = saved(plot.line { { x = { 0, 1, 2 }, y = { 0, 1, 0 }, label = "a < b & \"c\"" }, { y = { 0.5 } }, title = "t\0\xff" })
    assert.matches('<polyline fill="none" stroke="#0072b2" stroke-width="1.5" points="64,352 344,36 624,352"/>', svg, 1, true)
    assert.matches('<circle cx="344" cy="194" r="2" fill="#e69f00"/>', svg, 1, true)
    assert.matches('<text x="586" y="52" text-anchor="end">a &lt; b &amp; &quot;c&quot;</text>', svg, 1, true)
    assert.matches(">t\u{fffd}\u{fffd}</text>", svg, 1, true)
    assert.matches('width="640" height="400"', svg, 1, true)
  end)
  it("of many points stay small files, with their peaks", function()
    local y = {}
    for i = 1, 100000 do y[i] = i == 54321 and 9 or math.sin(i / 1000) end
    local svg = saved(plot.line { y })
    assert.is_true(#svg < 60000, #svg)
    local highest = math.huge
    for v in svg:match('points="(.-)"'):gmatch ",(%S+)" do highest = math.min(highest, tonumber(v)) end
    assert.near(36 + (1 - 11 / 12) * 316, highest, 0.01) -- 9 on an axis from -2 to 10
  end)
  it("take one table", function()
    for _, kind in ipairs { "line", "histogram", "heatmap" } do
      assert.error_matches(function() plot[kind]({ { { 1, 2 } } }, { bins = 0 }) end, kind .. ": takes one table, with options beside the numbers")
    end
    local figure = plot.line { 1, 2, width = math.huge }
    for _, method in ipairs { "text", "svg" } do
      assert.error_matches(function() figure[method](figure, true) end, "plot." .. method .. ": expected a table of options")
      assert.error_matches(function() figure[method](figure, { width = "wide" }) end, "'width': expected a number")
    end
    assert.matches("^[^\n]+\n", text(figure))
  end)
  it("say what is wrong", function()
    local _, message = pcall(function() plot.line {} end)
    assert.matches("test_plot.lua:%d+: plot.line: no series", message)
    assert.error_matches(function() plot.line { { "a" } } end, "plot.line: series 1: expected numbers; entry 1 is a string")
    assert.error_matches(function() plot.line { { x = { 1 }, y = { 1, 2 } } } end, "series 1: 1 numbers in x, 2 in y")
    assert.error_matches(function() plot.line { { 1 }, colour = 1 } end, "unknown option 'colour'")
    assert.error_matches(function() plot.line { { 1 }, title = 1 } end, "title must be a string, not a number")
    assert.error_matches(function() plot.line(7) end, "expected a table, not a number")
    assert.error_matches(function() plot.line({ 1 }):save "x.png" end, "must end with .svg")
    assert.same("EIO", select(3, plot.line({ 1 }):save "/no/such/folder/x.svg"))
  end)
end)

describe("histograms", function()
  it("are counted as NumPy's, and drawn as bars", function()
    local f = plot.histogram { 0, 0.5, 1, 1, 2, 3.9, 4, 0 / 0, bins = 4 }
    assert.same({ 2, 2, 1, 2 }, f.counts)
    assert.same({ 0, 1, 2, 3, 4 }, f.edges)
    assert.same(lines(
      "0.0 .. 1.0 ██████████████████████████ 2",
      "1.0 .. 2.0 ██████████████████████████ 2",
      "2.0 .. 3.0 █████████████ 1",
      "3.0 .. 4.0 ██████████████████████████ 2"), text(f, { width = 38 }))
    assert.same({ 0, 2, 0 }, plot.histogram({ 5, 5, bins = 3 }).counts)
    assert.same({ 1, 3 }, plot.histogram({ tide.tensor { 0, 1, 1.5, 2, 7 }, bins = 2, range = { 0, 2 } }).counts)
    assert.matches("\27[36m█", f:text { width = 38, colour = true }, 1, true)
  end)
  it("are written as SVG", function()
    local svg = saved(plot.histogram { 0, 1, 1, 2, bins = 2, title = "h", xlabel = "v", ylabel = "n" })
    assert.matches('<rect x="64.5" y="246.67" width="279" height="105.33" fill="#0072b2"/>', svg, 1, true)
    assert.matches('transform="rotate(-90 16 194)">n</text>', svg, 1, true)
  end)
  it("say what is wrong", function()
    assert.error_matches(function() plot.histogram { { 0 / 0 } } end, "no finite values")
    assert.error_matches(function() plot.histogram { 1, bins = 0 } end, "bins must be an integer from 1 to 10000")
    assert.error_matches(function() plot.histogram { 1, range = { 2, 1 } } end, "range must be")
    assert.error_matches(function() plot.histogram { -1e308, 1e308 } end, "too far apart")
  end)
end)

describe("heat maps", function()
  it("are shades without colours", function()
    local f = plot.heatmap { { { 0, 1, 2 }, { 3, 4, 0 / 0 } }, title = "t" }
    assert.same(lines("  t", "  ░░▒▒", "▓▓██??", "0   ░░▒▒▓▓██ 4"), text(f, { width = 40 }))
  end)
  it("are half blocks with them", function()
    local drawn = plot.heatmap({ tide.tensor { { 0, 1 }, { 1, 0 }, { 0, 0 } } }):text { width = 40, colour = true }
    local rows = {}
    for line in drawn:gmatch "[^\n]+" do rows[#rows + 1] = line end
    assert.same(3, #rows)
    assert.matches("▀▀", rows[1], 1, true)
    assert.matches("\27[49m▀▀", rows[2], 1, true)
  end)
  it("of large matrices are means of blocks", function()
    local f = plot.heatmap { tide.arange(0, 100 * 400):reshape(100, 400) }
    local n = 0
    for line in text(f, { width = 60, height = 8 }):gmatch "[^\n]+" do
      assert.is_true(utf8.len(line) <= 60)
      n = n + 1
    end
    assert.is_true(n <= 9)
  end)
  it("are written as SVG", function()
    local svg = saved(plot.heatmap { { { 0, 1 }, { 0 / 0, 0.5 } }, xlabel = "x", ylabel = "y" })
    for _, colour in ipairs { "#440154", "#fde725", "#888888", "#21918c" } do assert.matches('fill="' .. colour .. '"', svg, 1, true) end
  end)
  it("say what is wrong", function()
    assert.error_matches(function() plot.heatmap { tide.ones(3) } end, "expected a tensor of 2 dims, not %(3%)")
    assert.error_matches(function() plot.heatmap { { { 1, 2 }, { 3 } } } end, "row 2 has 1 numbers, row 1 has 2")
    assert.error_matches(function() plot.heatmap { { 1, 2 }, { 3, 4 } } end, "a list of rows inside the table")
    assert.error_matches(function() plot.heatmap { {} } end, "not empty")
  end)
end)

describe("figures", function()
  it("are text where they are printed, without escapes in a pipe", function()
    assert.is_nil(tostring(plot.line { 1, 2 }):find "\27")
    assert.matches("^%d", tostring(plot.histogram { 1, 2 }))
  end)
end)
