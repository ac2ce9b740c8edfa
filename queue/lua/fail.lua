-- An attempt failed or timed out for good; with `continue` its dependents go on as if it had ended well.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 failed|timed_out, 7 error, 8 input ('' = none kept),
--       9 input hash, 10 continue|stop|stop_all (cancel the rest)|stop_items (an item: begin no other), 11 1 = only when its lease ran out,
--       12 retention ms, 13 successors (see lib_release)
-- Returns {1, 0 goes on | 1 decide, now, ref, attempt, ...} | {-1} gone | {-2} stale
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not rec or rec.status ~= 'running' or rec.attempt ~= ARGV[4]
  or rec.dispatch ~= ARGV[5] or rec.control or not going(x) then return {-2} end
if ARGV[11] == '1' then
  local lease = call('ZSCORE', KEYS[9], job(id, ref, rec))
  if lease and tonumber(lease) > now then return {-2} end
end
local list = ARGV[10] == 'continue' and successors(KEYS[2], KEYS[5], ref, 13) or {}
local k = keys(KEYS)
-- writes follow
call('ZREM', KEYS[9], job(id, ref, rec))
move(x, rec, ARGV[6])
rec.ended, rec.hash = now .. '', ARGV[9]
if ARGV[10] == 'continue' then
  rec.continued = true
elseif not outside(ref) then
  call('HSETNX', KEYS[3], 'failure', ARGV[7])
end
keep_failure(KEYS[3], ref .. '#' .. rec.attempt, ARGV[7], ARGV[8])
event(KEYS[8], now, 'task.' .. ARGV[6], ref, rec.attempt)
if ARGV[10] == 'stop_items' then halt(k, outside(ref)) end
local relay, moved = release(k, x, id, ref, list, now, rec)
stir(k, ref, moved - 1)
local state = settle(k, x, id, now, '0', ARGV[12])
if ARGV[10] == 'stop_all' then
  call('ZADD', KEYS[10], 'NX', now, id)
  state = 1
end
save(x)
return {1, state, now, unpack(relay)}
