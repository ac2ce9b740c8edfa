-- Adds executions to the snapshot of a bulk operation, and lets it begin when these were the last ones.
-- KEYS: 1 bulk HASH, 2 ids LIST, 3 looks ZSET
-- ARGV: 1 id, 2 offset ms, 3 cursor that they were found from, 4 cursor behind them, 5 1 when they are the last,
--       6 ms until it is looked at when nothing more comes, 7... ids
-- Returns {1} | {-1} gone | {-5} others were added from there | {-6, state} it is made
local b = bulk(KEYS[1])
if not b then return {-1} end
if b.state ~= 'creating' then return {-6, b.state} end
if call('HGET', KEYS[1], 'cursor') ~= ARGV[3] then return {-5} end
local now = clock(ARGV[2])
-- writes follow
for i = 7, #ARGV do call('RPUSH', KEYS[2], ARGV[i]) end
b.total = b.total + #ARGV - 6
call('HSET', KEYS[1], 'cursor', ARGV[4])
if ARGV[5] ~= '1' then
  call('HSET', KEYS[1], 'total', b.total)
  call('ZADD', KEYS[3], now + ARGV[6], ARGV[1])
  return {1}
end
b.state = b.canary > 0 and 'canary' or 'running'
call('HSET', KEYS[1], 'started', now)
save_bulk(b, KEYS[3], ARGV[1], now)
return {1}
