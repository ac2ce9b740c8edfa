-- Keeps what an attempt that a worker has or is to get, or a task that waits, has given so far, in place of what it gave before.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH
-- ARGV: 1 ref, 2 attempt, 3 dispatch, 4 progress
-- Returns {1} | {-1} gone | {-2} stale | {-9} the values of the execution would be too large
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ARGV[1])
if not rec or rec.attempt ~= ARGV[2] or rec.dispatch ~= ARGV[3] or not going(x) or
  rec.status ~= 'waiting' and (rec.control or rec.status ~= 'running' and rec.status ~= 'queued') then return {-2} end
local field = 'p:' .. ARGV[1] .. '#' .. ARGV[2]
local bytes = (call('HGET', KEYS[3], 'bytes') or 0) + #ARGV[4] - call('HSTRLEN', KEYS[3], field)
if bytes > VALUES_LIMIT then return {-9} end
-- writes follow
call('HSET', KEYS[3], field, ARGV[4], 'bytes', bytes .. '')
return {1}
