-- The program as a person meets it: on a terminal, typed at.
local tide = require "tide"
local program = os.getenv "TIDE"
local there, terminal = pcall(require, "terminal")
if not program or not there then return end

local INTR, EOF, TAB, UP, ESC = "\3", "\4", "\t", "\27[A", "\27"
local home = os.tmpname()
os.remove(home)
assert(os.execute("mkdir -p " .. home))

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end
local function read(path)
  local f = io.open(path)
  if not f then return nil end
  local text = f:read "a"
  f:close()
  return text
end

-- ---- a conversation ----

local Talk = {}
Talk.__index = Talk

local function start(options, ...)
  local env = { HOME = home, TERM = "xterm", NO_COLOR = "1", TIDE_BLACKBOX = "off", XDG_CONFIG_HOME = false, XDG_STATE_HOME = false, LC_ALL = "C.UTF-8", columns = 120 }
  for k, v in pairs(options or {}) do env[k] = v end
  return setmetatable({ t = terminal.spawn({ program, ... }, env), raw = "" }, Talk)
end

local function plain(text) return (text:gsub("\27%[[%d;?]*[%a]", ""):gsub("\r", "")) end

-- Waits until the text that came since the last call ends with, or holds, what is wanted; returns it.
function Talk:expect(wanted, seconds)
  local deadline = os.time() + (seconds or 20)
  while true do
    local text = plain(self.raw)
    local _, stop = text:find(wanted)
    if stop then
      self.raw = ""
      return text
    end
    local more = self.t:read(0.5)
    if more == nil then error(("the program ended; wanted %q after %q"):format(wanted, text), 2) end
    self.raw = self.raw .. more
    if os.time() > deadline then error(("wanted %q, got %q"):format(wanted, text), 2) end
  end
end

local PROMPT = "\n> $"
-- Types a line, and returns what is written until the next prompt, without the echo.
function Talk:say(line, wanted)
  self.t:send(line .. "\r")
  local text = self:expect(wanted or PROMPT)
  return (text:gsub("^[^\n]*\n", "", 1):gsub("\n?>+ $", ""))
end

function Talk:finish()
  local deadline = os.time() + 20
  self.t:send(EOF)
  while self.t:read(1) do
    if os.time() > deadline then self.t:signal(9) end
  end
  return self.t:wait()
end

local function begin(options, ...)
  local talk = start(options, ...)
  talk:expect "> $"
  return talk
end

-- ---- the tests ----

