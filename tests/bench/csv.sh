#!/bin/sh
# 1 M rows x 10 columns read and dropna: Tide against pandas' C engine, one thread each, interleaved; prints the median
# ratio of processor times.    sh tests/bench/csv.sh TIDE PYTHON_WITH_PANDAS [ROUNDS]
tide=$1 python=$2 rounds=${3:-9}
cd "$(dirname "$0")/../.." || exit 1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
LUA_PATH="$PWD/lua/?.lua;$PWD/lua/?/init.lua" TIDE_THREADS=1 OMP_NUM_THREADS=1
export LUA_PATH TIDE_THREADS OMP_NUM_THREADS
cat > "$folder/make.lua" <<'END'
math.randomseed(1)
local f <close> = assert(io.open(arg[1], "w"))
f:write("f0,f1,f2,f3,f4,f5,f6,i0,i1,t0\n")
local words = { "red", "green", "blue", "yellow" }
for _ = 1, 1000000 do
  local cells = {}
  for k = 1, 6 do cells[k] = ("%.6f"):format((math.random() - 0.5) * 400) end
  if math.random() < 0.02 then cells[1] = "" end
  cells[7] = ("%.17g"):format(math.random())
  cells[8], cells[9] = math.random(-1000000, 1000000), math.random(-1000000, 1000000)
  cells[10] = words[math.random(4)]
  f:write(table.concat(cells, ","), "\n")
end
END
cat > "$folder/one.lua" <<'END'
local tide = require "tide"
local start = os.clock()
local t = assert(tide.data.csv(arg[1])):dropna()
print(os.clock() - start, #t)
END
cat > "$folder/one.py" <<'END'
import sys, time
import pandas
start = time.process_time()
t = pandas.read_csv(sys.argv[1], engine="c").dropna()
print(time.process_time() - start, len(t))
END
"$tide" "$folder/make.lua" "$folder/big.csv" || exit 1
for _ in $(seq "$rounds"); do
  a=$("$tide" "$folder/one.lua" "$folder/big.csv") && b=$("$python" "$folder/one.py" "$folder/big.csv") || exit 1
  echo "$a $b"
done | awk '$2 != $4 { print "rows differ: " $0; bad = 1 } { print $3 / $1, $1, $3 } END { exit bad }' | sort -n |
  awk '{ line[NR] = $0 } END { if (!NR) exit 1; split(line[int((NR + 1) / 2)], m, " "); printf "csv: pandas/tide %.2f (median of %d)\n", m[1], NR }'
