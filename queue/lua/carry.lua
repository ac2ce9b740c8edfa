-- Writes a part of an execution that a redrive makes from another: tasks that keep their results, and those that do not.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH, 4 building ZSET
-- ARGV: 1 id, 2 offset ms, 3 ms until the half-built execution is swept away, 4 who writes it, 5 1 = this is the first part: what another one wrote is gone,
--       6 number of tasks, then ref, record per task; then field, value per value
-- Returns {1} | {2} existed already | {-5} somebody else writes it
if call('EXISTS', KEYS[1]) == 1 then return {2} end
if ARGV[5] ~= '1' and call('HGET', KEYS[3], 'writer') ~= ARGV[4] then return {-5} end
-- writes follow
if ARGV[5] == '1' then
  call('UNLINK', KEYS[2], KEYS[3])
  call('HSET', KEYS[3], 'writer', ARGV[4])
end
call('ZADD', KEYS[4], clock(ARGV[2]) + tonumber(ARGV[3]), ARGV[1])
local at = 6 + 2 * ARGV[6]
for i = 7, at, 2 do call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
for i = at + 1, #ARGV, 2 do call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
return {1}