describe("the prompt", function()
  teardown(function() os.execute("rm -rf " .. home) end)

  it("shows values, and remembers the last", function()
    local p = begin()
    assert.same("2", p:say "1 + 1")
    assert.same("2", p:say "=1 + 1")
    assert.same("2", p:say "_")
    assert.same("6", p:say "_ * 3")
    assert.same("", p:say "7;")
    assert.same("7", p:say "_")
    assert.same("a\tnil\t1.5", p:say "'a', nil, 1.5")
    assert.same("", p:say "x = 3")
    assert.same("3", p:say "x")
    assert.same('{ 1, "two", name = { 3 } }', p:say "{1, 'two', name = {3}}")
    assert.same("{ a = 1, b = 2, _c = 3 }", p:say "{_c = 3, b = 2, a = 1}")
    assert.same("é", p:say "'é'")
    assert.same(0, p:finish())
  end)

  it("opens and closes within 15 ms", function()
    if (os.getenv "TIDE_PRELOAD" or "") ~= "" or os.getenv "TIDE_VALGRIND" then return end
    local best = math.huge
    for _ = 1, 10 do -- of processor time: the machine may be busy
      best = math.min(best, (select(3, begin():finish())))
    end
    assert.is_true(best < 0.015, ("%.1f ms"):format(1e3 * best))
  end)

  it("shows tensors with a line about them", function()
    local p = begin()
    assert.same("tensor([[1., 2.],\n        [3., 5.]])\nfloat32 (2,2) cpu  min 1  max 5  mean 2.75", p:say "tide.tensor{{1, 2}, {3, 5}}")
    assert.same("tensor([ true, false])\nbool (2) cpu  true 1 of 2", p:say "tide.tensor{true, false}")
    assert.matches("float32 %(3,4%) cpu  min %-1%.2  max 3%.4  mean 0%.1$", p:say "tide.tensor{{-1.2, 3.4, -1, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}}")
    assert.matches("float32 (3) cpu  min 1  max 2  mean 1.5  nan 1 of 3", p:say "tide.tensor{1, 0/0, 2}", 1, true)
    assert.matches("int64 (2,0) cpu", p:say "tide.zeros({2, 0}, {dtype = 'int64'})", 1, true)
    local big = p:say "tide.zeros(300, 400)"
    assert.matches("...,", big, 1, true)
    assert.matches("float32 (300,400) cpu  min 0  max 0  mean 0", big, 1, true)
    assert.is_true(select(2, big:gsub("\n", "")) < 12)
    assert.same("", p:say "tide.ones(3);")
    p:finish()
  end)

  it("draws", function()
    local p = begin { columns = 40 }
    local drawn = p:say "tide.plot.line{1, 2, height = 4}"
    assert.same(40, utf8.len(drawn:match "[^\n]*└[^\n]*"))
    assert.matches("⣀", drawn, 1, true)
    assert.same("", p:say "curve = tide.plot.line{1, 2};")
    assert.same("true", p:say("curve:save('" .. home .. "/curve.svg')"))
    assert.matches("^<svg .*</svg>\n$", read(home .. "/curve.svg"))
    p:finish()
  end)

  it("completes through the user's metatables, and runs none of the user's functions", function()
    local p = begin()
    p:say "ran = 0 Base = {area_of = function() return 7 end}; Base.__index = Base; Shape = setmetatable({}, Base); Shape.__index = Shape; shape = setmetatable({}, Shape)"
    assert.same("7", p:say("shape:area" .. TAB .. "()"))
    p:say "trap = setmetatable({}, {__index = function() ran = ran + 1 return {} end})"
    p.t:send("trap.some.th" .. TAB .. INTR)
    p:expect(PROMPT)
    assert.same("0", p:say "ran")
    p:finish()
  end)

  it("reads on until the input is complete", function()
    local p = begin()
    p:say("for i = 1, 2 do", ">> $")
    p:say("print(i)", ">> $")
    assert.same("1\n2", p:say "end")
    p:say("1 +", ">> $")
    assert.same("3", p:say "2")
    p:say("f(", ">> $")
    p.t:send(INTR)
    p:expect(PROMPT)
    assert.matches("stdin:7: unexpected symbol near", p:say "x = = 1")
    p:finish()
  end)

  it("says where an error was, and lives on", function()
    local p = begin()
    assert.same("stdin:1: boo", p:say "error 'boo'")
    p:say "function f() error 'deep' end"
    assert.same("stdin:2: deep\nstack traceback:\n\tstdin:2: in function 'f'", p:say "f()")
    assert.matches("stdin:4: [matmul]", p:say "tide.ones(2, 3):matmul(tide.ones(2, 3))", 1, true)
    assert.matches("error object is a table value", p:say "error{}")
    p:finish()
  end)

  it("completes globals, fields, methods and files", function()
    local p = begin()
    p:say "net = tide.nn.Linear(2, 3); x = tide.ones(2); deep = {a = {inner = 7}} word = 'a'"
    assert.same("7", p:say("deep.a.inn" .. TAB))
    assert.matches("^function", p:say("tide.man" .. TAB)) -- manual_seed
    assert.same("2", p:say("x:num" .. TAB .. "()"))
    assert.same("{ 2 }", p:say("x.sha" .. TAB))
    assert.same("6", p:say("net.wei" .. TAB .. ":numel()"))
    assert.matches("^table", p:say("type(net:named_par" .. TAB .. "()) .. ''"):gsub("function", "table")) -- a method of the base class
    assert.same("A", p:say("word:upp" .. TAB .. "()"))
    write(home .. "/some-data.csv", "a,b\n")
    assert.same("a,b", p:say("io.open('" .. home .. "/some-d" .. TAB .. "'):read()"))
    p.t:send("tide.nn.Lay" .. TAB) -- once: Ctrl-C would end a second completion instead of the line
    p:expect "LayerNorm"
    p.t:send(INTR)
    p:expect(PROMPT)
    p.t:send("x:su" .. TAB)
    local list = p:expect "subtract.*x:su$"
    assert.matches("sub%s+sub_%s+subtract%s+sum", list)
    p.t:send(INTR)
    p:expect(PROMPT)
    p:finish()
  end)

  it("keeps its history in a file", function()
    local p = begin()
    p:say "first = 11"
    p:say("if true then", ">> $")
    p:say("second = 22", ">> $")
    p:say "end"
    p:finish()
    assert.matches("first = 11\nif true then second = 22 end\n$", read(home .. "/.local/state/tide/history"))
    local q = begin()
    assert.same("nil", q:say "second")
    assert.same("", q:say(UP .. UP))
    assert.same("22", q:say "second")
    q:finish()
    local r = begin { XDG_STATE_HOME = home .. "/state" }
    r:say "third = 33"
    r:finish()
    assert.same("third = 33\n", read(home .. "/state/tide/history"))
  end)

  it("helps", function()
    local p = begin()
    local text = p:say "?tide.matmul"
    for _, part in ipairs { "tide.matmul(", "example", "errors", "> tide.matmul(tide.ones(2, 3), tide.ones(2, 3))", "inner sizes" } do
      assert.matches(part, text, 1, true)
    end
    assert.same(text, p:say "help(tide.matmul)")
    assert.same(text, p:say "?matmul")
    assert.matches("y = x W^T + b", p:say "?tide.nn.Linear", 1, true)
    p:say "x = tide.ones(2)"
    assert.matches("tide.sum(input, dim?", p:say "?x:sum", 1, true)
    assert.matches("Ctrl-C stops", p:say "help()", 1, true)
    assert.matches("no help for 'nonsense'", p:say "?nonsense")
    p:finish()
  end)

  it("helps with examples that work, and errors that come", function()
    local n = 0
    for name, e in pairs(require "tide.help.examples") do
      for k = 1, 2 do
        local env = setmetatable({ tide = tide, print = function() end }, { __index = _G })
        local chunk = e[k] and not (k == 1 and e.unrun) and (load("return " .. e[k], "=example", "t", env) or assert(load(e[k], "=example", "t", env)))
        if chunk then assert.same(k == 1, (pcall(chunk)), name) end
        n = n + 1
      end
    end
    assert.is_true(n > 800)
    local help = require "tide.help"
    for name in pairs(require "tide.help.shapes") do
      local op = assert(tide._describe(name), name)
      assert.matches("\n  %-> shape", help.about("tide." .. op.lua, _G))
    end
    for _, name in ipairs { "plot.line", "plot.histogram", "plot.heatmap", "image.load", "image.save" } do
      local text = help.about("tide." .. name, _G)
      for _, part in ipairs { "tide." .. name .. "(", "Returns", "Errors: " } do assert.matches(part, text, 1, true) end
    end
  end)

  it("helps with methods, by object and by name", function()
    local help = require "tide.help"
    local pruner = tide.prune.Pruner(tide.nn.Linear(2, 2), tide.prune.OneShot { 0.5 })
    local text = help(pruner.set_mask)
    assert.matches("^prune.Pruner:set_mask%(which, mask%)\n  A mask of one's own", text)
    assert.same(text, help "prune.Pruner:set_mask")
    assert.same(text, help.about("tide.prune.Pruner:set_mask", _G))
    assert.same(text, help.about("pruner:set_mask", { pruner = pruner }))
    assert.matches("^an object of tide.prune.Pruner\nmethods, as x:name%(%)\n  apply attach ", help(pruner))
    assert.matches("\nmethods, as x:name()\n  apply attach ", help(tide.prune.Pruner), 1, true)
    assert.matches("^an object of tide.data.DataLoader\n", help(tide.data.DataLoader(tide.ones(2))))
    assert.matches("^data.StandardScaler:fit%(x%)\n  Learns", help(tide.data.StandardScaler().fit))
    assert.matches("^data.Groups:agg%(list%)\n", help "data.Groups:agg")
    assert.matches("get_last_lr%(%)\n  The rates", help "optim.lr_scheduler.ReduceLROnPlateau:get_last_lr")
    assert.matches("^nn.Sequential:append%(layer%)\n", help "nn.Sequential:append")
  end)

  it("lists live tensors with the lines that made them", function()
    local p = begin()
    p:say "a = tide.ones(1000, 1000);"
    p:say "b = tide.ones(10, 10);"
    local text = p:say "who()"
    assert.matches("3%.8 MiB +1 +stdin:1 +_? *.*a %(1000,1000%)", text)
    assert.matches("400 B +1 +stdin:2 .*b %(10,10%)", text)
    assert.is_true(text:find("stdin:1", 1, true) < text:find("stdin:2", 1, true))
    p:say "a, b, _ = nil"
    assert.same("no tensors", p:say "who()")
    p:finish()
  end)

  it("times", function()
    local p = begin()
    assert.matches("^49999995000000\n[%d.]+ ms  %([%d.]+ ms of processor time%)$", p:say ":time (function() local s = 0 for i = 1, 9999999 do s = s + i end return s end)()")
    assert.matches(":what is no command", p:say ":what")
    p:finish()
  end)

  it("runs the person's init.lua", function()
    os.execute("mkdir -p " .. home .. "/.config/tide " .. home .. "/config/tide")
    write(home .. "/.config/tide/init.lua", "mine = 'from home'")
    write(home .. "/config/tide/init.lua", "mine = 'from XDG' error 'half way'")
    local p = begin()
    assert.same("from home", p:say "mine")
    p:finish()
    local q = begin { XDG_CONFIG_HOME = home .. "/config" }
    assert.same("from XDG", q:say "mine")
    q:finish()
    os.remove(home .. "/.config/tide/init.lua")
  end)

  it("writes colours only where they are wanted", function()
    local function raw(options)
      local p = begin(options)
      p.t:send "tide.ones(2)\r"
      local text = ""
      while not text:find "mean" do text = text .. assert(p.t:read(10)) end
      p:finish()
      return text
    end
    assert.is_truthy(raw({ NO_COLOR = false }):find(ESC .. "[2m", 1, true))
    assert.is_nil(raw({}):find(ESC .. "[2m", 1, true))
    assert.is_nil(raw({ NO_COLOR = false, TERM = "dumb" }):find(ESC, 1, true))
  end)

  it("takes a Ctrl-D that was typed ahead", function()
    local p = begin()
    p.t:send "for i = 1, 2e7 do end\r"
    p:expect "do end\n" -- it runs now, and the terminal is not the editor's
    assert.same(0, (p:finish()))
  end)

  it("opens after a script with -i, and leaves with lua's statuses", function()
    write(home .. "/script.lua", "value = ... .. '!'")
    local p = begin({}, "-i", home .. "/script.lua", "hello")
    assert.same("hello!", p:say "value")
    p.t:send "os.exit(5)\r"
    repeat until p.t:read(5) == nil
    assert.same(5, (p.t:wait()))
  end)
end)

