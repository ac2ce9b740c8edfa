-- A queued execution has its slot: it begins, or stays paused and goes on when it is resumed.
-- KEYS: 1 execution HASH, 2 open SET, 3 held SET, 4 events LIST, 5 decide ZSET, 6 index ZSET, 7 timers ZSET
-- ARGV: 1 id, 2 offset ms, 3 epoch since which it waits
-- Returns {1, status} | {-1} gone | {-2} begun before, or redriven since | {-6, status} not in this status
local id, now = ARGV[1], clock(ARGV[2])
local x = execution(KEYS[1])
if not x then return {-1} end
if call('HGET', KEYS[1], 'waits') ~= ARGV[3] then return {-2} end
if x.status ~= 'queued' and x.status ~= 'paused' then return {-6, x.status} end
-- writes follow
call('HDEL', KEYS[1], 'waits')
mark(KEYS[6], id, now)
if x.status == 'paused' then
  save(x)
  event(KEYS[4], now, 'execution.admitted')
  return {1, x.status}
end
call('HSETNX', KEYS[1], 'started', now)
local left = call('HGET', KEYS[1], 'left') -- until its deadline, which counts from now
if left then
  call('ZADD', KEYS[7], now + left, 'expire:' .. id .. '::0')
  call('HDEL', KEYS[1], 'left')
end
save(x, 'status', 'running')
event(KEYS[4], now, 'execution.started')
if active(x) == 0 or call('EXISTS', KEYS[2], KEYS[3]) > 0 then call('ZADD', KEYS[5], now, id) end
return {1, 'running'}
