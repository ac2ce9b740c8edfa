-- The deadline of an execution passed, or the one of its pause: it begins to end as timed_out, or as failed.
-- KEYS: 1 execution HASH, 2 values HASH, 3 events LIST, 4 decide ZSET, 5 timers ZSET, 6 index ZSET
-- ARGV: 1 id, 2 offset ms, 3 expire|unpause, 4 error
-- Returns {1} | {-1} gone | {-2} stale | {-5, due, now} not yet
local id, now, member = ARGV[1], clock(ARGV[2]), ARGV[3] .. ':' .. ARGV[1] .. '::0'
local x = execution(KEYS[1])
local due = call('ZSCORE', KEYS[5], member)
local stale = not x or not due or x.status == 'canceling' or ARGV[3] == 'expire' and x.status ~= 'running' and x.status ~= 'queued'
  or ARGV[3] == 'unpause' and x.status ~= 'paused'
if not stale and tonumber(due) > now then return {-5, due, now} end
-- writes follow
call('ZREM', KEYS[5], member)
if stale then return {x and -2 or -1} end
local ending = ARGV[3] == 'expire' and 'timed_out' or 'failed'
x.status = 'running'
call('HDEL', KEYS[1], 'waits') -- it ends before its turn; its end gives its place in the line back
call('HSET', KEYS[2], 'failure', ARGV[4])
event(KEYS[3], now, ARGV[3] == 'expire' and 'execution.overdue' or 'execution.pause_over')
mark(KEYS[6], id, now)
save(x, 'status', 'running', 'ending', ending)
call('ZADD', KEYS[4], 'NX', now, id)
return {1}
