-- The same attempt is sent out again under the next dispatch number: a draining worker handed it back (release), or one that wants it again later (postpone),
-- its lease ran out (lose), its job vanished from asynq (lose), or a worker without its type passed it on (decline).
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 held SET, 4 events LIST, 5 jobs ZSET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 release|postpone|expire|vanish|decline, 7 ms until it is relayed by the sweep
-- Returns {1, dispatch, 1 when to relay now else 0} | {-1} gone | {-2} stale
local id, now, ref, why = ARGV[1], clock(ARGV[2]), ARGV[3], ARGV[6]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not rec or rec.attempt ~= ARGV[4] or rec.dispatch ~= ARGV[5] or not going(x) then return {-2} end
local was = (why == 'release' or why == 'postpone' or why == 'expire') and 'running' or 'queued'
if why == 'decline' and rec.status == 'running' then was = 'running' end -- claimed with its dequeue
if rec.status ~= was or rec.control then return {-2} end
local old = job(id, ref, rec)
if why == 'expire' then
  local lease = call('ZSCORE', KEYS[5], old)
  if lease and tonumber(lease) > now then return {-2} end
end
-- writes follow
call('ZREM', KEYS[5], old)
if was == 'running' then
  move(x, rec, 'queued')
  rec.started, rec.worker, rec.deadline, rec.silence, rec.till = nil, nil, nil, nil, nil
  if why == 'expire' then rec.lost = (rec.lost or 0) + 1 .. '' end
  event(KEYS[4], now, why == 'expire' and 'task.lost' or 'task.released', ref, rec.attempt)
end
rec.dispatch = rec.dispatch + 1 .. ''
rec.due = why == 'postpone' and string.format('%.0f', now + ARGV[7]) or nil
call('HSET', KEYS[2], ref, cjson.encode(rec))
save(x)
if aside(x) then
  call('SADD', KEYS[3], ref)
  return {1, rec.dispatch, 0}
end
call('ZADD', KEYS[5], now + tonumber(ARGV[7]), job(id, ref, rec))
return {1, rec.dispatch, 1}
