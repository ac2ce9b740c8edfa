-- A task that holds others, or a sub-workflow, is to end although what is in it goes on: its time is over, or an
-- operator says so. Go ends what is in it, and then itself.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 open SET, 4 decide ZSET, 5 timers ZSET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 what the operator says as JSON ('' = its time is over)
-- Returns {1} | {-1} gone | {-2} stale | {-5, due, now} not yet
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
local rec = x and record(KEYS[2], ref)
local late = ARGV[5] == ''
local other = not late and rec and rec.hand and rec.hand ~= ARGV[5] -- an operator was first
local stale = not rec or other or rec.status ~= 'running' or rec.attempt ~= ARGV[4] or not rec.control or not going(x) or late and not rec.limit
if not stale and late and rec.limit + 0 > now then return {-5, rec.limit, now} end
-- writes follow
call('ZREM', KEYS[5], 'limit:' .. id .. ':' .. ref .. ':' .. ARGV[4])
if stale then return {x and -2 or -1} end
if late then rec.timed = '1' else rec.hand = ARGV[5] end
rec.limit = nil
call('HSET', KEYS[2], ref, cjson.encode(rec))
call('SADD', KEYS[3], ref)
call('ZADD', KEYS[4], 'NX', now, id)
return {1}
