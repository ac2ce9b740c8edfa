-- Puts off when a waiting job is looked after again, and records why it waits.
-- KEYS: 1 tasks HASH, 2 jobs ZSET
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 ms until the next look, 7 reason ('' = none)
-- Returns {1} | {-2} stale, and forgotten, unless it is being run: then the entry is its lease
local rec = record(KEYS[1], ARGV[3])
local member = ARGV[1] .. ':' .. ARGV[3] .. ':' .. ARGV[4] .. ':' .. ARGV[5]
local stale = not rec or rec.status ~= 'queued' or job(ARGV[1], ARGV[3], rec) ~= member
-- writes follow
if stale then
  if not rec or rec.status ~= 'running' or job(ARGV[1], ARGV[3], rec) ~= member then call('ZREM', KEYS[2], member) end
  return {-2}
end
call('ZADD', KEYS[2], 'XX', clock(ARGV[2]) + tonumber(ARGV[6]), member)
if (rec.reason or '') ~= ARGV[7] then
  rec.reason = ARGV[7] ~= '' and ARGV[7] or nil
  call('HSET', KEYS[1], ARGV[3], cjson.encode(rec))
end
return {1}
