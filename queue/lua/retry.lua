-- The back-off of a task is over: retrying -> queued, as the next attempt; of a task that no worker runs
-- retrying -> pending, and Go begins it again.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 held SET, 4 jobs ZSET, 5 timers ZSET, 6 open SET, 7 decide ZSET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt that failed
-- Returns {1, attempt, 1 when to relay else 0} | {1, attempt, 2} to be decided | {-1} gone | {-2} stale | {-5, due, now} not yet
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local timer = 'retry:' .. id .. ':' .. ref .. ':' .. ARGV[4]
local x = execution(KEYS[1])
local rec = x and record(KEYS[2], ref)
local stale = not rec or rec.status ~= 'retrying' or rec.attempt ~= ARGV[4] or not going(x)
if not stale and rec.due + 0 > now then return {-5, rec.due, now} end
-- writes follow
call('ZREM', KEYS[5], timer)
if stale then return {x and -2 or -1} end
if rec.control then
  move(x, rec, 'pending')
  rec.due, rec.rearmed = nil, '1'
  call('HSET', KEYS[2], ref, cjson.encode(rec))
  call('SADD', KEYS[6], ref)
  call('ZADD', KEYS[7], 'NX', now, id)
  save(x)
  return {1, rec.attempt, 2}
end
enqueue(x, rec, now .. '')
call('HSET', KEYS[2], ref, cjson.encode(rec))
save(x)
if aside(x) then
  call('SADD', KEYS[3], ref)
  return {1, rec.attempt, 0}
end
call('ZADD', KEYS[4], now + RELAY_GRACE, job(id, ref, rec))
return {1, rec.attempt, 1}
