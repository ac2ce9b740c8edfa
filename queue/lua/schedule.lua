-- Stores a schedule and when to look at it next, if nobody changed it since it was read.
-- KEYS: 1 schedule HASH, 2 schedules ZSET, 3 looks ZSET, 4 numbers HASH
-- ARGV: 1 name, 2 revision that was read (0 = there was none), 3 number, 4 when to look, ms ('' = not at all), 5 spec, 6 state
-- Returns {1} | {-5} it was changed, made or removed meanwhile
if (call('HGET', KEYS[1], 'revision') or '0') ~= ARGV[2] then return {-5} end
-- writes follow
call('HSET', KEYS[1], 'revision', ARGV[2] + 1, 'number', ARGV[3], 'look', ARGV[4], 'spec', ARGV[5], 'state', ARGV[6])
if ARGV[2] == '0' then
  call('ZADD', KEYS[2], 0, ARGV[1])
  call('HSET', KEYS[4], ARGV[3], ARGV[1])
end
if ARGV[4] == '' then
  call('ZREM', KEYS[3], ARGV[1])
else
  call('ZADD', KEYS[3], ARGV[4], ARGV[1])
end
return {1}
