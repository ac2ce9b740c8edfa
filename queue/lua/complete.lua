-- A handler succeeded: running -> succeeded; what depended on it alone becomes ready.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH, 4 attempts HASH, 5 preds HASH, 6 open SET, 7 held SET,
--       8 events LIST, 9 jobs ZSET, 10 decide ZSET, 11 index ZSET, 12 expire ZSET, 13 timers ZSET, 14 holders HASH, 15 children SET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 output, 7 input ('' = none kept), 8 input hash,
--       9 1 when the end needs no computing, 10 retention ms, 11 successors (see lib_release)
-- Returns {1, 0 goes on | 1 decide | 2 ended, now, ref, attempt, ...} | {-1} gone | {-2} stale
--       | {-9} the values of the execution would be too large
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not rec or rec.status ~= 'running' or rec.attempt ~= ARGV[4]
  or rec.dispatch ~= ARGV[5] or rec.control or not going(x) then return {-2} end
local bytes = (call('HGET', KEYS[3], 'bytes') or 0) + #ARGV[6] + #ARGV[7]
if bytes > VALUES_LIMIT then return {-9} end
local list = successors(KEYS[2], KEYS[5], ref, 11)
local k = keys(KEYS)
-- writes follow
call('ZREM', KEYS[9], job(id, ref, rec))
move(x, rec, 'succeeded')
local at = now .. ''
rec.ended, rec.hash = at, ARGV[8]
if ARGV[7] == '' then
  call('HSET', KEYS[3], 'o:' .. ref, ARGV[6], 'bytes', bytes .. '')
else
  call('HSET', KEYS[3], 'o:' .. ref, ARGV[6], 'i:' .. ref .. '#' .. rec.attempt, ARGV[7], 'bytes', bytes .. '')
end
event(KEYS[8], at, 'task.succeeded', ref, rec.attempt)
local relay, moved = release(k, x, id, ref, list, now, rec)
stir(k, ref, moved - 1)
local state = settle(k, x, id, now, ARGV[9], ARGV[10])
if state == 2 then save(x, 'status', x.status, 'ended', at) else save(x) end
return {1, state, now, unpack(relay)}
