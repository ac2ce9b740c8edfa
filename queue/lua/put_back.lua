-- A job that was dequeued goes back to where it came from, or is forgotten because another one took its place.
-- KEYS: 1 active LIST, 2 lease ZSET, 3 pending LIST, 4 job HASH (asynq's)
-- ARGV: 1 job id, 2 1 to forget it
-- Returns {1} | {-1} it is not there
if call('EXISTS', KEYS[4]) == 0 or not call('ZSCORE', KEYS[2], ARGV[1]) then return {-1} end
-- writes follow
call('LREM', KEYS[1], 0, ARGV[1])
call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] == '1' then
  call('DEL', KEYS[4])
else
  call('HSET', KEYS[4], 'state', 'pending')
  call('RPUSH', KEYS[3], ARGV[1])
end
return {1}