describe("Ctrl-C", function()
  local p
  before_each(function()
    p = begin()
    p:say "kept = tide.ones(2, 2); n = 0"
  end)
  after_each(function() p:finish() end)

  -- Runs code, presses Ctrl-C once it has said that it runs, and expects the prompt again with everything in place.
  local function stops(code)
    p.t:send("print('run' .. 'ning') " .. code .. "\r")
    p:expect "running\n"
    local wait = os.clock() -- a moment inside
    p.t:read(0.1)
    assert.is_true(os.clock() - wait < 1)
    p.t:send(INTR)
    local text = p:expect(PROMPT)
    assert.matches("interrupted", text)
    assert.same("4", p:say "kept:numel() // 1")
    assert.matches("tensor(4.)", p:say "kept:sum()", 1, true)
  end

  it("stops a loop", function() stops "while true do n = n + 1 end" end)
  it("stops a loop that catches errors", function() stops "while true do pcall(function() while true do end end) end" end)
  it("stops a loop that catches errors of operations", function() stops "local a = tide.ones(500, 500) while true do pcall(a.matmul, a, a) end" end)
  it("stops a message handler", function()
    stops "print(xpcall(error, function() while true do end end))"
    stops "print(xpcall(function() while true do end end, function() while true do end end))"
  end)

  it("stops a coroutine", function()
    stops "coroutine.wrap(function() while true do end end)()"
    stops "while true do coroutine.resume(coroutine.create(function() while true do n = n + 1 end end)) end"
    stops "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end"
  end)
  it("stops a callback of a C function", function() stops "table.sort({3, 1, 2}, function() while true do end end)" end)
  it("stops a long operation", function() stops "local a = tide.ones(3000, 3000) for _ = 1, 1000 do a:matmul(a) end" end)
  it("stops reading", function() stops "io.read()" end)
  it("lets what is open be closed", function()
    stops "local c <close> = setmetatable({}, {__close = function() for i = 1, 100 do closed = i end end}) while true do end"
    assert.same("100", p:say "closed")
  end)
  it("stops a training step, compiled or not, and training goes on", function()
    p:say "net = tide.nn.Linear(300, 300); opt = tide.optim.Adam(net:parameters()); x = tide.randn(3000, 300);"
    p:say "function step() local l = (net(x) * net(x)):mean() opt:zero_grad() l:backward() opt:step() return l end"
    p:say "fast = tide.compile(step); first = step():item()"
    stops "while true do step() end"
    assert.same("true", p:say "step():item() < first")
    stops "while true do fast() end"
    assert.same("true", p:say "fast():item() < first")
    assert.same("false", p:say "net.weight:isnan():to('int64'):sum():item() > 0")
  end)
  it("leaves no tensor half written", function()
    p:say "big = tide.zeros(20000000); same = function() return big:amin():item() == big:amax():item() end"
    for _ = 1, 3 do
      stops "while true do big:add_(1) end"
      assert.same("true", p:say "same()")
    end
    p:say "step = tide.compile(function() big:add_(1) end) for i = 1, 4 do step() end"
    stops "while true do step() end"
    assert.same("true", p:say "same()")
    p:say "opt = tide.optim.SGD({big:requires_grad_()}, {lr = 1}) big.grad = tide.ones(20000000)"
    stops "while true do opt:step() end"
    assert.same("true", p:say "tide.no_grad(same)")
  end)
  it("drops the line that is typed", function()
    p.t:send "kept = nil"
    p:expect "kept = nil$"
    p.t:send(INTR)
    p:expect(PROMPT)
    assert.same("4", p:say "kept:numel()")
  end)
end)

