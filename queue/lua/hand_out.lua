-- A claimed run goes to a remote worker: records its input, and until when the attempt may run. Its
-- lease ends no later than that. Where silence ends the attempt, that is until when, and a beat puts it off.
-- KEYS: 1 tasks HASH, 2 values HASH, 3 jobs ZSET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 input ('' = none kept), 7 input hash, 8 timeout ms, 9 lease ms, 10 ms of silence that end the attempt, 0 = they do not
-- Returns {1, started, deadline} | {-2} stale
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local rec = record(KEYS[1], ref)
if not rec or rec.status ~= 'running' or rec.attempt ~= ARGV[4] or rec.dispatch ~= ARGV[5] then return {-2} end
local place = 'i:' .. ref .. '#' .. rec.attempt
local kept = ARGV[6] == '' or call('HEXISTS', KEYS[2], place) == 1 -- by an earlier delivery of the attempt
local bytes = (call('HGET', KEYS[2], 'bytes') or 0) + #ARGV[6]
-- writes follow
local deadline, lease = rec.started + ARGV[8], ARGV[9]
if ARGV[10] ~= '0' then
  lease = ARGV[10]
  rec.silence, rec.till = ARGV[10], deadline .. ''
  deadline = math.min(deadline, now + ARGV[10])
end
rec.deadline, rec.hash = string.format('%.0f', deadline), ARGV[7]
call('HSET', KEYS[1], ref, cjson.encode(rec))
if not kept and bytes <= VALUES_LIMIT then call('HSET', KEYS[2], place, ARGV[6], 'bytes', bytes) end
call('ZADD', KEYS[3], math.min(now + lease, deadline), job(id, ref, rec))
return {1, rec.started, rec.deadline}
