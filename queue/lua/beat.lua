-- A remote worker says that its run goes on: the lease is extended, but not beyond the attempt's deadline.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 jobs ZSET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 lease ms
-- Returns {1, ms that the lease holds now} | {2} the run was canceled | {-1} gone | {-2} stale | {-5} its time is up
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not rec or rec.attempt ~= ARGV[4] or rec.dispatch ~= ARGV[5] then return {-2} end
if rec.status == 'canceled' or rec.status == 'running' and x.status == 'canceling' then return {2} end
if rec.status ~= 'running' or not going(x) then return {-2} end
local till = now + ARGV[6]
if rec.deadline then
  if now >= rec.deadline + 0 then return {-5} end
  if rec.silence then
    till = math.min(now + rec.silence, rec.till + 0)
  else
    till = math.min(till, rec.deadline + 0)
  end
end
-- writes follow
if rec.silence then
  rec.deadline = string.format('%.0f', till)
  call('HSET', KEYS[2], ref, cjson.encode(rec))
end
call('ZADD', KEYS[3], till, job(id, ref, rec))
return {1, till - now}
