-- Ends a task without a worker's result: what it holds rests, its gate was answered or its time came, its
-- sub-execution ended, or an operator said so.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 epoch ('' = any), 5 attempt ('' = any), 6 statuses that it may have, each in spaces,
--       7 rests (Go was asked to decide and nothing in it moves)|woken (its wake is due)|limit (its time is over)|'',
--       8 succeeded|failed|timed_out|skipped, 9 output ('' = none), 10 error ('' = none), 11 continue|stop|stop_all|stop_items,
--       12 by, 13 reason, 14 1 when the end needs no computing, 15 retention ms, 16 successors (see lib_release)
-- Returns {1, 0 goes on | 1 decide | 2 ended, now, ref, attempt, ...} | {-1} gone | {-2, status} it is in another status
--       | {-5, due, now} not yet, or the state moved on | {-9} the values of the execution would be too large (what somebody said, or a clock, is taken all the same)
local id, now, ref, to = ARGV[1], clock(ARGV[2]), ARGV[3], ARGV[8]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not rec then return {-2, ''} end
if not going(x) or ARGV[5] ~= '' and rec.attempt ~= ARGV[5] or not string.find(ARGV[6], ' ' .. rec.status .. ' ', 1, true) then
  return {-2, rec.status}
end
if x.applying or ARGV[4] ~= '' and x.epoch ~= ARGV[4] then return {-5, 0, now} end
local holder = outside(ref) and record(KEYS[2], outside(ref))
if holder and holder.status ~= 'running' then return {-2, 'in a task that is ' .. holder.status} end
local said = rec.hand ~= nil -- by an operator, for Go to do: until that is done nothing else ends it
if rec.control and rec.status == 'running' and (ARGV[4] == '' or said ~= (ARGV[12] ~= '')) then return {-5, 0, now} end
local open = call('SISMEMBER', KEYS[6], ref) == 1
if ARGV[7] == 'rests' and (not open or (call('HGET', KEYS[14], ref) or '0') ~= '0') then return {-5, 0, now} end
if ARGV[7] == 'woken' and (not rec.due or rec.due + 0 > now) then return {-5, rec.due or 0, now} end
if ARGV[7] == 'limit' and (not rec.limit or rec.limit + 0 > now) then return {-5, rec.limit or 0, now} end
if ARGV[12] == '' and ARGV[7] ~= 'woken' and ARGV[9] ~= '' and (call('HGET', KEYS[3], 'bytes') or 0) + #ARGV[9] > VALUES_LIMIT then return {-9} end
local onward = to == 'succeeded' or to == 'skipped' or ARGV[11] == 'continue'
local list = onward and successors(KEYS[2], KEYS[5], ref, 16) or {}
-- writes follow
local k = keys(KEYS)
local moving = open or rec.status ~= 'pending'
if rec.status == 'queued' or rec.status == 'running' and not rec.control then call('ZREM', KEYS[9], job(id, ref, rec)) end
if rec.status == 'retrying' then call('ZREM', KEYS[13], 'retry:' .. id .. ':' .. ref .. ':' .. rec.attempt) end
if rec.control then disarm(k, id, ref, rec) end
uncount(k, ref, rec)
call('SREM', KEYS[6], ref)
call('SREM', KEYS[7], ref)
if ARGV[12] ~= '' and not (rec.control and (rec.status == 'running' or rec.status == 'waiting')) then
  -- what an operator says is an attempt of its own; one that was under way stays as it was cut off
  if rec.status == 'queued' or rec.status == 'running' then
    rec.outcome, rec.ended = 'canceled', now .. ''
    call('HSET', KEYS[4], ref .. '#' .. rec.attempt, cjson.encode(rec))
    rec.outcome = nil
  end
  rec.attempt, rec.dispatch, rec.redrive = (rec.attempt or 0) + 1 .. '', '1', x.epoch
  rec.queued, rec.worker, rec.started, rec.hash = now .. '', nil, nil, nil
end
if rec.keep then rec.control = '1' end -- what it holds is still its own
if rec.rearmed then rec.control, rec.size, rec.child = nil, nil, nil end -- what it held was of the attempt that failed
rec.keep, rec.maybe, rec.plan, rec.rearmed = nil, nil, nil, nil
move(x, rec, to)
rec.ended, rec.due, rec.hand, rec.reason = now .. '', nil, nil, ARGV[13] ~= '' and ARGV[13] or nil
if ARGV[9] ~= '' then keep(KEYS[3], 'o:' .. ref, ARGV[9]) end
if to == 'failed' or to == 'timed_out' then
  keep_failure(KEYS[3], ref .. '#' .. rec.attempt, ARGV[10], '')
  if onward then rec.continued = true elseif not outside(ref) then call('HSETNX', KEYS[3], 'failure', ARGV[10]) end
  if ARGV[11] == 'stop_items' then halt(k, outside(ref)) end
end
event(KEYS[8], now, 'task.' .. to, ref, rec.attempt, ARGV[12], ARGV[13])
local relay, moved = release(k, x, id, ref, list, now, rec, not moving)
stir(k, ref, moved - (moving and 1 or 0))
local state = settle(k, x, id, now, ARGV[14], ARGV[15])
if ARGV[11] == 'stop_all' and (to == 'failed' or to == 'timed_out') then
  call('ZADD', KEYS[10], 'NX', now, id)
  state = 1
end
if state == 2 then save(x, 'status', x.status, 'ended', now) else save(x) end
return {1, state, now, unpack(relay)}
