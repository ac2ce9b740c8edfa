-- Writes a part of an execution that a redrive makes from another: tasks that keep their results, and those that do not.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH, 4 building ZSET
-- ARGV: 1 id, 2 offset ms, 3 ms until the half-built execution is swept away, 4 number of tasks, then ref, record per task; then field, value per value
-- Returns {1} | {2} existed already
if call('EXISTS', KEYS[1]) == 1 then return {2} end
-- writes follow
call('ZADD', KEYS[4], clock(ARGV[2]) + tonumber(ARGV[3]), ARGV[1])
local at = 4 + 2 * ARGV[4]
for i = 5, at, 2 do call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
for i = at + 1, #ARGV, 2 do call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
return {1}
