-- An execution that a redrive makes from another is there, as one that ended; redrive.lua lets it run. If nobody does, it is purged soon.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH, 4 building ZSET, 5 expire ZSET
-- ARGV: 1 id, 2 offset ms, 3 ms until it is purged, 4 tasks, 5 input, 6 bytes of its values, 7 counts, 8 who wrote it, then field, value per field
-- Returns {1, now} | {2} existed already | {-5} tasks are missing, or are somebody else's
local id, now = ARGV[1], clock(ARGV[2])
if call('EXISTS', KEYS[1]) == 1 then return {2} end
if call('HLEN', KEYS[2]) ~= tonumber(ARGV[4]) or call('HGET', KEYS[3], 'writer') ~= ARGV[8] then return {-5} end
-- writes follow
call('HDEL', KEYS[3], 'writer')
call('HSET', KEYS[3], 'in', ARGV[5], 'bytes', ARGV[6])
call('HSET', KEYS[1], 'status', 'failed', 'epoch', -1, 'counts', ARGV[7], 'created', now, 'ended', now,
  'applying', 'hold ' .. ARGV[8] .. ' ' .. now + ARGV[3], unpack(ARGV, 9)) -- only the redrive that made it may let it run
call('ZREM', KEYS[4], id)
call('ZADD', KEYS[5], now + ARGV[3], id)
return {1, now}
