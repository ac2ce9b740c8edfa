-- Gives executions of a bulk operation that are in flight their results, and holds or ends the operation when that follows.
-- KEYS: 1 bulk HASH, 2 flight HASH, 3 results HASH, 4 looks ZSET
-- ARGV: 1 id, 2 offset ms, then of each execution: 3 its place, 4 succeeded|failed|skipped, 5 record
-- Returns {1, state} | {-1} gone
local b = bulk(KEYS[1])
if not b then return {-1} end
local now = clock(ARGV[2])
-- writes follow
for i = 3, #ARGV, 3 do
  local outcome = ARGV[i + 1]
  if call('HDEL', KEYS[2], ARGV[i]) == 1 then
    call('HSET', KEYS[3], ARGV[i], ARGV[i + 2])
    b[outcome] = b[outcome] + 1
    if outcome == 'succeeded' then b.good = b.good + 1 end
    if outcome == 'failed' then b.bad = b.bad + 1 end
  end
end
save_bulk(b, KEYS[4], ARGV[1], now)
return {1, b.state}
