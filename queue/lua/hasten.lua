-- What waits until its back-off is over, or until its worker wants it again, waits no longer.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 jobs ZSET, 4 timers ZSET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt
-- Returns {1, 1 retrying | 0 queued} | {-1} gone | {-2} it waits for no such thing
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not rec or rec.attempt ~= ARGV[4] or not rec.due or not going(x) or rec.status ~= 'retrying' and rec.status ~= 'queued' then return {-2} end
local retrying = rec.status == 'retrying'
-- writes follow
rec.due = retrying and now .. '' or nil
call('HSET', KEYS[2], ref, cjson.encode(rec))
if retrying then
  call('ZADD', KEYS[4], 'XX', now, 'retry:' .. id .. ':' .. ref .. ':' .. rec.attempt)
else
  call('ZADD', KEYS[3], 'XX', now + RELAY_GRACE, job(id, ref, rec))
end
save(x)
return {1, retrying and 1 or 0}
