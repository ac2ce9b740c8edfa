-- A worker takes one dispatch of one attempt: queued -> running, at most once.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH, 4 held SET, 5 events LIST, 6 jobs ZSET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 worker, 7 lease ms, 8 the epoch whose document the
--       caller knows (-1 = none, '' = send none), then per read task: ref
-- Returns {1, now, epoch, try, document or false, input given by a redrive or false, then per read task: record, output, error}
--       | {-1} gone | {-2} stale | {-3} paused, kept aside | {-4, error} this attempt failed before
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local raw = call('HGET', KEYS[2], ref)
local rec = raw and cjson.decode(raw)
if not rec or rec.attempt ~= ARGV[4] or rec.dispatch ~= ARGV[5] then return {-2} end
if rec.status == 'failed' or rec.status == 'timed_out' then
  return {-4, call('HGET', KEYS[3], 'e:' .. ref .. '#' .. ARGV[4])}
end
if rec.status ~= 'queued' or not going(x) then return {-2} end
local reply = {1, now, x.epoch, rec.try, false, rec.given and call('HGET', KEYS[3], 'w:' .. ref) or false}
if ARGV[8] ~= '' and x.epoch ~= ARGV[8] then
  reply[5] = call('HMGET', KEYS[1], 'number', 'project', 'workflow', 'version', 'definition', 'root', 'priority', 'session_time', 'path', 'depth', 'parent', 'session', 'attempt_name')
  reply[5][14] = call('HGET', KEYS[3], 'in')
end
for i = 9, #ARGV do
  local raw = call('HGET', KEYS[2], ARGV[i])
  local read = raw and cjson.decode(raw) or {}
  reply[#reply + 1] = raw
  reply[#reply + 1] = call('HGET', KEYS[3], 'o:' .. ARGV[i])
  reply[#reply + 1] = call('HGET', KEYS[3], 'e:' .. ARGV[i] .. '#' .. (read.attempt or 0))
end
-- writes follow
if aside(x) then
  call('ZREM', KEYS[6], job(id, ref, rec))
  call('SADD', KEYS[4], ref)
  return {-3}
end
move(x, rec, 'running')
local at = now .. ''
-- Most records are as lib_release.lua writes them: the encoder costs as much as two commands.
local plain = string.match(raw, '^{"status":"queued",("attempt":"%d+","dispatch":"%d+","try":"%d+","queued":"%d+","redrive":"%d+"})$')
if plain and string.find(ARGV[6], '^[%w.:_-]+$') then
  raw = '{"status":"running","worker":"' .. ARGV[6] .. '","started":"' .. at .. '",' .. plain
else
  rec.worker, rec.started, rec.reason, rec.due = ARGV[6], at, nil, nil
  raw = cjson.encode(rec)
end
call('HSET', KEYS[2], ref, raw)
call('ZADD', KEYS[6], now + ARGV[7] .. '', job(id, ref, rec))
save(x)
event(KEYS[5], at, 'task.running', ref, rec.attempt)
return reply
