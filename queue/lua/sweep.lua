-- Reads what is due in one shard; writes nothing.
-- KEYS: 1 jobs ZSET, 2 timers ZSET, 3 decide ZSET, 4 index ZSET, 5 expire ZSET, 6 building ZSET
-- ARGV: 1 offset ms, 2 ms ahead to look for timers, 3 most entries of each (of jobs twice as many), 4 ms that its writer has to decide or index
-- Returns {now, 1 when the shard holds anything live, jobs, timers (member, due, ...), decide, index, expire, building}
local now = clock(ARGV[1])
local function due(key, till) return call('ZRANGEBYSCORE', key, '-inf', till, 'LIMIT', 0, ARGV[3]) end
local timers = call('ZRANGEBYSCORE', KEYS[2], '-inf', now + ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local own = now - ARGV[4]
local jobs = due(KEYS[1], now)
if #jobs == tonumber(ARGV[3]) then -- behind many that wait: runs whose lease just ended are the newest
  local seen = {}
  for _, member in ipairs(jobs) do seen[member] = true end
  for _, member in ipairs(call('ZREVRANGEBYSCORE', KEYS[1], now, '-inf', 'LIMIT', 0, ARGV[3])) do
    if not seen[member] then jobs[#jobs + 1] = member end
  end
end
local live = call('EXISTS', KEYS[1], KEYS[2], KEYS[3], KEYS[4]) > 0 and 1 or 0
return {now, live, jobs, timers, due(KEYS[3], own), due(KEYS[4], own), due(KEYS[5], now), due(KEYS[6], now)}
