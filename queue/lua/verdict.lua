-- Applies what Go decided about a task whose predecessors have all ended: run, skip or fail it.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 epoch the decision rested on, 5 run|skip|fail|keep (it would see the same as before), 6 reason, 7 error ('' = none),
--       8 continue|stop|stop_all|stop_items after fail, 9 1 when the end needs no computing, 10 retention ms, 11 successors (see lib_release)
-- Returns {1, 0 goes on | 1 decide | 2 ended, now, ref, attempt, ...} | {-1} gone | {-5} the state moved on
local id, now, ref, action = ARGV[1], clock(ARGV[2]), ARGV[3], ARGV[5]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not going(x) or x.epoch ~= ARGV[4] or not rec or rec.status ~= 'pending'
  or call('SISMEMBER', KEYS[6], ref) == 0 then return {-5} end
local onward = action == 'skip' or action == 'keep' or (action == 'fail' and ARGV[8] == 'continue')
local list = onward and successors(KEYS[2], KEYS[5], ref, 11) or {}
local k = keys(KEYS)
local former = action == 'keep' and record(KEYS[4], ref .. '#' .. (rec.attempt or 0))
if action == 'keep' and not (rec.maybe and former) then return {-5} end
-- writes follow
call('SREM', KEYS[6], ref)
local relay = {}
if action == 'run' then
  rec.maybe = nil
  relay = release(k, x, id, '', {{ref = ref, mode = 'run', rec = rec}}, now)
elseif action == 'keep' then
  local place = ref .. '#' .. rec.attempt
  former.status, former.outcome, former.given = 'pending', nil, rec.given
  move(x, former, 'succeeded')
  local output = call('HGET', KEYS[3], 'o:' .. place)
  if output then call('HSET', KEYS[3], 'o:' .. ref, output) end
  call('HDEL', KEYS[3], 'o:' .. place)
  call('HDEL', KEYS[4], place)
  event(KEYS[8], now, 'task.kept', ref, former.attempt)
  local moved
  relay, moved = release(k, x, id, ref, list, now, former)
  stir(k, ref, moved - 1)
else
  if rec.keep then rec.control = '1' end -- what it holds is still its own
  rec.maybe, rec.keep, rec.rearmed = nil, nil, nil
  move(x, rec, action == 'skip' and 'skipped' or 'failed')
  rec.ended, rec.reason = now .. '', ARGV[6]
  if action == 'fail' then
    -- an attempt of its own: the former one keeps its error, and this one is kept when another follows
    rec.attempt, rec.dispatch, rec.queued, rec.started, rec.worker = (rec.attempt or 0) + 1 .. '', '1', nil, nil, nil
    rec.redrive = x.epoch
    keep_failure(KEYS[3], ref .. '#' .. rec.attempt, ARGV[7], '')
    if onward then rec.continued = true elseif not outside(ref) then call('HSETNX', KEYS[3], 'failure', ARGV[7]) end
  end
  event(KEYS[8], now, 'task.' .. rec.status, ref, rec.attempt, nil, ARGV[6])
  if ARGV[8] == 'stop_items' then halt(k, outside(ref)) end
  local moved
  relay, moved = release(k, x, id, ref, list, now, rec)
  stir(k, ref, moved - 1)
end
local state = settle(k, x, id, now, ARGV[9], ARGV[10])
if action == 'fail' and ARGV[8] == 'stop_all' then
  call('ZADD', KEYS[10], 'NX', now, id)
  state = 1
end
if state == 2 then save(x, 'status', x.status, 'ended', now) else save(x) end
return {1, state, now, unpack(relay)}
