-- Says whether a waiting execution has its slot; one that has lost even its place in the line gets a new one.
-- KEYS: 1 slots ZSET, 2 waiting ZSET, 3 due ZSET
-- ARGV: 1 id, 2 offset ms, 3 workflow, 4 epoch
-- Returns {1, 1 it has its slot: begin it | 0 it waits}
local now = clock(ARGV[2])
-- writes follow
return {1, wait(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[4], ARGV[3], now) and 1 or 0}
