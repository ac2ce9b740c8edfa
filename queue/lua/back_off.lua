-- An attempt failed and another will follow: running or waiting -> retrying, until the timer is due.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH, 4 attempts HASH, 5 events LIST, 6 jobs ZSET, 7 timers ZSET, 8 open SET, 9 holders HASH
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 failed|timed_out, 7 error, 8 input ('' = none kept), 9 delay ms,
--       10 1 = only when nothing in it moves
-- Returns {1, due, now} | {-1} gone | {-2} stale, or something moves, or an operator says how it ends
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not rec or rec.status ~= 'running' and rec.status ~= 'waiting' or rec.attempt ~= ARGV[4]
  or rec.dispatch ~= ARGV[5] or rec.hand or not going(x) then return {-2} end
if ARGV[10] == '1' and not rests({open = KEYS[8], holders = KEYS[9]}, ref, rec, ARGV[4]) then return {-2} end
-- writes follow
if rec.control then
  local k = {timers = KEYS[7], open = KEYS[8], holders = KEYS[9]}
  disarm(k, id, ref, rec)
  uncount(k, ref, rec)
  call('SREM', KEYS[8], ref)
else
  call('ZREM', KEYS[6], job(id, ref, rec))
end
local place = ref .. '#' .. rec.attempt
rec.ended, rec.outcome = now .. '', ARGV[6]
call('HSET', KEYS[4], place, cjson.encode(rec))
keep_failure(KEYS[3], place, ARGV[7], ARGV[8])
rec.outcome, rec.ended = nil, nil
move(x, rec, 'retrying')
rec.due = now + ARGV[9] .. ''
call('HSET', KEYS[2], ref, cjson.encode(rec))
call('ZADD', KEYS[7], rec.due, 'retry:' .. id .. ':' .. ref .. ':' .. rec.attempt)
save(x)
event(KEYS[5], now, 'task.retrying', ref, rec.attempt)
return {1, rec.due, now}
