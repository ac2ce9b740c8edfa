-- Makes a bulk operation whose executions are still to be collected, unless it is there.
-- KEYS: 1 bulk HASH, 2 bulks ZSET, 3 looks ZSET
-- ARGV: 1 id, 2 offset ms, 3 ms until it is looked at, then its fields and their values
-- Returns {1}
if call('EXISTS', KEYS[1]) == 1 then return {1} end
local now = clock(ARGV[2])
-- writes follow
call('HSET', KEYS[1], 'state', 'creating', 'created', now, 'total', 0, 'taken', 0, 'succeeded', 0, 'failed', 0, 'skipped', 0,
  'good', 0, 'bad', 0, 'cursor', '', 'reason', '')
for i = 4, #ARGV, 2 do call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
call('ZADD', KEYS[2], 0, ARGV[1])
call('ZADD', KEYS[3], now + ARGV[3], ARGV[1])
call('HSET', KEYS[3] .. ':states', ARGV[1], 'creating')
return {1}
