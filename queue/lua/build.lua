-- Writes a part of the tasks of an execution that is about to be created.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 preds HASH, 4 building ZSET
-- ARGV: 1 id, 2 offset ms, 3 ms until the half-built execution is swept away,
--       4 number of refs, then ref per task; then number of preds, then field, value per entry
-- Returns {1} | {2} existed already
local now = clock(ARGV[2])
if call('EXISTS', KEYS[1]) == 1 then return {2} end
-- writes follow
call('ZADD', KEYS[4], now + tonumber(ARGV[3]), ARGV[1])
local at = 4
for i = 1, tonumber(ARGV[at]) do call('HSET', KEYS[2], ARGV[at + i], FRESH) end
at = at + tonumber(ARGV[at]) + 1
for i = at + 1, at + 2 * tonumber(ARGV[at]), 2 do call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
return {1}
