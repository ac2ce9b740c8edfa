-- Cancels tasks that have not ended: on the way to `canceled`, after a failure with fail_fast, or because
-- nothing can reach them any more. Idempotent, at most 500 a call.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 open SET, 4 held SET, 5 events LIST, 6 jobs ZSET, 7 timers ZSET, 8 holders HASH, 9 decide ZSET
-- ARGV: 1 id, 2 offset ms, 3 epoch the decision rested on, 4 reason, 5 canceled|skipped,
--       6 what must hold: rests (nothing moves in the task, or in the execution)|waits (the task is to begin)|cut (the task is to end
--       although what is in it goes on)|'', 7 that task ('' = the execution), 8 its attempt, then refs, those inside a task before it
-- Returns {1, now, then ref, attempt, dispatch of every job that was out} | {-1} gone | {-5} the state moved on
local id, now = ARGV[1], clock(ARGV[2])
local x = execution(KEYS[1])
if not x then return {-1} end
if x.epoch ~= ARGV[3] or not (going(x) or x.status == 'canceling') then return {-5} end
local holder = ARGV[7] ~= '' and record(KEYS[2], ARGV[7])
local what = ARGV[6]
if ARGV[7] ~= '' and (not holder or (holder.attempt or '0') ~= ARGV[8] or holder.status ~= (what == 'waits' and 'pending' or 'running')) then return {-5} end
if what == 'cut' and not holder.timed and not holder.hand then return {-5} end
if what == 'rests' and holder and not rests({open = KEYS[3], holders = KEYS[8]}, ARGV[7], holder, ARGV[8]) then return {-5} end
if what == 'rests' and not holder and (active(x) > 0 or call('SCARD', KEYS[3]) > 0) then return {-5} end
local recs = {}
for i = 9, #ARGV do recs[i] = record(KEYS[2], ARGV[i]) end
-- writes follow
local reply = {1, now}
local k = {open = KEYS[3], held = KEYS[4], jobs = KEYS[6], timers = KEYS[7], holders = KEYS[8]}
for i = 9, #ARGV do
  local ref, rec = ARGV[i], recs[i]
  if rec and not rec.ended then
    stop(k, id, ref, rec, reply)
    if rec.keep then rec.control = '1' end -- what it holds is still its own
    if rec.rearmed then rec.control, rec.size, rec.child = nil, nil, nil end -- what it held was of the attempt that failed
    rec.keep, rec.maybe, rec.plan, rec.rearmed = nil, nil, nil, nil
    move(x, rec, ARGV[5])
    rec.ended, rec.due, rec.reason = now .. '', nil, ARGV[4]
    call('HSET', KEYS[2], ref, cjson.encode(rec))
    event(KEYS[5], now, 'task.' .. ARGV[5], ref, rec.attempt, nil, ARGV[4])
  end
end
call('ZADD', KEYS[9], 'NX', now, id) -- what is left may have to be decided
save(x)
return reply