describe("without a terminal", function()
  local function run(command)
    local pipe = assert(io.popen(command .. " 2>&1"))
    local text = pipe:read "a"
    local _, _, code = pipe:close()
    return text, code
  end
  it("a pipe is a script", function()
    assert.same("3\n", (run(("echo 'local a = 1 print(a + 2)' | %s"):format(program))))
    assert.same("tensor([1., 1.])\n", (run(("echo 'print(tide.ones(2))' | %s -"):format(program))))
    assert.same(1, select(2, run(("echo 'error()' | %s"):format(program))))
  end)
  it("says what it is made of", function()
    local text, code = run(program .. " --version")
    assert.is_nil(code and code ~= 0 or nil)
    for _, part in ipairs { "^Tide %d+%.%d+%.%d+  Lua 5%.4%.%d+  built with %S+ %d", "\ninstruction set: %l+", "\nthreads: %d", "\noneDNN: ", "\nzlib: ", "\nlibpng: ",
      "\nlibjpeg%-turbo: ", "\nCUDA: ", "\nlibedit: " } do
      assert.matches(part, text)
    end
    assert.same(text, (run(program .. " -v")))
    assert.matches("^usage: tide %[options%] %[script %[args%]%]\n", (run(program .. " --help")))
  end)
  it("ends with the statuses that lua ends with", function()
    write(home .. ".lua", "print(select('#', ...), ..., arg[0] ~= nil) return 3")
    for _, arguments in ipairs { "-e 'os.exit(3)'", "-e 'os.exit(true)'", "-e 'os.exit(false)'", "-e 'error(1)'", "-e 'x = = 1'", "-e 'error{}'", "/nonexistent.lua", "-q",
      "-l nosuch", "-e ''", home .. ".lua a b", "- < /dev/null", "-e 'local x <close> = setmetatable({}, {__close = function() print(1) end}) os.exit(4, true)'" } do
      local out, code = run(program .. " " .. arguments .. " 2>/dev/null; echo $?")
      local out2 = run("lua5.4 " .. arguments .. " 2>/dev/null; echo $?")
      assert.same(out2, out, arguments)
      assert.same(0, code or 0)
    end
    os.remove(home .. ".lua")
  end)
  it("a figure in a pipe has no escapes and 80 columns", function()
    local text = run(program .. " -e 'print(tide.plot.line{1, 2})'")
    assert.is_nil(text:find(ESC, 1, true))
    assert.same(80, utf8.len(text:match "[^\n]*└[^\n]*"))
  end)
  it("-i is plain: no prompts, no escapes", function()
    assert.same("2\n6\n", (run(("printf '1+1\\n_*3\\n' | %s -i"):format(program))))
  end)
  it("LUA_PATH comes before the library beside the program, Lua's own places behind it", function()
    local function path(value) return (run(("LUA_PATH='%s' %s -e 'print(package.path)'"):format(value, program))) end
    assert.matches("^/there/%?%.lua;[^;]*lua/%?%.lua;[^;]*lua/%?/init%.lua;/usr", path "/there/?.lua;;")
    assert.matches("^/there/%?%.lua;[^;]*lua/%?%.lua;[^;]*lua/%?/init%.lua\n$", path "/there/?.lua")
    assert.matches("^[^;]*lua/%?%.lua;[^;]*lua/%?/init%.lua;/usr", (run(("LUA_PATH= && unset LUA_PATH && %s -e 'print(package.path)'"):format(program))))
  end)
  it("options may hold their values", function()
    assert.same("2\n", (run(("%s '-eprint(1+1)'"):format(program))))
    assert.same("table\n", (run(("%s -ldata=tide.data -e 'print(type(data))'"):format(program))))
    assert.same("-x\n", (run(("echo 'print(...)' > %s/-y; cd %s && %s -- -y -x"):format(os.getenv "TMPDIR" or "/tmp", os.getenv "TMPDIR" or "/tmp", program))))
    local _, code = run(program .. " -e")
    assert.same(1, code)
  end)
end)
