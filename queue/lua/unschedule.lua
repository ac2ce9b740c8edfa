-- Removes a schedule, if nobody changed it since it was read.
-- KEYS: 1 schedule HASH, 2 schedules ZSET, 3 looks ZSET, 4 numbers HASH
-- ARGV: 1 name, 2 revision that was read, 3 number
-- Returns {1} | {-5} it was changed or removed meanwhile
if call('HGET', KEYS[1], 'revision') ~= ARGV[2] then return {-5} end
-- writes follow
call('UNLINK', KEYS[1])
call('ZREM', KEYS[2], ARGV[1])
call('ZREM', KEYS[3], ARGV[1])
call('HDEL', KEYS[4], ARGV[3])
return {1}
