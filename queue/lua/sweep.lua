-- Reads what is due in one shard; writes nothing.
-- KEYS: 1 jobs ZSET, 2 leases ZSET, 3 timers ZSET, 4 decide ZSET, 5 index ZSET, 6 expire ZSET, 7 building ZSET
-- ARGV: 1 offset ms, 2 ms ahead to look for timers, 3 most entries of each, 4 ms that its writer has to decide or index
-- Returns {now, 1 when the shard holds anything live, jobs, leases, timers (member, due, ...), decide, index, expire, building}
local now = clock(ARGV[1])
local function due(key, till) return redis.call('ZRANGEBYSCORE', key, '-inf', till, 'LIMIT', 0, ARGV[3]) end
local timers = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now + tonumber(ARGV[2]), 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local own = now - tonumber(ARGV[4])
local live = 0
for i = 1, 5 do
  if redis.call('EXISTS', KEYS[i]) == 1 then live = 1 end
end
return {now, live, due(KEYS[1], now), due(KEYS[2], now), timers, due(KEYS[4], own), due(KEYS[5], own), due(KEYS[6], now), due(KEYS[7], now)}
